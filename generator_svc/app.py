"""The generator's HTTP surface: proposals, deltas, training pairs, fine-tunes, baselines.

Handlers are plain functions, so everything that computes runs in threads and never on the event
loop. Proposals are not stored here; the gateway keeps what it received.
"""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException

from contracts.jobs import BaselineNetwork
from contracts.problems import PROBLEM_MEDIA_TYPE, problem, validation_problem
from contracts.proposals import ProposerBlocked
from contracts.request_log import LogRequests
from contracts.service_documents import NDJSON, OCTETS, READINESS, TAR, completed
from contracts.service_gate import BodyLimit, RequireToken
from generator_svc.config import GeneratorSettings
from generator_svc.held_up import HeldUp
from generator_svc.language_models.endpoint_models import EndpointModels
from generator_svc.language_models.local import LocalLimits, LocalModels
from generator_svc.language_models.paid_tries import PaidTries
from generator_svc.metrics import CONTENT_TYPE, GeneratorMetrics
from generator_svc.proposers import OptionsInvalid, known_proposers
from generator_svc.request_checks import Refused
from generator_svc.routes_deltas import add_delta_routes
from generator_svc.routes_fine_tuning import ADAPTERS_PATH, FINE_TUNES_PATH, add_fine_tuning_routes
from generator_svc.routes_lemur import READ_NETWORKS_PATH, add_lemur_routes
from generator_svc.routes_loans import add_loan_routes
from generator_svc.routes_proposals import add_proposal_routes
from generator_svc.routes_training_pairs import (
    MAX_ORDERS_BYTES,
    TRAINING_PAIRS_PATH,
    add_training_pair_routes,
)
from generator_svc.seeds import baseline_networks

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Eight sources, each with what was tried on it, with room for JSON's escapes."""

BODY_LIMITS: dict[str, int | None] = {READ_NETWORKS_PATH: None, TRAINING_PAIRS_PATH: MAX_ORDERS_BYTES}
"""Of paths that are an exception. None where the handler itself reads a bounded stream."""

_JOB, _ADAPTER = f"{FINE_TUNES_PATH}/{{job_id}}", f"{ADAPTERS_PATH}/{{adapter_id}}"
MAY_ANSWER: dict[str, tuple[int, ...]] = {
    "/v1/proposals": (503,),
    "/v1/baselines/{name}": (404,),
    READ_NETWORKS_PATH: (409, 503),
    _JOB: (404, 409, 503),
    f"{_JOB}:cancel": (404,),
    f"{_JOB}:retry": (404,),
    f"{_JOB}:rest": (404,),
    f"{_JOB}/events": (404,),
    f"{_JOB}/chats": (404,),
    _ADAPTER: (404, 409, 503),
    f"{_ADAPTER}/files": (404,),
    f"{_ADAPTER}/files/{{name}}": (404,),
    f"{_ADAPTER}/parcel": (404,),
}
STREAMS = {
    "/v1/proposals": NDJSON,
    TRAINING_PAIRS_PATH: NDJSON,
    READ_NETWORKS_PATH: NDJSON,
    f"{_JOB}/events": NDJSON,
    f"{_JOB}/chats": NDJSON,
    f"{_ADAPTER}/files": TAR,
    f"{_ADAPTER}/files/{{name}}": OCTETS,
    f"{_ADAPTER}/parcel": OCTETS,
    "/metrics": "text/plain",
}
"""For the document: with which problems paths answer, and which answer no JSON."""


def create_app(settings: GeneratorSettings) -> FastAPI:
    """The service, closed to callers without the service token. Raises EndpointsInvalid."""

    local = _local_models(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if desk is not None:
            await run_in_threadpool(desk.start)
        yield
        if desk is not None:
            await run_in_threadpool(desk.stop)
        if local is not None:
            await run_in_threadpool(local.close)

    app = FastAPI(title="deltanas generator", docs_url=None, redoc_url=None, lifespan=lifespan)
    paid = PaidTries(settings.home)
    proposers = known_proposers(EndpointModels(settings.endpoints(), paid=paid), local, paid)
    add_proposal_routes(app, proposers)
    add_delta_routes(app)
    add_training_pair_routes(app, proposers["mutation"])
    # Two sets of weights at a time would not fit: what is loaded to answer goes before training begins.
    unload = local.unload if local is not None else lambda: True
    desk = add_fine_tuning_routes(app, settings.home, unload)
    if desk is not None:
        add_loan_routes(app, desk)
        if local is not None:
            local.leave_free(desk.memory_to_come)
    _add_baselines(app)
    add_lemur_routes(app, settings.home)

    def job_states() -> list[str]:
        return [status.state.value for status in desk.statuses()] if desk is not None else []

    metrics = GeneratorMetrics(job_states)
    _add_metrics(app, metrics)
    _add_health(app)
    _add_error_handlers(app)
    derived = app.openapi
    app.openapi = lambda: completed(derived(), MAY_ANSWER, STREAMS)  # type: ignore[method-assign]
    app.add_middleware(BodyLimit, limit_for_path=_body_limit)
    app.add_middleware(
        RequireToken,
        token_sha256=settings.service_token_sha256,
        metrics_token_sha256=settings.metrics_token_sha256,
    )
    app.add_middleware(LogRequests, observe=metrics.observe_request)
    return app


def _local_models(settings: GeneratorSettings) -> LocalModels | None:
    """The models on this machine's disk; None without a home to look into."""
    if settings.home is None:
        return None
    limits = LocalLimits(
        memory_bytes=settings.local_model_memory_bytes,
        threads=settings.local_model_threads,
        call_seconds=settings.local_model_call_seconds,
        idle_seconds=settings.local_model_idle_seconds,
    )
    return LocalModels(settings.home, limits)


def _body_limit(path: str) -> int | None:
    if path.startswith((f"{FINE_TUNES_PATH}/", f"{ADAPTERS_PATH}/")):
        return None
    return BODY_LIMITS.get(path, MAX_BODY_BYTES)


def _add_baselines(app: FastAPI) -> None:
    @app.get("/v1/baselines")
    def list_baselines() -> dict[str, list[BaselineNetwork]]:
        """Every shipped baseline, in catalogue order."""
        return {"items": list(baseline_networks().values())}

    @app.get("/v1/baselines/{name}")
    def read_baseline(name: str) -> BaselineNetwork:
        """One baseline, or 404."""
        network = baseline_networks().get(name)
        if network is None:
            raise HTTPException(404, f"No baseline is named {name[:80]!r}.")
        return network


def _add_metrics(app: FastAPI, metrics: GeneratorMetrics) -> None:
    @app.get("/metrics")
    def page() -> Response:
        """What this process measures, for Prometheus."""
        return Response(metrics.page(), media_type=CONTENT_TYPE)


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok"}

    @app.get("/readyz", responses=READINESS)
    def readyz() -> JSONResponse:
        """Whether the shipped baselines can be read."""
        try:
            baseline_networks()
        except (OSError, ValueError, KeyError) as error:
            return JSONResponse({"status": "unready", "reasons": [f"baselines: {error}"]}, 503)
        return JSONResponse({"status": "ok", "reasons": []})


def _add_error_handlers(app: FastAPI) -> None:
    def answer(document: dict[str, Any]) -> JSONResponse:
        return JSONResponse(document, document["status"], media_type=PROBLEM_MEDIA_TYPE)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(validation_problem(error.errors()))

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> JSONResponse:
        return answer(error.document)

    @app.exception_handler(OptionsInvalid)
    async def options_invalid(_request: Request, error: OptionsInvalid) -> JSONResponse:
        return answer(
            problem(
                422,
                "invalid_options",
                f"{error.field}: {error.message}",
                field=error.field,
                value=error.value,
                remedy=error.remedy,
            )
        )

    @app.exception_handler(HeldUp)
    async def held_up(_request: Request, error: HeldUp) -> JSONResponse:
        return _held_up_answer(error.blocked)

    @app.exception_handler(StarletteHTTPException)
    async def http_error(_request: Request, error: StarletteHTTPException) -> JSONResponse:
        codes = {404: "not_found", 405: "method_not_allowed"}
        return answer(
            problem(error.status_code, codes.get(error.status_code, "http_error"), str(error.detail))
        )


def _held_up_answer(blocked: ProposerBlocked) -> JSONResponse:
    """What waiting may mend is unavailable; what somebody must change first is refused."""
    status = 503 if blocked.retryable else 422
    field = "adapter" if blocked.code.startswith("adapter") else "options"
    document = problem(status, blocked.code, blocked.message, field=field, remedy=blocked.remedy)
    headers = {}
    if blocked.retryable and blocked.retry_after_seconds is not None:
        headers["Retry-After"] = str(math.ceil(blocked.retry_after_seconds))
    return JSONResponse(document, status, headers, PROBLEM_MEDIA_TYPE)
