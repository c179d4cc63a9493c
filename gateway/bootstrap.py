"""The only place where the gateway's parts are put together."""

import platform

from gateway.config import Settings
from gateway.domain.quotas import Quota
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
from gateway.infra.webhook_transport import WebhookTransport, trusting
from gateway.infra.work_leases import WorkLeases
from gateway.loop.dispatching import Dispatch
from gateway.loop.one_at_a_time import AFewAtATime, OneAtATime
from gateway.services import Services

MOST_PAIR_ANSWERS = 8
"""Sets of training pairs on disk at a time that their clients have not read yet."""
MOST_PAIR_ANSWERS_OF_ONE = 3
"""Of one tenant."""


class KeysRequired(Exception):
    """The gateway would be reachable from other machines, and no API key is in force."""


def open_services(settings: Settings) -> Services:
    """Everything that routes and the conductor need. Connects lazily; reads and writes nothing yet."""
    database = Database(settings.resolved_database_url, settings.database_connections)
    evaluations = EvaluationStore(database)
    quotas = QuotaStore(database, _usual_quota(settings))
    offers = AttemptOffers(database, quotas)
    training_hosts = TrainingHosts(database, quotas.has_gpu_seconds)
    leases = WorkLeases(database, settings.work_lease_seconds, platform.node())
    token = settings.service_token
    runner = RunnerClient(settings.runner_address, token)
    webhooks = WebhookTransport(settings.webhook_rules, tls=trusting(settings.webhook_ca_file))
    return Services(
        settings=settings,
        database=database,
        leases=leases,
        keys=ApiKeyStore(database),
        quotas=quotas,
        audit=AuditLog(database),
        evaluations=evaluations,
        searches=SearchStore(database, evaluations),
        candidates=CandidateStore(database),
        asks=AskJournal(database, require_storage=quotas.require_storage),
        offers=offers,
        queue=AttemptQueue(database, settings.lease_seconds),
        dispatch=_dispatch(settings, database, offers, training_hosts, leases),
        datasets=DatasetCatalogue(database, runner),
        baselines=BaselineCatalogue(database),
        baseline_imports=BaselineImportStore(database),
        baseline_spool=BaselineSpool(settings.home),
        smoke_runs=SmokeRunStore(database, evaluations),
        pair_makings=OneAtATime(),
        pair_answers=AFewAtATime(MOST_PAIR_ANSWERS, MOST_PAIR_ANSWERS_OF_ONE),
        fine_tunes=FineTuneStore(database),
        fine_tune_attempts=FineTuneAttempts(database, settings.lease_seconds),
        training_hosts=training_hosts,
        webhook_endpoints=WebhookEndpoints(database),
        webhook_log=WebhookLog(database),
        webhook_lookups=HostLookups(webhooks.rules, webhooks.resolve),
        webhook_transport=webhooks,
        generator=GeneratorClient(settings.generator_address, token),
        fine_tuning=FineTuneClient(settings.generator_address, token),
        filter=FilterClient(settings.filter_address, token),
        runner=runner,
    )


def _dispatch(
    settings: Settings,
    database: Database,
    offers: AttemptOffers,
    training_hosts: TrainingHosts,
    leases: WorkLeases,
) -> Dispatch | None:
    """What publishes attempts, where there is a broker. Raises BrokerAddressInvalid."""
    if settings.broker_url is None:
        return None
    # Only a farm has the libraries of a broker.
    from gateway.infra.broker import Broker

    broker = Broker(settings.broker_url.get_secret_value())
    return Dispatch(database, offers, training_hosts, leases, broker, settings.republish_seconds)


def _usual_quota(settings: Settings) -> Quota:
    """What a tenant may use that has no quota of its own."""
    return Quota(
        weight=1.0,
        queued=settings.max_open_evaluations,
        running=settings.max_running_attempts,
        gpu_seconds_per_day=settings.gpu_seconds_per_day,
        storage_bytes=settings.storage_bytes,
        searches=settings.max_open_searches,
    )


def close_services(services: Services) -> None:
    """Close every connection."""
    for client in (services.generator, services.fine_tuning, services.filter, services.runner):
        client.close()
    services.database.close()


def require_keys_beyond_loopback(services: Services) -> None:
    """Raises KeysRequired when a stranger could call without a key."""
    if not services.settings.keyless and not services.keys.any_in_force():
        raise KeysRequired(
            f"{services.settings.gateway_address} needs API keys, and none is in force: make one with "
            "`deltanas keys create`, or listen on 127.0.0.1"
        )
