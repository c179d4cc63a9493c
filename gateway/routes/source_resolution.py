"""From what a request names to a source that meets the rules, or the problem that says why not."""

from dataclasses import dataclass

from contracts.failures import REMEDIES
from contracts.jobs import AppliedDelta, BaselineNetwork
from contracts.source_rules import SourceRejected, check_source
from gateway.domain.baseline_filter import is_imported_name
from gateway.routes.problems import RequestProblem
from gateway.schemas.evaluation_body import ArchitectureBody
from gateway.services import Services


@dataclass(frozen=True)
class ResolvedSource:
    """A source that meets the rules. `hyperparameters` are the named baseline's on the dataset."""

    source: str
    hyperparameters: dict[str, float | int | str | bool]


def resolve_source(body: ArchitectureBody, services: Services, dataset: str) -> ResolvedSource:
    """Fetch the baseline, apply the delta, check the result. Raises RequestProblem or ServiceUnavailable."""
    _require_one_origin(body)
    if body.source is not None:
        return ResolvedSource(checked(body.source, "source"), {})
    baseline = baseline_of(body, services)
    hyperparameters = baseline.hyperparameters_on(dataset)
    if body.delta is None:
        return ResolvedSource(checked(baseline.source, "baseline"), hyperparameters)
    applied = services.generator.apply_delta(baseline.source, body.delta)
    if applied.status != "applied" or applied.source is None:
        raise _delta_rejected(body.delta, applied)
    return ResolvedSource(checked(applied.source, "delta"), hyperparameters)


def baseline_of(body: ArchitectureBody, services: Services) -> BaselineNetwork:
    """The baseline that a body names, shipped or imported, or carries."""
    if body.baseline_source is not None:
        source = checked(body.baseline_source, "baseline_source")
        return BaselineNetwork("", "", "", "", source)
    name = body.baseline or ""
    if is_imported_name(name):
        found = services.baselines.named(name)
        baseline = None if found is None else found.network
    else:
        baseline = services.generator.baseline(name)
    if baseline is None:
        raise RequestProblem(
            422,
            "unknown_baseline",
            f"There is no baseline {name!r}.",
            field="baseline",
            value=name,
            remedy=_known_baselines(name, services),
        )
    return baseline


def _known_baselines(name: str, services: Services) -> str:
    if is_imported_name(name):
        return "`deltanas baselines list --name-contains WORD` finds imported networks."
    known = ", ".join(network.name for network in services.generator.baselines())
    return f"Use one of: {known}; or an imported one; or send `baseline_source`."


def checked(source: str, field: str) -> str:
    """The source, when it meets the rules. Raises RequestProblem with field, line and remedy."""
    try:
        return check_source(source).source
    except SourceRejected as error:
        found = RequestProblem(
            422,
            error.reason.value,
            error.message,
            field=field,
            value=_line(source, error.line),
            remedy=REMEDIES[error.reason],
        )
        if error.line is not None:
            found.document["line"] = error.line
        raise found from error


def _line(source: str, number: int | None) -> str | None:
    """The line of a source that a message is about."""
    lines = source.split("\n")
    return lines[number - 1].strip() if number is not None and 1 <= number <= len(lines) else None


def _require_one_origin(body: ArchitectureBody) -> None:
    given = [name for name in ("source", "baseline", "baseline_source") if getattr(body, name) is not None]
    remedy = "Send `source`; or `baseline`; or `baseline` or `baseline_source` with a `delta`."
    if len(given) != 1:
        raise RequestProblem(
            422,
            "invalid_request",
            f"one of source, baseline and baseline_source is needed, not {' and '.join(given) or 'none'}",
            field=given[1] if given else "source",
            remedy=remedy,
        )
    if body.source is not None and body.delta is not None:
        raise RequestProblem(422, "invalid_request", "a delta needs a baseline", field="delta", remedy=remedy)
    if body.baseline_source is not None and body.delta is None:
        raise RequestProblem(
            422, "invalid_request", "baseline_source needs a delta", field="delta", remedy=remedy
        )


def _delta_rejected(delta: str, applied: AppliedDelta) -> RequestProblem:
    found = RequestProblem(
        422,
        "delta_rejected",
        applied.message[:2000] or "The delta does not fit its baseline.",
        field="delta",
        value=delta,
        remedy="Re-derive the delta against the exact baseline source.",
        errors=[
            {
                "field": f"delta.hunks.{h.number}",
                "message": h.message[:500] or h.status,
                "reason": applied.reason,
                "line": h.line,
            }
            for h in applied.hunks
            if h.status == "refused"
        ],
    )
    found.document["reason"] = applied.reason
    return found
