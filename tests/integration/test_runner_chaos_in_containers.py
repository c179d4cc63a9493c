"""Bad days of the Docker tiers: a launcher, an engine or a runner is killed, and attempts go on after it.

The runner's part is played in this process; launcher and engine are real ones that a test may kill.
"""

import subprocess
import sys
import textwrap
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from bad_days import PLATFORM_SECONDS, SLEEPS, assert_platform_failed, open_to_sandboxes, score
from processes import until
from sample_attempts import make_attempt

from contracts.measurements import Limits
from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.datasets.library import Library
from sandbox_runner.python_environment import guest_spec
from sandbox_runner.sandboxes.docker.backend import DockerBackend
from sandbox_runner.sandboxes.docker.wire import Runtime
from sandbox_runner.specimens import quadrants
from sandbox_runner.specimens.specimen import CONTROL
from sandbox_runner.starts import Starts

sys.path.insert(0, str(Path(__file__).parent.parent / "behaviour"))
from docker_engine import Engine, LauncherProcess, containers_of, missing

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.slow,
    pytest.mark.full,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        bool(missing(Runtime.RUNC)), reason=f"docker+runc is not tested here: {missing(Runtime.RUNC)}"
    ),
]

RUNNER_WITH_A_POOL = """
    import sys, time
    from pathlib import Path
    from contracts.measurements import Limits
    from sandbox_runner.python_environment import guest_spec
    from sandbox_runner.sandboxes.docker.backend import DockerBackend
    from sandbox_runner.sandboxes.docker.wire import Runtime
    from sandbox_runner.starts import Starts

    starts = Starts(DockerBackend(Runtime.RUNC, Path(sys.argv[1])), 1)
    with starts.sandbox(guest_spec("running", Limits(), 1)):
        while not starts.waiting():
            time.sleep(0.05)
        print("both", flush=True)
        time.sleep(600)
"""


@pytest.fixture(scope="module")
def engine():
    made = Engine()
    try:
        made.start()
        yield made
    finally:
        made.stop()


class DockerRunner:
    """Attempts in containers, beside one that waits, by a launcher and an engine that a test may kill."""

    def __init__(self, folder, engine):
        open_to_sandboxes(folder)
        home = folder / "home"
        quadrants.write_quadrants(home)
        self.engine = engine
        self.launcher = LauncherProcess(engine, home=home)
        self.launcher.start()
        self.backend = DockerBackend(Runtime.RUNC, self.launcher.socket)
        self.starts = Starts(self.backend, 1)
        self._bench = Bench(self.starts, Library(home), "digest")
        self.starts.expect(guest_spec("usual", Limits(), 1))
        self.wait_for_reserve()

    def wait_for_reserve(self):
        until(lambda: self.starts.waiting() == 1, 120, "a container waits")

    def evaluate(self, name, source=CONTROL.source, on_phase=lambda _: None):
        return run_attempt(make_attempt(name, source=source), self._bench, threading.Event(), on_phase)

    @contextmanager
    def running_attempt(self):
        """One that sleeps, beside a container that waits; gives a list that will hold its outcome."""
        phases, outcomes = [], []
        thread = threading.Thread(
            target=lambda: outcomes.append(self.evaluate("at_sleeping", SLEEPS, phases.append)), daemon=True
        )
        thread.start()
        until(lambda: "building" in phases, 120, "the candidate runs")
        self.wait_for_reserve()
        yield outcomes
        thread.join(PLATFORM_SECONDS)
        assert outcomes, "the attempt is stuck"

    def close(self):
        self.starts.close()
        self.launcher.stop()


@pytest.fixture
def docker_runner(tmp_path, engine):
    made = DockerRunner(tmp_path, engine)
    yield made
    made.close()


def test_a_killed_launcher_fails_attempts_as_infrastructure_and_its_successor_serves(docker_runner, engine):
    before = score(docker_runner.evaluate("at_before"))
    with docker_runner.running_attempt() as outcomes:
        assert len(containers_of(engine, "status=running")) >= 2
        docker_runner.launcher.kill()
    assert_platform_failed(outcomes[0], "launcher")
    until(lambda: not containers_of(engine, "status=running"), 10, "every container has ended")
    assert_platform_failed(docker_runner.evaluate("at_between"), "launcher")

    docker_runner.launcher.start()

    until(lambda: not containers_of(engine, "status=exited"), 20, "what the dead one left is swept")
    assert score(docker_runner.evaluate("at_after")) == before
    docker_runner.wait_for_reserve()


def test_a_killed_engine_fails_attempts_as_infrastructure_until_it_is_back(docker_runner, engine):
    before = score(docker_runner.evaluate("at_before"))
    with docker_runner.running_attempt() as outcomes:
        known = set(containers_of(engine))
        assert len(known) >= 2
        engine.kill()
    assert_platform_failed(outcomes[0])
    assert_platform_failed(docker_runner.evaluate("at_between"))

    engine.start()

    until(lambda: known.isdisjoint(containers_of(engine)), 60, "what was cut off is removed")
    until(lambda: docker_runner.evaluate("at_again").failure is None, 120, "attempts run again")
    assert score(docker_runner.evaluate("at_after")) == before


def test_a_killed_runner_takes_its_running_and_its_waiting_containers_along(tmp_path, engine):
    launcher = LauncherProcess(engine, home=tmp_path)
    open_to_sandboxes(tmp_path)
    launcher.start()
    try:
        code = textwrap.dedent(RUNNER_WITH_A_POOL)
        with subprocess.Popen(
            [sys.executable, "-c", code, str(launcher.socket)], stdout=subprocess.PIPE, text=True
        ) as runner:
            assert runner.stdout.readline() == "both\n"
            assert len(containers_of(engine, "status=running")) == 2
            runner.kill()
        until(lambda: not containers_of(engine, "status=running"), 5, "every container has ended")
        until(lambda: not containers_of(engine), 10, "every container is removed")
        until(lambda: not list((tmp_path / "sandboxes").glob("*/*")), 10, "their data folders are removed")
    finally:
        launcher.stop()
