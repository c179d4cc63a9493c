"""`POST /v1/deltas:apply`: a baseline and an answer make a candidate's source, or a refusal that helps."""

from dataclasses import dataclass, field, replace

from fastapi import FastAPI

from contracts.jobs import AppliedDelta
from contracts.names import MAX_DELTA_BYTES, MAX_SOURCE_BYTES
from contracts.problems import problem
from contracts.proposals import AnswerForm, DataShape, DeploymentLimits, EditPermissions
from generator_svc.answers import AnswerRules, apply_answer
from generator_svc.prompts import repair_prompt
from generator_svc.request_checks import Refused, check_deployment, check_edits, check_size, refuse_field
from generator_svc.seeds import baseline_networks


@dataclass(frozen=True)
class DeltaRequest:
    """An answer, what to apply it to (a source, or the name of a shipped baseline), and what binds it."""

    delta: str
    """The text that holds a delta or, with the form `source`, a whole network."""
    baseline_source: str | None = None
    baseline: str | None = None
    form: AnswerForm = AnswerForm.DELTA
    edits: EditPermissions = field(default_factory=EditPermissions)
    deployment: DeploymentLimits = field(default_factory=DeploymentLimits)
    dataset: str | None = None
    """Whose images parameters and operations are counted for; only standard data sets are known here."""
    data_shape: DataShape | None = None
    """Of another data set."""
    with_repair: bool = False
    """Whether a refusal brings the prompt that asks the model for a better answer."""


def add_delta_routes(app: FastAPI) -> None:
    """Add the route."""

    @app.post("/v1/deltas:apply")
    def apply(request: DeltaRequest) -> AppliedDelta:
        """Baseline + answer → candidate source, or a precise refusal (as data, with status 200)."""
        check_size("delta", request.delta, MAX_DELTA_BYTES)
        check_edits(request.edits)
        check_deployment(request.deployment)
        source = _baseline_source(request)
        rules = AnswerRules(
            request.form, request.edits, request.deployment, request.dataset, request.data_shape
        )
        applied = apply_answer(source, request.delta, rules)
        if not request.with_repair:
            return applied
        prompt = repair_prompt(source, request.delta, applied, request.form)
        return replace(applied, repair_prompt=prompt or None)


def _baseline_source(request: DeltaRequest) -> str:
    if (request.baseline is None) == (request.baseline_source is None):
        refuse_field("baseline_source", "give either `baseline_source` or `baseline`", None)
    if request.baseline is None:
        source = request.baseline_source or ""
        check_size("baseline_source", source, MAX_SOURCE_BYTES)
        return source
    network = baseline_networks().get(request.baseline)
    if network is None:
        known = ", ".join(baseline_networks())
        raise Refused(
            problem(
                422,
                "unknown_baseline",
                f"No baseline has this name. Known: {known}.",
                field="baseline",
                value=request.baseline,
                remedy=f"Use one of: {known}.",
            )
        )
    return network.source
