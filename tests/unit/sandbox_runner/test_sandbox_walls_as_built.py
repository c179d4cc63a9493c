"""The data from which a namespaces sandbox is built; that the walls hold is shown by the behaviour suite."""

import os
from pathlib import Path

import pytest

from sandbox_runner import python_environment
from sandbox_runner.sandboxes import bubblewrap
from sandbox_runner.sandboxes.namespaces_sandbox import SandboxPipes
from sandbox_runner.sandboxes.port import SandboxUnavailable


@pytest.fixture
def fresh_search():
    bubblewrap.find_program.cache_clear()
    yield
    bubblewrap.find_program.cache_clear()


@pytest.mark.usefixtures("fresh_search")
def test_bubblewrap_that_is_too_old_is_unavailable_by_version(tmp_path, monkeypatch):
    old = tmp_path / "bwrap"
    old.write_text("#!/bin/sh\necho bubblewrap 0.6.1\n")
    old.chmod(0o755)
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda *_, **__: str(old))
    with pytest.raises(SandboxUnavailable, match=r"bubblewrap 0\.6\.1 is too old: 0\.8 is needed"):
        bubblewrap.find_program()


def test_known_refusals_come_with_their_remedy():
    refused = bubblewrap.explain("bwrap: setting up uid map: Permission denied")
    assert "run as root" in refused
    assert bubblewrap.explain("bwrap: something new") == "bwrap: something new"


@pytest.mark.usefixtures("fresh_search")
def test_missing_bubblewrap_is_unavailable_with_its_remedy(monkeypatch):
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda *_, **__: None)
    with pytest.raises(SandboxUnavailable, match="apt-get install bubblewrap"):
        bubblewrap.find_program()


def mounted(options):
    pairs = zip(options, options[1:], options[2:], strict=False)
    return {
        target: source
        for word, source, target in pairs
        if word in {"--ro-bind", "--ro-bind-try", "--dev-bind"}
    }


def test_nothing_is_bound_writable_and_the_root_is_sealed_last():
    options = bubblewrap.file_system_options([], 1 << 20, 10, 11)
    assert not {"--bind", "--bind-try", "--dev", "--share-net"} & set(options)
    seal = [number for number, word in enumerate(options) if word == "--remount-ro"]
    sealed = [options[number + 1] for number in seal]
    hidden = {str(folder) for folder in python_environment.hidden_folders()}
    assert hidden | {"/dev", "/"} <= set(sealed)
    assert sealed[-1] == "/"
    assert not any(word.startswith(("--ro-bind", "--tmpfs", "--dir")) for word in options[seal[-1] :])


def test_every_tmpfs_has_a_size():
    options = bubblewrap.file_system_options([], 1 << 20, 10, 11)
    sizes = [options[n - 2 : n] for n, word in enumerate(options) if word == "--tmpfs"]
    assert len(sizes) >= 3
    assert all(word == "--size" and int(size) <= 1 << 20 for word, size in sizes)


def test_folders_of_the_host_that_hold_secrets_or_data_are_absent():
    options = bubblewrap.file_system_options(Path("/srv/data/of-one"), 1 << 20, 10, 11)
    targets = mounted(options)
    assert targets["/data"] == "/srv/data/of-one"
    for folder in (
        "/",
        "/usr",
        "/usr/share",
        "/etc",
        "/run",
        "/var",
        "/home",
        "/root",
        "/dev",
        "/sys",
        "/tmp",
    ):
        assert folder not in targets


def test_a_user_namespace_is_made_for_ordinary_users_alone():
    as_user, as_root = bubblewrap.namespace_options(False), bubblewrap.namespace_options(True)
    assert set(as_user) - set(as_root) == {"--unshare-user"}
    assert set(as_root) < set(as_user)
    for options in (as_user, as_root):
        assert {
            "--unshare-pid",
            "--unshare-net",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-cgroup",
        } <= set(options)
        assert {"--die-with-parent", "--new-session", "--cap-drop"} <= set(options)


def test_pipes_close_every_descriptor_and_tell_the_end_of_the_guest():
    before = sorted(os.listdir("/proc/self/fd"))
    pipes = SandboxPipes()
    file = pipes.add_file(b"content")
    assert os.read(file, 100) == b"content"
    assert {file, pipes.guest_read, pipes.guest_write, pipes.guest_output, pipes.guest_status} == set(
        pipes.inherited()
    )
    pipes.close_guest_ends()
    assert os.read(pipes.output, 1) == b""
    pipes.close()
    pipes.close()
    assert sorted(os.listdir("/proc/self/fd")) == before
