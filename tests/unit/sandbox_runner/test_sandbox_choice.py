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


def test_tiers_that_are_not_built_in_are_reported_by_name():
    reported = {report.tier: report for report in choice.reports(choice.probe_all([NAMESPACES]))}
    assert reported[IsolationTier.NAMESPACES].available
    for tier in (IsolationTier.DOCKER_RUNC, IsolationTier.DOCKER_RUNSC):
        assert not reported[tier].available
        assert tier.value in reported[tier].problems[0]
