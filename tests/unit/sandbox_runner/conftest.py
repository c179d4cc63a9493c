"""What the sandbox runner's tests may ask for."""

from collections.abc import Callable, Iterator

import pytest
from fakes import ScriptedBackend
from warm_pool import Pool

from sandbox_runner import starts


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
