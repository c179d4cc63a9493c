"""Applies a delta to a baseline: all hunks or none, and a precise refusal rather than a guess."""

import math
from collections.abc import Iterable

from contracts.jobs import AppliedDelta, HunkReport
from contracts.names import MAX_DELTA_BYTES
from contracts.proposals import EditPermissions
from generator_svc.deltas.canonical import canonical_delta
from generator_svc.deltas.corrections import doubtful_entity
from generator_svc.deltas.gates import check_baseline, check_permissions, check_result
from generator_svc.deltas.places import HunkRefused, Place
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason, quoted
from generator_svc.deltas.repairs import repairs_of
from generator_svc.deltas.understanding import Understanding, understand

EVERYWHERE = EditPermissions()
"""No restriction."""

WELL_ANCHORED_LINES = 3
"""A hunk with so many visible lines of the baseline stands firmly; with fewer, less so."""

NOT_AT_ITS_NUMBER = 0.95
POORLY_ANCHORED = 0.75
RIVALS = 0.8
CHARACTERS_CORRECTED = 0.97
COST_SCALE = 12.0


def apply_delta(baseline_source: str, delta: str, edits: EditPermissions = EVERYWHERE) -> AppliedDelta:
    """Apply a proposer's answer to a source. Pure; never raises, whatever the strings are.

    `confidence` is that of the least certain hunk: 1.0 where it stands at its number, line by line.
    Otherwise 0.95 (found by content) × exp(−cost of its repairs / 12) × 0.75 if fewer than three visible
    lines anchor it × 0.8 if another place fitted and had to be ruled out × 0.97 if characters were
    corrected. 0.0 when refused. The costs are those of `segments`.
    """
    understood: Understanding | None = None
    try:
        _check_size(delta)
        baseline = check_baseline(baseline_source)
        understood = understand(baseline_source, delta)
        check_result(baseline, understood.source)
        check_permissions(baseline_source, understood.source, edits)
        _check_entities(understood)
    except HunkRefused as refusal:
        return _refusal(refusal, map(_unrepaired, refusal.placed))
    except DeltaRefused as refusal:
        return _refusal(refusal, _reports(understood) if understood else [])
    return AppliedDelta(
        "applied",
        "",
        "",
        min(_confidence(place, understood) for place in understood.places),
        understood.source,
        canonical_delta(baseline_source, understood.source),
        tuple(_reports(understood)),
    )


def _check_size(delta: str) -> None:
    if len(delta) > MAX_DELTA_BYTES or len(delta.encode(errors="surrogatepass")) > MAX_DELTA_BYTES:
        raise DeltaRefused(
            RefusalReason.TOO_LARGE,
            f"the delta is larger than {MAX_DELTA_BYTES} bytes; send only the hunks that change something",
        )


def _check_entities(understood: Understanding) -> None:
    doubtful = doubtful_entity([place.hunk.raw for place in understood.places], understood.baseline)
    if doubtful is not None:
        number, line = doubtful
        raise DeltaRefused(
            RefusalReason.AMBIGUOUS,
            f"hunk {number} adds {quoted(line)}, and nothing tells whether it means the HTML entity or the "
            "character that this stands for; write `<`, `>`, `&` and quotes as they are",
            number,
        )


def _is_literal(place: Place, understood: Understanding) -> bool:
    is_interpreted = understood.corrections or place.decided_by or place.hunk.has_lost_marks
    return place.at_hint and place.alignment.exact and not is_interpreted


def _confidence(place: Place, understood: Understanding) -> float:
    if _is_literal(place, understood):
        return 1.0
    confidence = NOT_AT_ITS_NUMBER * math.exp(-place.alignment.cost / COST_SCALE)
    visible = sum(1 for line in place.hunk.lines if line.is_old and line.key)
    confidence *= POORLY_ANCHORED if visible < WELL_ANCHORED_LINES else 1.0
    confidence *= RIVALS if place.decided_by else 1.0
    confidence *= CHARACTERS_CORRECTED if understood.corrections else 1.0
    return round(confidence, 4)


def _unrepaired(place: Place) -> HunkReport:
    """Of a hunk that was placed before another one was refused."""
    exact = place.at_hint and place.alignment.exact
    return HunkReport(place.hunk.number, "exact" if exact else "moved", place.start + 1)


def _reports(understood: Understanding) -> list[HunkReport]:
    return [_report(place, understood) for place in understood.places]


def _report(place: Place, understood: Understanding) -> HunkReport:
    repairs = (*understood.corrections, *repairs_of(place, understood.baseline))
    status = "repaired" if repairs else "exact" if place.at_hint else "moved"
    return HunkReport(place.hunk.number, status, place.start + 1, repairs=repairs)


def _refusal(refusal: DeltaRefused, hunks: Iterable[HunkReport]) -> AppliedDelta:
    reports = {report.number: report for report in hunks}
    if refusal.hunk is not None:
        reports[refusal.hunk] = HunkReport(
            refusal.hunk, "refused", None, refusal.message, str(refusal.reason)
        )
    return AppliedDelta(
        "refused",
        str(refusal.reason),
        refusal.message,
        0.0,
        None,
        None,
        tuple(reports[number] for number in sorted(reports)),
    )
