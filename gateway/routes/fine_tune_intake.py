"""From a request's body to a fine-tuning job that can run. All checks come first."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from contracts.proposals import ProposalRequest, ProposerBlocked
from gateway.domain.fine_tune_plan import EliteDeltas
from gateway.domain.fine_tuning import EliteSource, FineTuneRequest, GivenPair
from gateway.infra.fine_tunes import AdapterUnknown
from gateway.infra.generator_client import ProposerHeldUp
from gateway.infra.service_clients import ServiceRefused
from gateway.routes.problems import RequestProblem
from gateway.schemas.fine_tune_body import FineTuneBody
from gateway.schemas.search_body import SearchBody
from gateway.services import Services

LOCAL_PROPOSER = "local_llm"
MAX_OPEN_JOBS = 8
"""Of one tenant. One is trained at a time."""
FULL_RETRY_SECONDS = 60


def prepared(body: FineTuneBody, services: Services, tenant: str) -> FineTuneRequest:
    """Resolve and check every name. Raises RequestProblem, SearchNotFound, ServiceUnavailable."""
    elites = None if body.search_id is None else _elites(body.search_id, body.deltas, services, tenant)
    if body.parent_adapter is not None:
        require_adapter("parent_adapter", body.parent_adapter, body.model, services, tenant)
    pairs = None if body.training_pairs is None else body.training_pairs.settings
    if pairs is not None:
        _require_recorded("training_pairs.dataset", pairs.dataset, services)
    _require_model(body, services)
    settings = {**body.settings, "seed": body.seed}
    return FineTuneRequest(body.model, body.parent_adapter, settings, elites, pairs)


def require_adapter(field: str, adapter_id: str, model: str | None, services: Services, tenant: str) -> None:
    """Refuse an adapter that is not the tenant's, or, where a `model` is named, is of another one."""
    try:
        of_model = services.fine_tunes.adapter(adapter_id, tenant).request.model
    except AdapterUnknown as error:
        raise RequestProblem(
            422,
            "adapter_unknown",
            f"There is no adapter {adapter_id!r}.",
            field=field,
            value=adapter_id,
            remedy="`deltanas adapters list` shows those that are there.",
        ) from error
    if model is not None and of_model != model:
        raise RequestProblem(
            422,
            "adapter_mismatch",
            f"The adapter {adapter_id!r} is of the model {of_model!r}, not of {model!r}.",
            field=field,
            value=adapter_id,
            remedy=f"Use it with {of_model!r}, or name another adapter.",
        )


def require_learnable(body: SearchBody, services: Services, tenant: str) -> None:
    """Refuse a search that wants an adapter, or to learn, with a proposer that has none to learn with."""
    wanted = "fine_tune" if body.fine_tune is not None else "adapter" if body.adapter is not None else None
    if wanted is None:
        return
    model = body.proposer.options.get("model")
    if body.proposer.kind != LOCAL_PROPOSER or not isinstance(model, str):
        raise RequestProblem(
            422,
            "proposer_not_tunable",
            f"Only a local model that is named has adapters; the proposer is {body.proposer.kind!r}.",
            field=wanted,
            remedy=f"Use the proposer {LOCAL_PROPOSER!r} with options.model, or leave {wanted} out.",
        )
    if body.adapter is not None:
        require_adapter("adapter", body.adapter, model, services, tenant)
    if body.fine_tune is not None and body.fine_tune.training_pairs is not None:
        _require_recorded("fine_tune.training_pairs.dataset", body.fine_tune.training_pairs.dataset, services)


def require_room(services: Services, session: Any, tenant: str, pairs: Sequence[GivenPair]) -> None:
    """Refuse, in the accepting transaction, more jobs or pairs than a tenant may have.

    Raises RequestProblem, QuotaExceeded.
    """
    texts = (text for pair in pairs for text in (pair.baseline_source, pair.target_source))
    # An adapter comes of it whose size nobody knows yet: there must be some room.
    services.quotas.require_storage(session, tenant, sum(len(text.encode()) for text in texts) or 1)
    if services.quotas.count_fine_tunes(session, tenant) >= MAX_OPEN_JOBS:
        raise RequestProblem(
            429,
            "too_many_fine_tunes",
            f"{MAX_OPEN_JOBS} fine-tunes have not ended yet; no more may be open.",
            remedy="Wait for one to end, or cancel one.",
            headers={"retry-after": str(FULL_RETRY_SECONDS)},
        )


def _elites(search_id: str, deltas: EliteDeltas, services: Services, tenant: str) -> EliteSource:
    services.searches.read(search_id, tenant)
    closed = [
        cycle["cycle"]
        for cycle in services.searches.cycles(search_id, tenant)
        if cycle["state"] == "finished" and cycle["cycle"] > 0
    ]
    if not closed:
        raise RequestProblem(
            422,
            "no_closed_cycle",
            f"The search {search_id!r} has not closed a cycle of proposals yet.",
            field="search_id",
            value=search_id,
            remedy="Wait for its first cycle to close.",
        )
    return EliteSource(search_id, max(closed), deltas=deltas)


def _require_recorded(field: str, dataset: str, services: Services) -> None:
    if any(True for _ in services.baselines.first_epochs(dataset)):
        return
    raise RequestProblem(
        422,
        "no_recorded_networks",
        f"No imported network has a recorded first epoch on {dataset!r}.",
        field=field,
        value=dataset,
        remedy="Run `deltanas baselines import lemur --download`, or name another data set.",
    )


def _require_model(body: FineTuneBody, services: Services) -> None:
    """Ask for no proposals at all: is the model there, and does the adapter go with it?"""
    dataset = "any" if body.training_pairs is None else body.training_pairs.dataset
    options = {"model": body.model}
    asked = ProposalRequest("", 0, LOCAL_PROPOSER, dataset, (), options, adapter=body.parent_adapter)
    try:
        deque(services.generator.propose(asked), maxlen=0)
    except ProposerHeldUp as error:
        raise _held_up(error.blocked, body) from error
    except ServiceRefused as error:
        document = error.document
        code = str(document.get("code", "model_unknown"))[:60]
        field, value = _at_fault(code, body)
        raise RequestProblem(
            422,
            code,
            str(document.get("detail", "The generator refuses this model."))[:2000],
            field=field,
            value=value,
            remedy=document.get("remedy"),
        ) from error


def _held_up(blocked: ProposerBlocked, body: FineTuneBody) -> RequestProblem:
    field, value = _at_fault(blocked.code, body)
    return RequestProblem(
        503 if blocked.retryable else 422,
        blocked.code[:60],
        blocked.message[:2000],
        field=field,
        value=value,
        remedy=blocked.remedy[:500],
        headers={"retry-after": str(FULL_RETRY_SECONDS)} if blocked.retryable else None,
    )


def _at_fault(code: str, body: FineTuneBody) -> tuple[str, str | None]:
    """The field that a generator's refusal is about, and its value."""
    if code.startswith("adapter"):
        return "parent_adapter", body.parent_adapter
    return "model", body.model
