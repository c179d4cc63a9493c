"""The launcher and its engine: who may speak with it, and what is left when one of the two is killed."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from docker_engine import Engine, LauncherProcess, containers_of, missing
from sandbox_harness import read_until, run, running, spec, wait_for

from sandbox_runner.sandboxes.docker import backend as docker_backend
from sandbox_runner.sandboxes.docker.backend import DockerBackend
from sandbox_runner.sandboxes.docker.wire import Runtime
from sandbox_runner.sandboxes.port import Exit, SandboxUnavailable

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(bool(missing(Runtime.RUNC)), reason=f"docker: {missing(Runtime.RUNC)}"),
]

SLEEP = "print('ready', flush=True)\nimport time\ntime.sleep(60)"


@pytest.fixture(scope="module")
def engine():
    made = Engine()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def launcher(engine):
    made = LauncherProcess(engine, sweep_seconds=0.5)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def backend(launcher):
    return DockerBackend(Runtime.RUNC, launcher.socket)


def loses(sandbox):
    """Whether the sandbox is told to be lost by the platform."""
    try:
        sandbox.exit()
    except SandboxUnavailable:
        return True
    return False


# --- who may speak with it


def test_another_user_cannot_connect(launcher):
    path = str(launcher.socket)
    code = f"import socket; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect({path!r})"
    # The folders above are opened for the attempt, so that the socket's own mode is what refuses.
    for folder in (launcher.home, launcher.home.parent):
        folder.chmod(0o755)
    command = [
        "setpriv",
        "--reuid",
        "65534",
        "--clear-groups",
        "--regid",
        "65534",
        "/usr/bin/python3",
        "-c",
        code,
    ]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "PermissionError" in refused.stderr


@pytest.mark.parametrize(
    "packet",
    [b"{", b"[1]", b'{"request": "start"}', b'{"request": "kill"}', b"\xff" * 100, b"{" + b" " * 200_000],
)
def test_packet_that_is_no_request_is_answered_and_harms_nobody(launcher, backend, packet):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        connection.connect(str(launcher.socket))
        connection.send(packet)
        assert b"unavailable" in connection.recv(10_000)
        assert connection.recv(10_000) == b""
    assert run(backend, "pass").exit == Exit(0, None)


def test_unknown_request_is_refused_and_the_sandbox_goes_on(backend):
    with running(backend, SLEEP) as sandbox:
        with pytest.raises(SandboxUnavailable, match="unknown request"):
            sandbox._ask("mount")
        assert sandbox.exit() is None


def test_second_launcher_for_the_same_state_is_refused(engine, launcher):
    assert "another launcher" in LauncherProcess(engine).words_of_refusal()
    assert launcher.process.poll() is None


@pytest.mark.parametrize("reference", ["python:3.11", "deltanas-guest", "sha256:123"])
def test_image_that_is_not_pinned_is_refused_at_the_start(engine, reference):
    made = LauncherProcess(engine, home=engine.folder / "other")
    assert "does not pin an image" in made.words_of_refusal(DELTANAS_GUEST_IMAGE=reference)


def test_image_that_the_engine_lacks_makes_the_tier_unavailable(engine):
    made = LauncherProcess(engine, home=engine.folder / "other")
    made.start(DELTANAS_GUEST_IMAGE="sha256:" + "0" * 64)
    try:
        report = DockerBackend(Runtime.RUNC, made.socket).probe()
    finally:
        made.stop()
    assert not report.available
    assert "has no image" in report.problems[0]


def test_without_a_launcher_the_report_says_how_to_start_it(tmp_path, monkeypatch):
    monkeypatch.setattr(docker_backend, "CONNECT_SECONDS", 0.2)  # nobody is about to start one
    report = DockerBackend(Runtime.RUNC, tmp_path / "launcher.sock").probe()
    assert not report.available
    assert "python -m sandbox_runner.sandboxes.docker.launcher" in report.problems[0]


def test_without_an_engine_the_report_says_how_to_install_it(engine):
    made = LauncherProcess(engine, home=engine.folder / "other")
    made.start(DELTANAS_DOCKER_HOST="unix:///nowhere/docker.sock")
    try:
        report = DockerBackend(Runtime.RUNC, made.socket).probe()
    finally:
        made.stop()
    assert not report.available
    assert "apt-get install docker.io" in report.problems[0]


def test_another_user_may_be_the_client_and_then_nobody_else(engine):
    nobody = 65_534
    folder = Path(tempfile.mkdtemp(prefix="launcher-"))
    folder.chmod(0o755)
    made = LauncherProcess(engine, home=folder / "home")
    made.socket = folder / "run" / "launcher.sock"
    made.start(DELTANAS_LAUNCHER_CLIENT=str(nobody), DELTANAS_LAUNCHER_SOCKET=str(made.socket))
    backend = DockerBackend(Runtime.RUNC, made.socket)
    try:
        with pytest.raises(SandboxUnavailable):
            backend.launch(spec("pass"))
        child = os.fork()
        if child == 0:
            os._exit(use_as(nobody, backend))
        assert os.waitpid(child, 0)[1] == 0
        assert not containers_of(engine)
    finally:
        made.stop()
        shutil.rmtree(folder)


def use_as(user, backend):
    """As that user: fill a sandbox's data, hear it read out, and find the folders above closed."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    with running(backend, "import os; os.read(3, 1); print(open('/data/images').read())") as sandbox:
        (sandbox.data / "images").write_text("pixels")
        os.write(sandbox.to_guest, b"x")
        heard = "pixels" in read_until(sandbox, lambda text: "pixels" in text)
        return 0 if heard and not os.access(sandbox.data.parent, os.W_OK | os.R_OK) else 1


# --- what a kill leaves behind


def test_sandboxes_of_a_launcher_that_is_killed_end_and_its_successor_sweeps_them(engine, launcher, backend):
    sandbox = backend.launch(spec(SLEEP))
    assert "ready" in read_until(sandbox, lambda text: "ready" in text)
    assert len(containers_of(engine)) == 1
    launcher.kill()
    assert wait_for(lambda: loses(sandbox), 2)
    with pytest.raises(SandboxUnavailable):
        sandbox.usage()
    assert wait_for(lambda: not containers_of(engine, "status=running"), 5)
    data = sandbox.data
    assert data.exists()
    sandbox.close()
    launcher.start()
    assert wait_for(lambda: not containers_of(engine), 10)
    assert not data.exists()
    assert run(backend, "pass").exit == Exit(0, None)


def test_container_that_was_created_and_never_started_is_swept(engine, launcher, backend):
    with running(backend, SLEEP):
        (running_one,) = containers_of(engine)
        engine.command(
            "create", "--label", owner_label(engine, running_one), image_of(engine, running_one), "x"
        )
        assert wait_for(lambda: containers_of(engine) == [running_one], 15)


def test_engine_that_is_killed_is_nobodys_fault_but_the_platforms(engine, launcher, backend):
    marker = secrets.token_hex(8)
    sandbox = backend.launch(spec(f"# {marker}\n{SLEEP}"))
    assert "ready" in read_until(sandbox, lambda text: "ready" in text)
    engine.kill()
    started = time.monotonic()
    assert wait_for(lambda: loses(sandbox), 5)
    sandbox.close()
    assert time.monotonic() - started < 10
    with pytest.raises(SandboxUnavailable):
        backend.launch(spec("pass"))
    engine.start()
    assert wait_for(lambda: works(backend), 20)
    assert wait_for(lambda: not containers_of(engine), 20)
    assert not Path(sandbox.data).exists()


def test_container_that_an_operator_kills_is_no_end_of_the_guest(engine, backend):
    with running(backend, SLEEP) as sandbox:
        assert "ready" in read_until(sandbox, lambda text: "ready" in text)
        engine.command("kill", containers_of(engine)[0])
        assert wait_for(lambda: loses(sandbox), 5)


def test_runner_that_leaves_during_the_start_leaves_nothing(engine, backend, launcher):
    code = f"""
import sys
sys.path[:0] = {[*sys.path, str(Path(__file__).parent)]!r}
from sandbox_harness import spec
from sandbox_runner.sandboxes.docker import backend as docker_backend
from sandbox_runner.sandboxes.docker.backend import DockerBackend
from sandbox_runner.sandboxes.docker.wire import Runtime
DockerBackend(Runtime.RUNC, {str(launcher.socket)!r}).launch(spec("pass"))
"""
    with subprocess.Popen([sys.executable, "-c", code]) as runner:
        assert wait_for(lambda: containers_of(engine), 20)
        runner.send_signal(signal.SIGKILL)
    assert wait_for(lambda: not containers_of(engine), 10)


def works(backend):
    try:
        return run(backend, "pass").exit == Exit(0, None)
    except SandboxUnavailable:
        return False


def owner_label(engine, container):
    return "deltanas.owner=" + engine.command(
        "inspect", "--format", '{{index .Config.Labels "deltanas.owner"}}', container
    )


def image_of(engine, container):
    return engine.command("inspect", "--format", "{{.Image}}", container)


def test_launcher_that_is_told_to_stop_ends_its_sandboxes(engine, backend, launcher):
    sandbox = backend.launch(spec(SLEEP))
    launcher.stop()
    assert not containers_of(engine)
    assert not launcher.socket.exists()
    assert loses(sandbox)
    sandbox.close()
    assert os.listdir(launcher.home / "container-data") == []
