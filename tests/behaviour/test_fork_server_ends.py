"""How fork servers end, and with them what they have forked: swept, replaced, and no candidate is blamed."""

import os
import secrets
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from fork_servers import START_SECONDS, evaluate, open_library
from sandbox_harness import FOLDER, processes_with, read_until, run, running, spec, wait_for

from contracts.failures import FailureReason
from contracts.jobs import BackendReport
from contracts.names import IsolationTier
from sandbox_runner.sandboxes.fork_server import backend as forking
from sandbox_runner.sandboxes.fork_server.backend import ForkingBackend
from sandbox_runner.sandboxes.namespaces import NamespacesBackend
from sandbox_runner.sandboxes.port import Exit, SandboxUnavailable
from sandbox_runner.specimens.specimen import CONTROL

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason=forking.NOT_ROOT),
]


@pytest.fixture(scope="module")
def mortals():
    """A backend whose fork servers are there to be killed: one start a death."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forking, "RETRY_SECONDS", 0.0)
        made = ForkingBackend(FOLDER)
        yield made
        made.close()


@pytest.fixture
def mortal(mortals):
    """Not vacuous: when the test begins, sandboxes are forked."""
    mortals._next_try = 0.0  # so that a fork server that an earlier test has stopped is replaced at once
    assert mortals.wait_until_forking(START_SECONDS), mortals.why_cold()
    assert mortals.why_cold() == ""
    return mortals


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return open_library(tmp_path_factory)


def outermost(backend):
    """bubblewrap's process, and the fork server's own."""
    parent = backend._server._process.pid
    [child] = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {"bubblewrap": parent, "fork server": int(child)}


@pytest.mark.parametrize("victim", ["bubblewrap", "fork server"])
def test_a_fork_server_that_is_killed_takes_its_sandboxes_along_and_is_blamed_for_it(mortal, victim):
    marker = secrets.token_hex(8)
    with running(mortal, f"# {marker}\nimport time\ntime.sleep(60)") as sandbox:
        assert wait_for(lambda: processes_with(marker), 20)
        os.kill(outermost(mortal)[victim], signal.SIGKILL)
        with pytest.raises(SandboxUnavailable, match="fork server has ended"):
            wait_for(lambda: sandbox.exit() is not None, 20)
        assert wait_for(lambda: not processes_with(marker), 8)
    assert run(mortal, "print(1)").said == 1
    assert mortal.wait_until_forking(START_SECONDS)
    assert run(mortal, "print(2)").said == 2
    assert mortal.why_cold() == ""


@pytest.mark.slow
def test_an_attempt_whose_fork_server_dies_is_the_platforms_failure(mortal, library):
    source = CONTROL.source + "\nimport time\nprint('here', flush=True)\ntime.sleep(60)\n"

    def kill_it_while_the_candidate_runs(phase):
        if phase == "building":
            os.kill(outermost(mortal)["fork server"], signal.SIGKILL)

    outcome = evaluate(mortal, library, source=source, on_phase=kill_it_while_the_candidate_runs)

    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.INFRASTRUCTURE
    assert "fork server" in outcome.failure.message


def test_forked_sandboxes_die_with_a_runner_that_is_killed_and_their_cgroups_are_swept():
    marker = secrets.token_hex(8)
    runner = textwrap.dedent(f"""
        import sys, time
        sys.path[:0] = {[*sys.path, str(Path(__file__).parent)]!r}
        from fork_servers import forking_backend
        from sandbox_harness import spec
        backend = forking_backend()
        sandbox = backend.launch(spec("# {marker}\\nimport os, time\\nos.fork()\\nwhile True: time.sleep(1)"))
        print(sandbox._group.entrances[0].parent, backend._server._group.entrances[0].parent, flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", runner], stdout=subprocess.PIPE, text=True) as process:
        groups = [Path(folder) for folder in process.stdout.readline().split()]
        assert [folder.is_dir() for folder in groups] == [True, True]
        assert wait_for(lambda: len(processes_with(marker)) > 2, 20)
        process.kill()
    assert wait_for(lambda: not processes_with(marker), 8)
    assert wait_for(lambda: not (groups[1] / "cgroup.procs").read_text(), 8)
    successor = NamespacesBackend(FOLDER)
    assert run(successor, "print(1)").said == 1
    successor.close()
    assert not groups[0].parent.exists()


def test_a_fork_server_whose_sandboxes_fail_the_probe_is_never_used(monkeypatch):
    failed = BackendReport("namespaces", IsolationTier.NAMESPACES, False, ("a wall is missing",))
    monkeypatch.setattr(forking, "probe_backend", lambda _: failed)
    backend = ForkingBackend(FOLDER)
    try:
        assert not backend.wait_until_forking(1)
        backend._preparation.join(START_SECONDS)
        assert "a wall is missing" in backend.why_cold()
        assert not backend.wait_until_forking(0.1)
        assert run(backend, "print(1)").said == 1
    finally:
        backend.close()


def test_a_fork_server_that_does_not_answer_is_replaced_and_what_it_has_forked_goes_on(mortal):
    stopped = outermost(mortal)["fork server"]
    code = "import os; print(os.read(3, 1), flush=True)"
    with running(mortal, code) as sandbox:
        os.kill(stopped, signal.SIGSTOP)
        with pytest.MonkeyPatch.context() as patch:
            for module in ("namespaces", "fork_server.backend"):
                patch.setattr(f"sandbox_runner.sandboxes.{module}.START_SECONDS", 1.0)
            with pytest.raises(SandboxUnavailable, match="did not start within"):
                mortal.launch(spec("print(1)"))
        assert "did not answer" in mortal.why_cold()
        assert run(mortal, "print(1)").said == 1
        os.write(sandbox.to_guest, b"x")
        assert "b'x'" in read_until(sandbox, lambda text: "x" in text)
        assert sandbox.exit() in {None, Exit(0, None)}
        assert mortal.wait_until_forking(START_SECONDS)
        assert run(mortal, "print(2)").said == 2
    assert wait_for(lambda: not Path(f"/proc/{stopped}").exists(), 20)
