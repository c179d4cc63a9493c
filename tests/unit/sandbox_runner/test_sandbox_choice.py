import pytest

from contracts.jobs import BackendReport
from contracts.names import IsolationTier
from sandbox_runner.sandboxes import choice
from sandbox_runner.sandboxes.port import SandboxUnavailable


class ReportingBackend:
    def __init__(self, tier, problems=()):
        self.name, self.tier, self._problems = f"fake-{tier}", tier, problems

    def probe(self):
        return BackendReport(self.name, self.tier, not self._problems, self._problems)

    def launch(self, spec):
        raise AssertionError("never launched here")

    def close(self):
        pass


NAMESPACES = ReportingBackend(IsolationTier.NAMESPACES)
RUNC = ReportingBackend(IsolationTier.DOCKER_RUNC)
BROKEN = ReportingBackend(IsolationTier.DOCKER_RUNSC, ("no engine; apt-get install docker.io",))


def test_strongest_backend_that_passed_is_chosen():
    assert choice.strongest(choice.probe_all([NAMESPACES, BROKEN, RUNC])) is RUNC


def test_nothing_below_the_minimum_is_chosen():
    with pytest.raises(SandboxUnavailable, match=r"docker\+runsc or stronger.*apt-get install docker.io"):
        choice.strongest(choice.probe_all([NAMESPACES, BROKEN]), IsolationTier.DOCKER_RUNSC)


def test_without_any_backend_nothing_runs():
    with pytest.raises(SandboxUnavailable):
        choice.strongest(())


def test_tiers_without_a_launcher_are_reported_by_name():
    reported = {report.tier: report for report in choice.reports(choice.probe_all([NAMESPACES]))}
    assert reported[IsolationTier.NAMESPACES].available
    for tier in (IsolationTier.DOCKER_RUNC, IsolationTier.DOCKER_RUNSC):
        assert not reported[tier].available
        assert reported[tier].name == tier.value
        assert "DELTANAS_LAUNCHER_SOCKET" in reported[tier].problems[0]


def test_with_a_launcher_every_tier_is_built_in(tmp_path):
    backends = choice.built_in(tmp_path, tmp_path / "launcher.sock")
    assert {backend.tier for backend in backends} == set(IsolationTier)
