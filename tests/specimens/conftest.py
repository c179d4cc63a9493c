"""One arena for each backend and way of starting; names at the end what this machine could not test."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.names import IsolationTier
from sandbox_runner.sandboxes.fork_server.backend import ForkingBackend
from sandbox_runner.specimens.arena import Arena
from sandbox_runner.specimens.catalogue import SPECIMENS
from sandbox_runner.specimens.specimen import Specimen
from sandbox_runner.specimens.surroundings import Outpost

sys.path.insert(0, str(Path(__file__).parent.parent / "behaviour"))
import docker_engine
import sandbox_harness
from bouts import Bouts

BACKENDS = sandbox_harness.BACKENDS
WAYS = {
    "namespaces": ("forked", "waited", "cold"),
    "docker+runc": ("waited", "cold"),
    "docker+runsc": ("waited", "cold"),
}
"""How sandboxes of each tier can start: forked from an imported process, imported as they waited, or anew."""
IN_MAKE_TEST = {("namespaces", "forked"), ("docker+runc", "waited"), ("docker+runsc", "waited")}
FORK_SECONDS = 240
UNTESTED = pytest.StashKey[dict[str, str]]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "bouts" not in metafunc.fixturenames:
        return
    with_specimen = "specimen" in metafunc.fixturenames
    cases = []
    for backend in BACKENDS:
        for start in WAYS[backend]:
            for specimen in SPECIMENS if with_specimen else [None]:
                marks = [pytest.mark.full] * _only_in_full(backend, start, specimen)
                marks += [pytest.mark.gpu] * (specimen is not None and specimen.device != "cpu")
                values = [(backend, start), specimen] if specimen else [(backend, start)]
                name = "-".join([backend, start, *([specimen.name] if specimen else [])])
                cases.append(pytest.param(*values, id=name, marks=marks))
    names = ["bouts", "specimen"] if with_specimen else ["bouts"]
    metafunc.parametrize(names, cases, indirect=["bouts"], scope="session")


def _only_in_full(backend: str, way: str, specimen: Specimen | None) -> bool:
    """`make test` runs all forked, and the essential ones on the Docker tiers, as they waited."""
    if (backend, way) not in IN_MAKE_TEST:
        return True
    return way != "forked" and specimen is not None and not specimen.essential


@pytest.fixture(scope="session")
def bouts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bouts]:
    name, start = request.param
    untested = request.config.stash[UNTESTED]
    if name in untested:
        pytest.skip(untested[name])
    folder = tmp_path_factory.mktemp("arena")
    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    sandbox_harness.FOLDER = folder / "sandboxes"  # so that the arena's accounting of files sees it
    try:
        backend = ForkingBackend(sandbox_harness.FOLDER) if start == "forked" else BACKENDS[name]()
    except pytest.skip.Exception as skipped:
        untested[name] = str(skipped)
        raise
    outpost = None
    if name != "namespaces":
        launcher = Path(os.environ[docker_engine.SHARED])
        outpost = Outpost(launcher, launcher.parent, launcher.parents[1] / "docker.sock")
    try:
        report = backend.probe()
        if not report.available:
            untested[name] = "; ".join(report.problems)
            pytest.skip(untested[name])
        if isinstance(backend, ForkingBackend) and not backend.wait_until_forking(FORK_SECONDS):
            # Root's sandboxes are forked wherever they hold at all: that they are not is no reason to skip.
            assert os.geteuid() != 0, backend.why_cold()
            untested[f"{name}, forked"] = backend.why_cold()
            pytest.skip(untested[f"{name}, forked"])
        with Arena(folder, backend, warm=start == "waited", outpost=outpost) as arena:
            chosen = _chosen(request.session, request.param)
            yield Bouts(arena, [specimen for specimen in chosen if specimen.device in arena.devices])
    finally:
        backend.close()


def _chosen(session: pytest.Session, bouts: tuple[str, str]) -> list[Specimen]:
    """The specimens that this run asks of these bouts."""
    parameters = [
        item.callspec.params
        for item in session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    ]
    return [one["specimen"] for one in parameters if one.get("bouts") == bouts and "specimen" in one]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[UNTESTED] = {
        tier.value: "no test backend of that name" for tier in IsolationTier if tier.value not in BACKENDS
    }


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Specimens that need a GPU are not run where there is none, and named."""
    left_out = [
        item for item in items if isinstance(item, pytest.Function) and item.get_closest_marker("gpu")
    ]
    names = {item.callspec.params["specimen"].name for item in left_out if hasattr(item, "callspec")}
    if names:
        left_out[0].config.stash[UNTESTED]["the GPU's"] = ", ".join(sorted(names))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for tier, reason in config.stash[UNTESTED].items():
        terminalreporter.write_line(f"specimens not tested: {tier} ({reason})", yellow=True)
