"""From a request's body to a stored evaluation. All checks come first: what is refused leaves no trace."""

from collections.abc import Sequence
from typing import Any

from contracts.measurements import Limits
from contracts.names import AttemptKind
from gateway.domain.evaluation import SMOKE_LIMITS, TRACE_LIMITS, EvaluationRecord, EvaluationRequest
from gateway.infra.agent_directory import live_agents
from gateway.infra.webhook_outbox import expect_callback
from gateway.routes.problems import RequestProblem
from gateway.routes.source_resolution import resolve_source
from gateway.routes.webhook_intake import require_receiver
from gateway.schemas.evaluation_body import EvaluationBody
from gateway.services import Services

CPU = "cpu"


def prepared(body: EvaluationBody, services: Services, tenant: str) -> EvaluationRequest:
    """A request that can run. Raises RequestProblem, DatasetUnknown, DatasetNotReady, ServiceUnavailable."""
    require_receiver(services, tenant, "callback_url", body.callback_url)
    seeds = _seeds(body)
    services.datasets.require_ready(body.dataset, tenant)
    require_device(body.device, services)
    resolved = resolve_source(body, services, body.dataset)
    return EvaluationRequest(
        source=resolved.source,
        dataset=body.dataset,
        epochs=body.epochs,
        seeds=seeds,
        train_images=body.train_images,
        hyperparameters=resolved.hyperparameters | body.hyperparameters,
        limits=_limits(body),
        threads=body.threads,
        device=body.device,
        integrity=body.integrity,
        minimum_tier=body.minimum_tier,
        priority=body.priority,
        tags=tuple(sorted(set(body.tags))),
        reuse=body.reuse,
        kind=body.kind,
        minimum_gpu_memory_bytes=body.minimum_gpu_memory_bytes,
    )


def submit(
    services: Services,
    session: Any,
    request: EvaluationRequest,
    tenant: str,
    callback_url: str | None = None,
) -> EvaluationRecord:
    """Store the request in the caller's transaction; `callback_url` was checked."""
    evaluation_id = services.evaluations.submit(session, request, tenant=tenant)
    if callback_url is not None:
        expect_callback(session, tenant, evaluation_id, callback_url)
    return services.evaluations.submitted(session, evaluation_id)


_USUAL_LIMITS = {AttemptKind.SMOKE: SMOKE_LIMITS, AttemptKind.TRACE: TRACE_LIMITS}
"""Of kinds that ask less than an evaluation."""


def require_room(services: Services, session: Any, tenant: str, wanted: Sequence[EvaluationRequest]) -> None:
    """Refuse, in the accepting transaction, what is beyond a tenant's quota. Raises QuotaExceeded."""
    services.quotas.require_evaluations(
        session,
        tenant,
        wanted=len(wanted),
        gpu=sum(request.device != CPU for request in wanted),
        stored=sum(len(request.source.encode()) for request in wanted),
    )


def _limits(body: EvaluationBody) -> Limits:
    if "limits" not in body.model_fields_set and body.kind in _USUAL_LIMITS:
        return _USUAL_LIMITS[body.kind]
    return Limits(**body.limits.model_dump())


def _seeds(body: EvaluationBody) -> tuple[int, ...]:
    if body.seeds is None:
        return (body.seed or 0,)
    if body.seed is not None:
        raise RequestProblem(
            422,
            "invalid_request",
            "seed and seeds exclude each other",
            field="seed",
            remedy="Send one of them.",
        )
    if len(set(body.seeds)) != len(body.seeds):
        raise RequestProblem(
            422,
            "invalid_request",
            "a seed is repeated",
            field="seeds",
            value=body.seeds,
            remedy="Name each once.",
        )
    return tuple(body.seeds)


def require_device(device: str, services: Services) -> None:
    """Refuse a device that no live host has; unknown hosts are given the benefit of the doubt."""
    with services.database.read() as session:
        agents = live_agents(session).values()
    offered = sorted({name for agent in agents for name in agent.devices})
    if offered and device not in offered:
        raise RequestProblem(
            422,
            "device_unavailable",
            f"No live host offers the device {device!r}.",
            field="device",
            value=device,
            remedy=f"Use one of: {', '.join(offered)}.",
        )
