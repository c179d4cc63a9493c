"""How large the chaos is (EVALUATIONS=300 make test-chaos), and farms for it."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whole_farm import WholeFarm

# What stands there serves here, too: runners as tests see them from outside.
sys.path.append(str(Path(__file__).parents[1] / "integration"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this is for full runs, and kills real sandboxes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for mark in (pytest.mark.slow, pytest.mark.full, pytest.mark.sandbox, pytest.mark.timeout(7200)):
                item.add_marker(mark)


@pytest.fixture(scope="session")
def evaluations() -> int:
    """How many evaluations random chaos goes on for."""
    return int(os.environ.get("EVALUATIONS", "40"))


@pytest.fixture(scope="session")
def seed() -> int:
    """What random chaos is drawn from; the test prints it."""
    return int(os.environ.get("CHAOS_SEED") or int.from_bytes(os.urandom(4)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For a farm of a file's own: where sandboxes, under their own accounts, can reach what is theirs."""
    return _open_folder(tmp_path_factory)


@pytest.fixture(scope="session")
def farm(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[WholeFarm]":
    """A farm of two gateways and two hosts, for all scenes that leave it whole."""
    from whole_farm import running_farm

    with running_farm(_open_folder(tmp_path_factory)) as farm:
        yield farm


def _open_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("redis-server") is None:
        pytest.skip("Redis is not installed: bash deploy/system-packages.sh redis")
    made = tmp_path_factory.mktemp("f")
    for path in (made, *made.parents):
        if str(path).startswith("/tmp/") and path.stat().st_uid == os.geteuid():
            path.chmod(0o755)
    return made
