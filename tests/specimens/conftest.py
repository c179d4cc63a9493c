import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.names import IsolationTier
from sandbox_runner.sandboxes.choice import probe_all, strongest
from sandbox_runner.specimens.arena import Arena


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    folder = tmp_path_factory.mktemp("arena")
    # The sandbox's user must reach the dataset, so that only the sandbox keeps it from the rest.
    for parent in (folder, *folder.parents[:3]):
        if parent.owner() == Path(folder).owner() and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    os.environ["DELTANAS_SPECIMEN_SECRET"] = "specimen-secret"
    probed = probe_all()
    backend = strongest(probed, IsolationTier.NAMESPACES)
    with Arena(folder, backend) as ready:
        yield ready
    for one in probed:
        one.backend.close()
    del os.environ["DELTANAS_SPECIMEN_SECRET"]
