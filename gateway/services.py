"""What routes and the conductor work with: one object, wired in `gateway.bootstrap`, passed to both."""

from dataclasses import dataclass

from gateway.config import Settings
from gateway.infra.api_keys import ApiKeyStore
from gateway.infra.ask_journal import AskJournal
from gateway.infra.attempt_offers import AttemptOffers
from gateway.infra.attempt_queue import AttemptQueue
from gateway.infra.audit_log import AuditLog
from gateway.infra.baseline_catalogue import BaselineCatalogue
from gateway.infra.baseline_imports import BaselineImportStore
from gateway.infra.baseline_smokes import SmokeRunStore
from gateway.infra.baseline_spool import BaselineSpool
from gateway.infra.candidate_store import CandidateStore
from gateway.infra.database import Database
from gateway.infra.dataset_catalogue import DatasetCatalogue
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.filter_client import FilterClient
from gateway.infra.fine_tune_attempts import FineTuneAttempts
from gateway.infra.fine_tune_client import FineTuneClient
from gateway.infra.fine_tunes import FineTuneStore
from gateway.infra.generator_client import GeneratorClient
from gateway.infra.quotas import QuotaStore
from gateway.infra.runner_client import RunnerClient
from gateway.infra.search_store import SearchStore
from gateway.infra.training_hosts import TrainingHosts
from gateway.infra.webhook_endpoints import WebhookEndpoints
from gateway.infra.webhook_log import WebhookLog
from gateway.infra.webhook_lookups import HostLookups
from gateway.infra.webhook_transport import WebhookTransport
from gateway.infra.work_leases import WorkLeases
from gateway.loop.dispatching import Dispatch
from gateway.loop.one_at_a_time import AFewAtATime, OneAtATime


@dataclass(frozen=True)
class Services:
    """Everything with a connection or a lock. Opened and closed by the application's lifespan."""

    settings: Settings
    database: Database
    leases: WorkLeases
    keys: ApiKeyStore
    quotas: QuotaStore
    audit: AuditLog
    evaluations: EvaluationStore
    searches: SearchStore
    candidates: CandidateStore
    asks: AskJournal
    offers: AttemptOffers
    queue: AttemptQueue
    dispatch: Dispatch | None
    datasets: DatasetCatalogue
    baselines: BaselineCatalogue
    baseline_imports: BaselineImportStore
    baseline_spool: BaselineSpool
    smoke_runs: SmokeRunStore
    pair_makings: OneAtATime
    pair_answers: AFewAtATime
    fine_tunes: FineTuneStore
    fine_tune_attempts: FineTuneAttempts
    training_hosts: TrainingHosts
    webhook_endpoints: WebhookEndpoints
    webhook_log: WebhookLog
    webhook_lookups: HostLookups
    webhook_transport: WebhookTransport
    generator: GeneratorClient
    fine_tuning: FineTuneClient
    filter: FilterClient
    runner: RunnerClient
