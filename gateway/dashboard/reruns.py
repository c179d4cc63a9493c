"""Candidates that were trained more than once before the finals, for the report."""

from dataclasses import dataclass
from typing import Any

from gateway.dashboard.wording import short_id

Json = dict[str, Any]

_MOST_ROWS = 60


@dataclass(frozen=True)
class FurtherRun:
    """One run. `word` says what became of one without an accuracy."""

    accuracy: float | None
    word: str
    epochs: int


@dataclass(frozen=True)
class RerunRow:
    """One candidate. Accuracies are fractions, on the selection half."""

    short_id: str
    elite: bool
    first: float | None
    replicates: list[FurtherRun]
    estimate: float | None
    audits: list[FurtherRun]


def rerun_rows(candidates: list[Json]) -> list[RerunRow]:
    """A row for each candidate that was run again, elites first, at most sixty."""
    again = sorted(
        (one for one in candidates if one.get("reruns")),
        key=lambda one: (not one.get("elite"), -(one.get("estimate") or 0.0), one["proposal_id"]),
    )
    return [_row(one) for one in again[:_MOST_ROWS]]


def _row(candidate: Json) -> RerunRow:
    return RerunRow(
        short_id=short_id(candidate),
        elite=bool(candidate.get("elite")),
        first=candidate.get("accuracy"),
        replicates=_runs(candidate, "replicate"),
        estimate=candidate.get("estimate"),
        audits=_runs(candidate, "audit"),
    )


def _runs(candidate: Json, purpose: str) -> list[FurtherRun]:
    return [
        FurtherRun(
            run["accuracy"], str(run["failure_reason"] or run["state"]).replace("_", " "), run["epochs"]
        )
        for run in candidate["reruns"]
        if run["purpose"] == purpose
    ]
