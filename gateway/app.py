"""The gateway's application: routes, guards, and a lifespan that opens and closes everything."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from contracts.request_log import LogRequests
from contracts.service_gate import BodyLimit
from gateway.audit_trail import AuditTrail
from gateway.bootstrap import close_services, open_services, require_keys_beyond_loopback
from gateway.callers import IdentifyCallers
from gateway.config import Settings
from gateway.http_guard import (
    GuardInternal,
    HeadAsGet,
    RefuseAmbiguousLength,
    RefuseForeignPages,
    body_limit,
)
from gateway.infra.home_lock import HomeLock
from gateway.infra.housekeeper import Housekeeper
from gateway.infra.metrics import GatewayMetrics
from gateway.infra.readiness import Readiness
from gateway.infra.retention import Forgetting
from gateway.infra.schema_migrations import migrate
from gateway.infra.shared_signals import SharedSignals
from gateway.infra.sweeper import Sweeper
from gateway.infra.tenant_chores import TenantChores
from gateway.infra.tenant_leftovers import Leftovers
from gateway.loop.baseline_conductor import BaselineConductor
from gateway.loop.conductor import Conductor
from gateway.loop.fine_tune_conductor import FineTuneConductor
from gateway.loop.webhook_deliveries import WebhookDeliveries
from gateway.routes import (
    adapters,
    api_pages,
    ask_tell,
    baseline_imports,
    baseline_smoke_runs,
    baselines,
    candidate_replay,
    datasets,
    deltas,
    evaluations,
    fine_tunes,
    front_page,
    internal,
    keys,
    novelty,
    operations,
    search_theory,
    searches,
    tenant_removal,
    tenants,
    training_hosts,
    training_pairs,
    webhooks,
)
from gateway.routes.api_document import document_of
from gateway.routes.problems import install_problem_handlers
from gateway.services import Services

SWEEPS_PER_LEASE = 5


def create_app(settings: Settings, open_services: Callable[[Settings], Services] = open_services) -> FastAPI:
    """The application. Nothing is opened before its lifespan begins."""
    metrics = GatewayMetrics(by_tenant=settings.metrics_tenants)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            services = await run_in_threadpool(_start, settings, open_services, stack, metrics)
            app.state.services, app.state.metrics = services, metrics
            app.state.readiness = Readiness(operations.probes(services))
            yield

    app = FastAPI(title="deltanas", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    for module in (
        evaluations,
        deltas,
        novelty,
        training_pairs,
        fine_tunes,
        adapters,
        datasets,
        # A baseline may have a slash in its name: its route comes after those that stand beside it.
        baseline_imports,
        baseline_smoke_runs,
        baselines,
        searches,
        search_theory,
        candidate_replay,
        ask_tell,
        webhooks,
        keys,
        tenants,
        tenant_removal,
        operations,
        front_page,
        api_pages,
        internal,
        training_hosts,
    ):
        # Not `include_router`, which makes every route anew for each application, when it is first asked.
        app.router.routes.extend(module.router.routes)
    install_problem_handlers(app)
    app.openapi = document_of(app, keyless=settings.keyless)  # type: ignore[method-assign]
    # The last one added is the outermost.
    app.add_middleware(AuditTrail)
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit, limit_for_path=body_limit)
    app.add_middleware(
        IdentifyCallers,
        keyless=settings.keyless,
        per_tenant=settings.requests_per_tenant,
        per_address=settings.requests_per_address,
        at_once=settings.requests_at_once,
    )
    app.add_middleware(GuardInternal, token_sha256=settings.internal_token_sha256)
    if settings.keyless:
        app.add_middleware(RefuseForeignPages, allowed_hosts=settings.allowed_hosts)
    app.add_middleware(RefuseAmbiguousLength)
    app.add_middleware(LogRequests, observe=metrics.observe_request)
    return app


def _start(
    settings: Settings,
    open_services: Callable[[Settings], Services],
    stack: AsyncExitStack,
    metrics: GatewayMetrics,
) -> Services:
    """Open everything in order; the stack closes what was opened, in reverse, also when a step fails."""
    lock = HomeLock(settings.home)
    lock.acquire()
    stack.callback(lock.release)
    services = open_services(settings)
    stack.callback(close_services, services)
    metrics.watch(services.database)  # before there are threads that use it
    migrate(services.database)
    require_keys_beyond_loopback(services)
    if services.database.is_shared:
        shared_signals = SharedSignals(services.database)
        shared_signals.start()
        stack.callback(shared_signals.stop)
    services.leases.start()
    stack.callback(services.leases.stop)
    sweeper = Sweeper(
        services.database, services.queue, services.leases, settings.lease_seconds / SWEEPS_PER_LEASE
    )
    sweeper.start()
    stack.callback(sweeper.stop)
    chores = TenantChores(services.database, services.offers, settings.audit_days)
    chores.start()
    stack.callback(chores.stop)
    leftovers = Leftovers(services.filter, services.fine_tuning, services.runner, services.baseline_spool)
    housekeeper = Housekeeper(
        services.database,
        Forgetting(services.database, settings.retention, leftovers.forget_scope, leftovers.forget_fine_tune),
    )
    housekeeper.start()
    stack.callback(housekeeper.stop)
    deliveries = WebhookDeliveries(services.database, services.webhook_transport)
    deliveries.start()
    stack.callback(deliveries.stop)
    if services.dispatch is not None:
        services.dispatch.start()
        stack.callback(services.dispatch.stop)
    if settings.conductor:
        conductor = Conductor(services)
        conductor.start()
        stack.callback(conductor.stop)
        baseline_conductor = BaselineConductor(services)
        baseline_conductor.start()
        stack.callback(baseline_conductor.stop)
        fine_tune_conductor = FineTuneConductor(services)
        fine_tune_conductor.start()
        stack.callback(fine_tune_conductor.stop)
    return services
