"""Which datasets exist and are ready: by the agents' heartbeats, and by the runner where that is fresher."""

from contracts.jobs import DatasetReport
from gateway.infra.agent_directory import known_datasets
from gateway.infra.database import Database
from gateway.infra.dataset_owners import DatasetOwners
from gateway.infra.runner_client import RunnerClient
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable


class DatasetUnknown(Exception):
    """No host knows the dataset. `known` lists the names there are."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(name)
        self.name = name
        self.known = known


class DatasetNotReady(Exception):
    """The dataset is known but not prepared anywhere. `problem` says why and what to run."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name)
        self.name = name
        self.problem = problem or f"run `deltanas datasets prepare {name}`"


class DatasetCatalogue:
    """Answers about datasets. Thread-safe."""

    def __init__(self, database: Database, runner: RunnerClient) -> None:
        self._database = database
        self._runner = runner
        self.owners = DatasetOwners(database)

    def reports(self, tenant: str) -> list[DatasetReport]:
        """Every dataset that a tenant knows, by name. Raises ServiceUnavailable when no host can be asked."""
        hidden = self.owners.hidden_from(tenant)
        return [report for report in self.all_reports() if report.name not in hidden]

    def all_reports(self) -> list[DatasetReport]:
        """Every dataset of every tenant."""
        with self._database.read() as session:
            known = known_datasets(session)
        try:
            fresh = {report.name: report for report in self._runner.datasets()}
        except (ServiceUnavailable, ServiceRefused):
            if not known:
                raise
            fresh = {}
        # A heartbeat may be older than a preparation that runs now; ready somewhere is ready.
        known |= {
            name: report for name, report in fresh.items() if name not in known or not known[name].ready
        }
        return [known[name] for name in sorted(known)]

    def require_ready(self, name: str, tenant: str) -> DatasetReport:
        """The report of a dataset that a tenant can use now; another tenant's is unknown.

        Raises DatasetUnknown, DatasetNotReady, or ServiceUnavailable when no host can be asked.
        """
        with self._database.read() as session:
            report = known_datasets(session).get(name)
        if report is not None and report.ready and name not in self.owners.hidden_from(tenant):
            return report
        reports = {report.name: report for report in self.reports(tenant)}
        if name not in reports:
            raise DatasetUnknown(name, sorted(reports))
        if not reports[name].ready:
            raise DatasetNotReady(name, reports[name].problem)
        return reports[name]
