"""From a request's body to a search that can run. All checks come first: what is refused leaves no trace."""

from collections import deque
from dataclasses import dataclass, replace

from contracts.jobs import BaselineNetwork
from contracts.measurements import Limits
from contracts.names import EXTERNAL_PROPOSER
from contracts.proposals import ProposalRequest, ProposerBlocked
from gateway.domain.baseline_filter import is_imported_name
from gateway.domain.feedback import FeedbackMemory
from gateway.domain.model_budget import ModelBudget
from gateway.domain.rerun import AuditPlan, ReplicatePlan
from gateway.domain.search import MAX_BASELINES, ProposerChoice, SearchRequest
from gateway.infra.generator_client import GeneratorClient, ProposerHeldUp
from gateway.infra.service_clients import ServiceRefused
from gateway.routes.cost_intake import data_shape
from gateway.routes.edit_intake import edit_permissions
from gateway.routes.evaluation_intake import require_device
from gateway.routes.fine_tune_intake import require_learnable
from gateway.routes.problems import RequestProblem
from gateway.schemas.deployment_body import deployment_limits
from gateway.schemas.search_body import SearchBody
from gateway.services import Services

FULL_RETRY_SECONDS = 60


@dataclass(frozen=True)
class PreparedSearch:
    """A request that can run, its baselines in slot order, and how many classes the dataset has."""

    request: SearchRequest
    baselines: tuple[BaselineNetwork, ...]
    classes: int | None


def prepared(body: SearchBody, services: Services, tenant: str) -> PreparedSearch:
    """Resolve and check every name.

    Raises RequestProblem, DatasetUnknown, DatasetNotReady, ServiceUnavailable.
    """
    dataset = services.datasets.require_ready(body.dataset, tenant)
    limits = deployment_limits(body.deployment)
    shape = data_shape(dataset, limits)
    require_device(body.device, services)
    baselines = _named_baselines(body.baselines, services, body.dataset)
    edits = edit_permissions(body.edits, (network.source for network in baselines))
    require_learnable(body, services, tenant)
    if body.proposer.kind == EXTERNAL_PROPOSER:
        _check_external(body)
    else:
        _check_proposer(body, services.generator)
    request = SearchRequest(
        name=body.name,
        dataset=body.dataset,
        baselines=tuple(network.name for network in baselines),
        cycles=body.cycles,
        candidates_per_cycle=body.candidates_per_cycle,
        seed=body.seed,
        proposer=ProposerChoice(body.proposer.kind, dict(body.proposer.options)),
        edits=edits,
        deployment=limits,
        data_shape=shape,
        feedback=FeedbackMemory(body.feedback.window),
        model_budget=ModelBudget(**body.model_budget.model_dump()),
        fine_tune=None if body.fine_tune is None else body.fine_tune.plan,
        adapter=body.adapter,
        epochs=body.epochs,
        train_images=body.train_images,
        limits=Limits(**body.limits.model_dump()),
        threads=body.threads,
        device=body.device,
        minimum_tier=body.minimum_tier,
        minimum_gpu_memory_bytes=body.minimum_gpu_memory_bytes,
        integrity=body.integrity,
        novelty=body.novelty.rules,
        elites=body.elites,
        replicates=None if body.replicates is None else ReplicatePlan(**body.replicates.model_dump()),
        audit_sample=None if body.audit_sample is None else AuditPlan(**body.audit_sample.model_dump()),
        final_seeds=body.final_seeds,
    )
    return PreparedSearch(request, baselines, dataset.classes)


def _check_external(body: SearchBody) -> None:
    """What could not be kept to, because somebody outside proposes, is refused and not passed over."""
    if body.proposer.options:
        raise RequestProblem(
            422,
            "invalid_options",
            "An external proposer has no options: whoever asks and tells decides how it proposes.",
            field="proposer.options",
            value=sorted(body.proposer.options)[0][:80],
            remedy="Leave proposer.options out.",
        )
    for name, limit in body.model_budget:
        if limit is not None:
            raise RequestProblem(
                422,
                "invalid_budget",
                "What the models of an outside agent take is not known here, so no budget could be kept.",
                field=f"model_budget.{name}",
                value=limit,
                remedy="Leave model_budget out, and bound your agent itself.",
            )


def _check_proposer(body: SearchBody, generator: GeneratorClient) -> None:
    """Ask for no slots at all: does the proposer exist, take the options, and could it answer now?

    Before anything is spent.
    """
    limits = deployment_limits(body.deployment)
    options = dict(body.proposer.options)
    asked = ProposalRequest(
        "", 0, body.proposer.kind, body.dataset, (), options, deployment=limits, adapter=body.adapter
    )
    try:
        deque(generator.propose(asked), maxlen=0)
    except ProposerHeldUp as error:
        raise _held_up(error.blocked, body.adapter) from error
    except ServiceRefused as error:
        document = error.document
        field = _our_field(str(document.get("field") or "options")[:200])
        outside = f" Or `{EXTERNAL_PROPOSER}`: an agent of your own." if field == "proposer.kind" else ""
        raise RequestProblem(
            422,
            str(document.get("code", "proposer_refused"))[:60],
            str(document.get("detail", "The generator refuses this proposer."))[:2000],
            field=field,
            value=body.adapter if field == "adapter" else document.get("value"),
            remedy=f"{document.get('remedy') or 'Correct this field.'}{outside}",
        ) from error


def _our_field(field: str) -> str:
    """A field of the generator's request, as the search calls it."""
    if field == "proposer":
        return "proposer.kind"
    return f"proposer.{field}" if field.partition(".")[0] == "options" else field


def _held_up(blocked: ProposerBlocked, adapter: str | None) -> RequestProblem:
    """A proposer that could not answer now: later where waiting helps, else once somebody has acted."""
    is_adapter = blocked.code.startswith("adapter")
    wait = min(max(1.0, blocked.retry_after_seconds or 0.0), FULL_RETRY_SECONDS)
    return RequestProblem(
        503 if blocked.retryable else 422,
        blocked.code[:60],
        blocked.message[:2000],
        field="adapter" if is_adapter else "proposer.options",
        value=adapter if is_adapter else None,
        remedy=blocked.remedy[:500],
        headers={"retry-after": str(round(wait))} if blocked.retryable else None,
    )


def _named_baselines(
    names: list[str] | None, services: Services, dataset: str
) -> tuple[BaselineNetwork, ...]:
    """Those named, shipped or imported; without names all that are shipped."""
    known = {network.name: network for network in services.generator.baselines()}
    wanted = list(known) if names is None else names
    if len(set(wanted)) < len(wanted):
        name = next(name for name in wanted if wanted.count(name) > 1)
        raise _refused(f"The baseline {name!r} is named twice.", name, "Name each once.")
    if not 1 <= len(wanted) <= MAX_BASELINES:
        raise _refused(
            f"There are {len(wanted)} baselines; a search starts from 1 to {MAX_BASELINES}.",
            None,
            "Name those to start from.",
        )
    for name in wanted:
        if is_imported_name(name):
            known[name] = _usable_network(name, services, dataset)
        elif name not in known:
            remedy = f"Use some of: {', '.join(known)}; or imported ones."
            raise _refused(f"There is no baseline {name!r}.", name, remedy)
    return tuple(known[name] for name in wanted)


def _usable_network(name: str, services: Services, dataset: str) -> BaselineNetwork:
    """An imported network that is known to run on the dataset, with the hyperparameters recorded there."""
    found = services.baselines.named(name)
    if found is None:
        remedy = "`deltanas baselines list` finds imported networks."
        raise _refused(f"There is no baseline {name!r}.", name, remedy)
    if not found.is_usable_on(dataset):
        raise RequestProblem(
            422,
            "baseline_not_usable",
            f"The network {name!r} has not passed a smoke evaluation on {dataset!r}.",
            field="baselines",
            value=name,
            remedy=f"Run `deltanas baselines smoke --dataset {dataset} --name {name}` first.",
        )
    return replace(found.network, hyperparameters=found.network.hyperparameters_on(dataset))


def _refused(detail: str, value: str | None, remedy: str) -> RequestProblem:
    return RequestProblem(422, "unknown_baseline", detail, field="baselines", value=value, remedy=remedy)
