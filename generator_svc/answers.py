"""What becomes of a proposer's answer, a delta or a whole source: the one door that all go through."""

from dataclasses import dataclass, field, replace
from typing import Self

from contracts.deployment import forbidden_use
from contracts.jobs import AppliedDelta
from contracts.proposals import AnswerForm, DataShape, DeploymentLimits, EditPermissions, ProposalRequest
from contracts.source_rules import check_source
from generator_svc.deltas import apply_delta
from generator_svc.deltas.whole_sources import apply_source
from generator_svc.deployment_costs import deployment_costs

FORBIDDEN_OPERATOR = "forbidden_operator"
TOO_MANY_PARAMETERS = "too_many_parameters"
TOO_MANY_FLOPS = "too_many_flops"


@dataclass(frozen=True)
class AnswerRules:
    """What an answer has to keep to beside being one."""

    form: AnswerForm = AnswerForm.DELTA
    edits: EditPermissions = field(default_factory=EditPermissions)
    deployment: DeploymentLimits = field(default_factory=DeploymentLimits)
    dataset: str | None = None
    """A standard data set, for whose images costs are proven."""
    data_shape: DataShape | None = None
    """Of any other; where neither is known, parameters and operations are not looked at."""

    @classmethod
    def of_request(cls, request: ProposalRequest, form: AnswerForm = AnswerForm.DELTA) -> Self:
        """What a search asks of every answer in this form."""
        return cls(form, request.edits, request.deployment, request.dataset, request.data_shape)


def apply_answer(baseline_source: str, answer: str, rules: AnswerRules) -> AppliedDelta:
    """A candidate's source, or a precise refusal. Pure; never raises, whatever the texts are."""
    apply = apply_source if rules.form is AnswerForm.SOURCE else apply_delta
    applied = apply(baseline_source, answer, rules.edits)
    if applied.source is None:
        return applied
    reason, message = broken_limit(applied.source, rules)
    if not reason:
        return applied
    return replace(
        applied,
        status="refused",
        reason=reason,
        message=message,
        confidence=0.0,
        source=None,
        canonical_delta=None,
    )


def broken_limit(source: str, rules: AnswerRules) -> tuple[str, str]:
    """Code and sentence of the first deployment limit that a network breaks; both empty if it breaks none.

    `source` must have passed `contracts.source_rules.check_source`.
    """
    limits = rules.deployment
    if limits == DeploymentLimits():
        return "", ""
    checked = check_source(source)
    use = forbidden_use(checked.tree, limits.forbidden_operators)
    if use is not None:
        return FORBIDDEN_OPERATOR, (
            f"line {use.line} of the result uses `{use.name}`, which this search forbids; do without it"
        )
    if limits.max_parameters is None and limits.max_flops is None:
        return "", ""
    costs = deployment_costs(checked, rules.dataset, rules.data_shape)
    if limits.max_parameters is not None and (costs.parameters or 0) > limits.max_parameters:
        return TOO_MANY_PARAMETERS, (
            f"the result has at least {costs.parameters:,} parameters; this search allows "
            f"{limits.max_parameters:,}: make it smaller"
        )
    if limits.max_flops is not None and (costs.flops or 0) > limits.max_flops:
        return TOO_MANY_FLOPS, (
            f"the result takes at least {costs.flops:,} multiplications and additions for one image; this "
            f"search allows {limits.max_flops:,}: make it cheaper"
        )
    return "", ""
