"""What the sandbox runner's tests may ask for."""

import os
from collections.abc import Callable, Iterator
from threading import Event

import pytest
from attempt_scene import make_library, make_spec
from fakes import ScriptedBackend
from warm_pool import Pool

from contracts.jobs import AttemptOutcome
from sandbox_runner import starts
from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.datasets.library import Library
from sandbox_runner.gpus import Gpus
from sandbox_runner.starts import Starts

NO_GPUS = Gpus(())


@pytest.fixture
def make_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Pool]]:
    """Makes pools of waiting sandboxes, which hardly rest between two looks; in the end nothing is left."""
    monkeypatch.setattr(starts, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(starts, "IMPORT_LOOK_SECONDS", 0.005)
    made: list[Pool] = []

    def make(most_waiting: int, backend: ScriptedBackend | None = None, **options: int) -> Pool:
        made.append(Pool(most_waiting, backend, **options))
        return made[-1]

    yield make
    for pool in made:
        pool.starts.close()
        assert not pool.open()


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """A library that holds `stripes`, to be looked at and not to be changed."""
    return make_library(tmp_path_factory.mktemp("home"))


@pytest.fixture
def run_guest(stripes: Library) -> Iterator[Callable[..., AttemptOutcome]]:
    """Runs an attempt with a scripted guest; in the end every sandbox and every pipe is closed."""
    backends: list[ScriptedBackend] = []

    def run(
        script, cancelled: Event | None = None, broken: str = "", gpus: Gpus = NO_GPUS, **changes
    ) -> AttemptOutcome:
        backend = ScriptedBackend(script, broken)
        backends.append(backend)
        bench = Bench(Starts(backend, 0), stripes, "digest", gpus)
        return run_attempt(make_spec(**changes), bench, cancelled or Event(), lambda _: None)

    before = _open_pipes()
    yield run
    assert all(sandbox.closed for backend in backends for sandbox in backend.sandboxes)
    assert _open_pipes() == before


def _open_pipes() -> int:
    """Pipes and selectors of this process. Files may stay mapped while a logged traceback is kept."""
    links = [f"/proc/self/fd/{descriptor}" for descriptor in os.listdir("/proc/self/fd")]
    targets = [os.readlink(link) for link in links if os.path.islink(link)]
    return sum(target.startswith(("pipe:", "anon_inode:")) for target in targets)
