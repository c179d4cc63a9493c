"""`POST /v1/deltas:apply`: a baseline and a delta make a candidate's source, or a refusal that helps."""

from dataclasses import dataclass, field, replace

from fastapi import FastAPI

from contracts.edit_regions import forbidden_places
from contracts.jobs import AppliedDelta, EditPermissions
from contracts.names import MAX_DELTA_BYTES, MAX_SOURCE_BYTES
from contracts.problems import problem
from generator_svc.deltas import apply_delta
from generator_svc.request_checks import Refused, check_edits, check_size, refuse_field
from generator_svc.seeds import baseline_networks

_NAMED_PLACES = 6
"""Places that a refusal names; a hostile delta adds thousands."""


@dataclass(frozen=True)
class DeltaRequest:
    """A delta, what to apply it to (a source, or the name of a shipped baseline), and what it may change."""

    delta: str
    baseline_source: str | None = None
    baseline: str | None = None
    edits: EditPermissions = field(default_factory=EditPermissions)


def add_delta_routes(app: FastAPI) -> None:
    """Add the route."""

    @app.post("/v1/deltas:apply")
    def apply(request: DeltaRequest) -> AppliedDelta:
        """Baseline + delta → candidate source, or a precise refusal (as data, with status 200)."""
        check_size("delta", request.delta, MAX_DELTA_BYTES)
        check_edits(request.edits)
        source = _baseline_source(request)
        return _within(request.edits, source, apply_delta(source, request.delta))


def _within(edits: EditPermissions, source: str, applied: AppliedDelta) -> AppliedDelta:
    """The same answer, or a refusal where the delta went further than it may."""
    forbidden = forbidden_places(source, applied.source, edits) if applied.source is not None else ()
    if not forbidden:
        return applied
    named = ", ".join(f"`{place[:100]}`" for place in forbidden[:_NAMED_PLACES])
    more = f" and {len(forbidden) - _NAMED_PLACES} more" if len(forbidden) > _NAMED_PLACES else ""
    return replace(
        applied,
        status="refused",
        reason="forbidden_region",
        message=f"the delta changes {named}{more}, where no edits are allowed; leave that as it is",
        confidence=0.0,
        source=None,
        canonical_delta=None,
    )


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
