"""Process 1 of a container and its guest: two users, of whom one may end the other and nothing more."""

import textwrap
from pathlib import Path

import pytest
from docker_engine import Engine, LauncherProcess, containers_of, missing
from sandbox_harness import read_until, run, running, wait_for

from sandbox_runner.sandboxes.docker.backend import DockerBackend
from sandbox_runner.sandboxes.docker.guest_image import KEEPER_USER, SANDBOX_USERS
from sandbox_runner.sandboxes.docker.wire import Runtime
from sandbox_runner.sandboxes.port import Exit

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(120)]

KILL_ALONE, NOTHING = 1 << 5, 0


@pytest.fixture(scope="module")
def engine():
    if missing(Runtime.RUNC):
        pytest.skip(f"docker: {missing(Runtime.RUNC)}")
    made = Engine()
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module", params=[Runtime.RUNC, pytest.param(Runtime.RUNSC, marks=pytest.mark.full)])
def backend(request, engine):
    if missing(request.param):
        pytest.skip(f"docker+{request.param}: {missing(request.param)}")
    launcher = LauncherProcess(engine)
    launcher.start()
    yield DockerBackend(request.param, launcher.socket)
    launcher.stop()


def status_of(pid):
    """What the host's kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


# gVisor's processes are none of the host's: its guest is asked below.
@pytest.mark.parametrize("backend", [Runtime.RUNC], indirect=True)
def test_neither_keeps_what_the_container_was_started_with(engine, backend):
    with running(backend, "print('ready', flush=True); import time; time.sleep(60)") as sandbox:
        assert "ready" in read_until(sandbox, lambda text: "ready" in text)
        first = int(engine.command("inspect", "--format", "{{.State.Pid}}", containers_of(engine)[0]))
        (guest,) = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        keeper, candidate = status_of(first), status_of(guest)
    assert set(keeper["Uid"].split()) == set(keeper["Gid"].split()) == {str(KEEPER_USER)}
    assert int(candidate["Uid"].split()[0]) in SANDBOX_USERS
    assert len({*candidate["Uid"].split(), *candidate["Gid"].split()}) == 1
    for status, kept in ((keeper, KILL_ALONE), (candidate, NOTHING)):
        assert status["Groups"].split() == []
        assert [int(status[name], 16) for name in ("CapPrm", "CapEff")] == [kept, kept]
        assert [int(status[name], 16) for name in ("CapInh", "CapBnd", "CapAmb")] == [0, 0, 0]
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_guest_can_open_no_stream_and_no_memory_of_process_one(backend):
    code = """
        import json, os
        names = ["mem", "task/1/mem", "root", "cwd", *(f"fd/{number}" for number in range(32))]
        opened = []
        for name in names:
            for mode in (os.O_RDONLY, os.O_WRONLY):
                try:
                    descriptor = os.open(f"/proc/1/{name}", mode | os.O_NONBLOCK)
                    if not os.path.isdir(f"/proc/1/{name}") or os.listdir(descriptor):
                        opened.append(name)
                except OSError:
                    pass
        print(json.dumps([os.path.exists("/proc/1/status"), opened]))
    """
    assert run(backend, textwrap.dedent(code)).said == [True, []]


def test_environment_and_descriptors_of_process_one_are_hidden_or_of_no_worth(backend):
    code = """
        import json, os
        def content(name):
            path = f"/proc/1/{name}"
            try:
                return sorted(os.listdir(path)) if os.path.isdir(path) else open(path).read()
            except PermissionError:
                return None
        print(json.dumps({name: content(name) for name in ("environ", "task/1/environ", "fd", "fdinfo")}))
    """
    said = run(backend, textwrap.dedent(code)).said
    if backend.name == "docker+runsc":  # shows them to everybody: numbers, and what every container has
        numbers = said.pop("fd")
        assert numbers == said.pop("fdinfo")
        assert all(number.isdigit() for number in numbers)
        for name in ("environ", "task/1/environ"):
            variables = {entry.partition("=")[0] for entry in said.pop(name).split("\0") if entry}
            assert variables == {"PATH", "HOSTNAME", "HOME"}
    assert set(said.values()) <= {None}


def test_guest_has_no_privilege_left_and_cannot_get_one(backend):
    code = """
        import ctypes, json, os
        status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
        held = [int(status.get(name, "0"), 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
        refused = []
        for action in (lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: os.kill(1, 0)):
            try:
                action()
            except PermissionError:
                refused.append(True)
        libc = ctypes.CDLL(None)
        bounding = [libc.prctl(23, capability, 0, 0, 0) for capability in range(64)]
        print(json.dumps([held, refused, max(bounding), os.getuid() == os.geteuid() > 0, os.getgroups()]))
    """
    assert run(backend, textwrap.dedent(code)).said == [[0] * 5, [True] * 3, 0, True, []]


def test_process_one_ends_what_the_guest_leaves_behind_although_it_is_another_users(backend):
    code = """
        import os, time
        if os.fork() == 0:
            os.setsid()
            while True:
                time.sleep(1)
    """
    with running(backend, textwrap.dedent(code)) as sandbox:
        # It reports the end only when everybody is gone, and has the pipes closed: the child holds them open.
        assert wait_for(lambda: sandbox.exit() is not None, 20)
        assert sandbox.exit() == Exit(0, None)


def test_guest_that_signals_everybody_ends_itself_alone(backend):
    code = """
        import os, signal
        for number in (signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM):
            try:
                os.kill(1, number)
                print("allowed")
            except PermissionError:
                pass
        try:
            os.kill(-1, signal.SIGKILL)
        except OSError:
            pass
        print("alive", flush=True)
    """
    ended = run(backend, textwrap.dedent(code))
    assert "allowed" not in ended.output
    assert ended.exit in {Exit(0, None), Exit(None, 9)}
