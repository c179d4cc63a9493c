"""What a guest finds in every backend's sandbox: its data and its Python, nothing of host or neighbours."""

import os
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from docker_engine import composing_here
from sandbox_harness import BACKENDS, PARAMETERS, SMALL, has_own_kernel, read_until, run, running, spec

from contracts.measurements import MIB
from sandbox_runner import python_environment
from sandbox_runner.sandboxes.port import Exit, ReadOnlyMount

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(60)]


@pytest.fixture(scope="module", params=PARAMETERS)
def backend(request):
    made = BACKENDS[request.param]()
    yield made
    made.close()


# --- host and neighbours


def test_files_of_the_host_are_unreadable(backend, tmp_path):
    canary = tmp_path / "canary"
    canary.write_text("host secret")
    canary.chmod(0o644)
    places = [
        str(canary),
        f"/proc/1/root{canary}",
        "/etc/shadow",
        "/etc/hostname",
        "/proc/1/environ",
        "/proc/1/mem",
    ]
    places += [
        str(Path(__file__)),
        "/run",
        "/var",
        "/home",
        "/usr/share",
        "/dev/mem",
        "/dev/kmsg",
        "/proc/1/fd",
    ]
    places += [
        "/sys/fs/cgroup",
        "/sys/kernel",
        "/dev/tty",
        "/dev/ptmx",
        "/proc/kallsyms",
        "/proc/sysrq-trigger",
    ]
    code = f"""
        import json, os
        def content(path):
            try:
                if os.path.isdir(path):
                    return os.listdir(path)
                return open(path, "rb").read(64).decode("latin-1")
            except OSError:
                return None
        print(json.dumps({{path: content(path) for path in {places!r} if content(path)}}))
    """
    seen = run(backend, textwrap.dedent(code)).said
    assert seen.pop("/etc/hostname", "sandbox\n") == "sandbox\n"  # Docker writes one: not the host's
    if has_own_kernel(backend):  # gVisor's: numbers without what they stand for, and an environment of ours
        seen.pop("/proc/1/fd")
        assert "PATH=" in seen.pop("/proc/1/environ")
    assert seen == {}


def test_what_else_is_installed_on_the_host_is_hidden(backend, tmp_path, monkeypatch):
    """Every folder of installed packages is empty and sealed, though packages out of one are mounted."""
    tmp_path.chmod(0o755)
    (tmp_path / "dist-packages" / "sklearn").mkdir(parents=True)
    (tmp_path / "dist-packages" / "sklearn" / "labels").write_text("7")
    hidden = (*python_environment.hidden_folders(), Path("/opt/lib/dist-packages"))
    monkeypatch.setattr(python_environment, "hidden_folders", lambda: hidden)
    code = f"""
        import json, os
        found = []
        for folder, folders, names in os.walk("/"):
            folders[:] = [name for name in folders if (folder, name) != ("/", "proc")]
            if os.path.basename(folder) in {python_environment.INSTALLED_FOLDERS!r}:
                found += folders + names
                try:
                    open(folder + "/planted", "w")
                    found.append("writable " + folder)
                except OSError:
                    pass
        print(json.dumps([found, os.listdir("/opt/lib"), os.listdir("/opt/packages")]))
    """
    mounts = (
        ReadOnlyMount(tmp_path, "/opt/lib"),
        ReadOnlyMount(tmp_path / "dist-packages", "/opt/packages"),
    )
    monkeypatch.setattr(python_environment, "guest_mounts", lambda: mounts)
    with composing_here(backend) as composed:
        ended = run(composed, textwrap.dedent(code))
    assert ended.said == [[], ["dist-packages"], ["sklearn"]]


def test_files_of_another_sandbox_are_unreadable(backend):
    plant = "import time; open('/tmp/mine', 'w'); open('/dev/shm/mine', 'w'); print('ready', flush=True)"
    look = "import os, json; print(json.dumps(os.listdir('/tmp') + os.listdir('/dev/shm')))"
    with running(backend, f"{plant}; time.sleep(60)") as neighbour:
        assert "ready" in read_until(neighbour, lambda text: "ready" in text)
        assert run(backend, look).said == []
    assert run(backend, look).said == []


def test_processes_of_the_host_are_invisible(backend):
    code = "import os, json; print(json.dumps([p for p in os.listdir('/proc') if p.isdigit()]))"
    first, guest = run(backend, code).said  # a runtime's helpers may have had the numbers between them
    assert first == "1"
    assert int(guest) < 20


def test_first_process_cannot_be_touched(backend):
    code = """
        import os, signal, json, time
        def refused(action):
            try:
                action()
            except OSError as error:
                return type(error).__name__
        for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGINT, signal.SIGTERM):
            refused(lambda: os.kill(1, number))
        time.sleep(0.1)
        print(json.dumps([
            refused(lambda: open("/proc/1/mem", "r+b")),
            refused(lambda: os.readlink("/proc/1/fd/3")),
        ]))
    """
    ended = run(backend, textwrap.dedent(code))
    memory, descriptor = ended.said
    assert memory == "PermissionError"
    # gVisor shows which descriptors process 1 has; it has no third, and nothing it says is trusted.
    assert descriptor == ("FileNotFoundError" if has_own_kernel(backend) else "PermissionError")
    assert ended.exit == Exit(0, None)


def test_secrets_of_the_runner_are_nowhere_inside(backend, monkeypatch):
    monkeypatch.setenv("DELTANAS_SERVICE_TOKEN", "hunter-two")
    os.environb[b"OTHER_SECRET"] = b"hunter-two"
    code = """
        import glob, json, os
        seen = repr(dict(os.environ))
        for path in [*glob.glob("/proc/[0-9]*/environ"), *glob.glob("/proc/[0-9]*/cmdline")]:
            try:
                seen += open(path, errors="replace").read()
            except OSError:
                pass
        print(json.dumps([("hunter" + "-two") in seen, sorted(os.environ)]))
    """
    try:
        found, names = run(backend, textwrap.dedent(code)).said
    finally:
        del os.environ["OTHER_SECRET"]
    assert not found
    assert set(names) <= {*python_environment.guest_environment(1), "LC_CTYPE"}


def test_only_the_two_temporary_folders_are_writable(backend):
    code = """
        import json, os
        writable = []
        for folder, folders, _ in os.walk("/"):
            folders[:] = [f for f in folders if not (folder == "/" and f == "proc")]
            try:
                os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY))
                writable.append(folder)
            except OSError:
                if os.access(folder, os.W_OK):
                    writable.append(folder)
        for path in ("self/oom_score_adj", "sys/kernel/core_pattern", "1/oom_score_adj", "sysrq-trigger"):
            path = "/proc/" + path
            try:
                os.write(os.open(path, os.O_WRONLY), b"-1000")
                writable.append(path)
            except OSError:
                pass
        for folder, folders, names in os.walk("/proc"):
            if folder == "/proc":
                folders[:] = [f for f in folders if not f.isdigit() and f not in ("self", "thread-self")]
            for path in (f"{folder}/{name}" for name in names):
                try:
                    os.close(os.open(path, os.O_WRONLY))
                    if os.major(os.stat(path).st_rdev) != 1:  # not the null device that hides a file
                        writable.append(path)
                except OSError:
                    pass
        print(json.dumps(sorted(writable)))
    """
    writable = set(run(backend, textwrap.dedent(code)).said)
    if has_own_kernel(backend):  # a number that gVisor keeps and nobody reads
        writable -= {"/proc/self/oom_score_adj", "/proc/1/oom_score_adj"}
    assert writable == {"/dev/shm", "/tmp"}


def test_data_arrives_after_the_start_and_is_read_only(backend):
    code = """
        import errno, os
        refusals = (errno.EROFS, errno.EACCES, errno.EPERM)
        print(os.listdir("/data"), flush=True)
        os.read(3, 1)
        print(repr(open("/data/images").read()))
        for action in (lambda: open("/data/images", "w"), lambda: open("/data/new", "w"),
                       lambda: os.unlink("/data/images"), lambda: os.chmod("/data/images", 0o777)):
            try:
                action()
            except OSError as error:
                print("refused" if error.errno in refusals else error, flush=True)
    """
    with running(backend, textwrap.dedent(code)) as sandbox:
        assert read_until(sandbox, lambda text: "\n" in text).strip() == "[]"
        (sandbox.data / "images").write_bytes(b"pixels")
        (sandbox.data / "images").chmod(0o666)
        os.write(sandbox.to_guest, b"x")
        assert read_until(sandbox, lambda text: text.count("\n") == 5).split() == [
            "'pixels'",
            *4 * ["refused"],
        ]
        assert (sandbox.data / "images").read_bytes() == b"pixels"
        folder = sandbox.data
    assert not folder.exists()


# --- the guest's Python


def test_planted_modules_are_never_imported(backend):
    code = """
        import os, subprocess, sys
        for name in ("sitecustomize", "usercustomize", "json", "torch"):
            open(f"/tmp/{name}.py", "w").write("print('planted')")
        open("/tmp/evil.pth", "w").write("import sys; print('planted')")
        again = [*sys.orig_argv[:-1], "import json"]
        print(subprocess.run(again, capture_output=True, text=True, cwd="/tmp"))
    """
    output = run(backend, textwrap.dedent(code)).output
    assert "returncode=0" in output
    assert "stdout='', stderr=''" in output


def test_hashes_of_text_are_the_same_in_every_sandbox(backend):
    assert len({int(run(backend, "print(hash('deltanas'))").output) for _ in range(2)}) == 1


@pytest.mark.full  # the specimens' honest network trains within tighter ones, on every tier
def test_torch_trains_a_step_within_tight_limits(backend):
    code = """
        import sys, os
        packages = "/opt/deltanas/packages/"
        sys.path += [packages + name for name in sorted(os.listdir(packages))]
        import torch, torchvision
        network = torch.nn.Conv2d(3, 8, 3)
        network(torch.randn(4, 3, 16, 16)).square().mean().backward()
        print(float(network.weight.grad.abs().sum()) > 0, torch.get_num_threads())
    """
    limits = replace(SMALL, memory_bytes=1536 * MIB, pids=64)
    ended = run(backend, textwrap.dedent(code), limits, seconds=55)
    assert ended.output.strip().endswith("True 1")
    assert ended.exit == Exit(0, None)


def test_guest_starts_from_its_fixed_command(backend):
    limits = replace(SMALL, memory_bytes=1024 * MIB, pids=64)
    guest = python_environment.guest_spec("guest-start", limits, 1)
    assert spec("").argv[0] == guest.argv[0]
    names = ("contracts", "json", "torch")
    found = (
        f"import importlib.util as u; print(*(u.find_spec(n).origin for n in {names}), u.find_spec('pytest'))"
    )
    code = guest.argv[-1].replace("runpy.run_module('sandbox_runner.guest', ", f"exec({found!r}) or dict(")
    ended = run(backend, code, limits)
    contracts, standard_library, torch, beside_torch = ended.output.split()
    assert beside_torch == "None"
    assert contracts == "/opt/deltanas/source/contracts/__init__.py"
    assert standard_library.startswith(str(Path(sys.base_prefix) / "lib"))
    assert torch.startswith("/opt/deltanas/packages/0/torch/")
