"""Which tiers hold: proven, doubted, proven again."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from fakes import ScriptedBackend

from contracts.jobs import BEING_PROVEN
from contracts.measurements import Limits
from contracts.names import IsolationTier
from sandbox_runner import tiers as tiers_module
from sandbox_runner.sandboxes.port import SandboxSpec, SandboxUnavailable
from sandbox_runner.tiers import Tiers

USUAL = SandboxSpec("usual", ("python",), Limits())


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


class Backend(ScriptedBackend):
    """Its probe and its launches fail while `trouble` is set."""

    def __init__(self, name: str, tier: IsolationTier, trouble: str = "") -> None:
        super().__init__(lambda guest: guest.hear())
        self.name, self.tier, self.trouble = name, tier, trouble
        self.probes = 0
        self.details: dict[str, str] = {}

    def probe(self):
        self.probes += 1
        problems = (self.trouble,) if self.trouble else ()
        return replace(
            super().probe(),
            name=self.name,
            tier=self.tier,
            available=not problems,
            problems=problems,
            details=self.details,
        )

    def launch(self, spec):
        if self.trouble:
            raise SandboxUnavailable(self.trouble)
        return super().launch(spec)


@pytest.fixture
def weak() -> Backend:
    return Backend("namespaces", IsolationTier.NAMESPACES)


@pytest.fixture
def strong() -> Backend:
    return Backend("docker+runc", IsolationTier.DOCKER_RUNC)


@pytest.fixture
def make(weak: Backend, strong: Backend) -> Iterator[Callable[..., Tiers]]:
    made: list[Tiers] = []

    def make_tiers(minimum: IsolationTier = IsolationTier.NAMESPACES) -> Tiers:
        tiers = Tiers([weak, strong], 0, minimum, lambda: USUAL)
        made.append(tiers)
        assert BEING_PROVEN in str(tiers.reports())
        tiers.start()
        eventually(lambda: "being probed" not in str(tiers.reasons_not_ready()))
        return tiers

    yield make_tiers
    for tiers in made:
        tiers.stop()


def test_what_guests_run_on_is_told_of_the_backend_that_is_used(make, strong: Backend) -> None:
    strong.details = {"environment_digest": "of the pinned image"}
    tiers = make()
    assert tiers.environment_digest() == "of the pinned image"

    with tiers.starts(IsolationTier.NAMESPACES).sandbox(USUAL) as sandbox:  # of another image meanwhile
        assert tiers.environment_digest() == sandbox.environment_digest == "digest"


def test_without_a_backend_nobody_says_what_guests_run_on(make, weak: Backend, strong: Backend) -> None:
    weak.trouble = strong.trouble = "no cgroups here"
    assert make().environment_digest() is None


def test_the_strongest_that_holds_is_used(make) -> None:
    tiers = make()

    assert tiers.strongest() is IsolationTier.DOCKER_RUNC
    assert tiers.starts(IsolationTier.NAMESPACES).backend.name == "docker+runc"
    assert tiers.reasons_not_ready() == []


def test_how_many_sandboxes_wait_is_told(weak: Backend, strong: Backend) -> None:
    tiers = Tiers([weak, strong], 2, IsolationTier.NAMESPACES, lambda: USUAL)
    tiers.start()
    eventually(lambda: tiers.waiting() == 1)
    tiers.stop()
    assert tiers.waiting() == 0


def test_below_the_minimum_nothing_runs_whatever_an_attempt_asks_for(make, strong) -> None:
    strong.trouble = "no engine; start one"
    tiers = make(IsolationTier.DOCKER_RUNC)

    assert tiers.strongest() is None
    assert "no engine" in tiers.reasons_not_ready()[0]
    with pytest.raises(SandboxUnavailable):
        tiers.starts(IsolationTier.NAMESPACES)


def test_a_backend_that_failed_is_not_used_until_it_is_proven_again(make, strong) -> None:
    tiers = make()
    strong.trouble = "the engine has gone"
    with pytest.raises(SandboxUnavailable), tiers.starts(IsolationTier.NAMESPACES).sandbox(USUAL):
        pass

    assert tiers.strongest() is IsolationTier.NAMESPACES
    eventually(lambda: strong.probes == 2)
    eventually(lambda: "the engine has gone" in str(tiers.reports()))
    assert tiers.strongest() is IsolationTier.NAMESPACES


def test_a_sandbox_that_the_platform_loses_brings_doubt_too_and_a_passed_probe_ends_it(make, strong) -> None:
    tiers = make()
    with pytest.raises(SandboxUnavailable), tiers.starts(IsolationTier.NAMESPACES).sandbox(USUAL):
        raise SandboxUnavailable("the launcher has gone")

    eventually(lambda: strong.probes == 2)
    eventually(lambda: tiers.strongest() is IsolationTier.DOCKER_RUNC)


def test_what_an_operator_mends_is_noticed(make, weak, strong, monkeypatch) -> None:
    monkeypatch.setattr(tiers_module, "PROBE_AGAIN_SECONDS", 0.02)
    strong.trouble = weak.trouble = "cgroups are missing"
    tiers = make()
    assert tiers.strongest() is None

    weak.trouble = ""

    eventually(lambda: tiers.strongest() is IsolationTier.NAMESPACES)


def test_a_probe_that_raises_leaves_the_backend_unproven(make, strong, monkeypatch) -> None:
    monkeypatch.setattr(strong, "probe", lambda: 1 / 0)
    tiers = make()

    assert tiers.strongest() is None
    assert tiers.reasons_not_ready()
