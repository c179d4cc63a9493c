"""What routes and the conductor work with: one object, wired in `gateway.bootstrap`, passed to both."""

from dataclasses import dataclass

from gateway.config import Settings
from gateway.infra.database import Database
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.service_clients import FilterClient, GeneratorClient, RunnerClient


@dataclass(frozen=True)
class Services:
    """Everything with a connection or a lock. Closed by the application's lifespan."""

    settings: Settings
    database: Database
    evaluations: EvaluationStore
    generator: GeneratorClient
    filter: FilterClient
    runner: RunnerClient
