"""Applies a delta to a baseline: all hunks or none, and a precise refusal rather than a guess."""

from collections.abc import Sequence

from contracts.jobs import AppliedDelta, HunkReport
from contracts.names import MAX_DELTA_BYTES
from generator_svc.deltas.canonical import canonical_delta, source_lines
from generator_svc.deltas.extract import sections_of
from generator_svc.deltas.gates import check_baseline, check_result
from generator_svc.deltas.hunks import Edit, Hunk, parse_hunks
from generator_svc.deltas.place import HunkRefused, Place, place_hunks
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason

WELL_ANCHORED_LINES = 3
"""A moved hunk with so many lines that are not blank stands firmly; with fewer, less so."""


def apply_delta(baseline_source: str, delta: str) -> AppliedDelta:
    """Apply a proposer's answer to a source. Pure; never raises, whatever the strings are.

    `confidence` is 1.0 when every hunk stands exactly where its header says, 0.9 when some were
    found elsewhere, 0.7 when one of these had fewer than three lines to go by, 0.0 when refused.
    """
    placed: Sequence[Place] = ()
    try:
        _check_size(delta)
        baseline = check_baseline(baseline_source)
        lines = source_lines(baseline_source)
        placed = _placed(lines, delta)
        source = _spliced(lines, placed)
        check_result(baseline, source)
    except HunkRefused as refusal:
        refused = HunkReport(refusal.hunk.number, "refused", None, refusal.message)
        return _refusal(refusal, (*map(_report, refusal.placed), refused))
    except DeltaRefused as refusal:
        return _refusal(refusal, tuple(map(_report, placed)))
    return AppliedDelta(
        "applied",
        "",
        "",
        min(map(_confidence, placed)),
        source,
        canonical_delta(baseline_source, source),
        tuple(map(_report, placed)),
    )


def splice(baseline: str, delta: str) -> str:
    """The text alone, without the rules for networks. Raises DeltaRefused."""
    lines = source_lines(baseline)
    return _spliced(lines, _placed(lines, delta))


def _check_size(delta: str) -> None:
    if len(delta) > MAX_DELTA_BYTES or len(delta.encode(errors="surrogatepass")) > MAX_DELTA_BYTES:
        raise DeltaRefused(
            RefusalReason.TOO_LARGE,
            f"the delta is larger than {MAX_DELTA_BYTES} bytes; send only the hunks that change something",
        )


def _placed(lines: Sequence[str], delta: str) -> tuple[Place, ...]:
    hunks = parse_hunks(sections_of(delta))
    if _is_crlf(lines) and not any("\r" in edit.text for hunk in hunks for edit in hunk.edits):
        hunks = tuple(_with_carriage_returns(hunk) for hunk in hunks)
    return place_hunks(hunks, [line.removesuffix("\n") for line in lines])


def _is_crlf(lines: Sequence[str]) -> bool:
    ended = [line for line in lines if line.endswith("\n")]
    return bool(ended) and all(line.endswith("\r\n") for line in ended)


def _with_carriage_returns(hunk: Hunk) -> Hunk:
    """A proposer writes plain newlines even where the baseline has CRLF throughout."""
    edits = tuple(edit if edit.unended else Edit(edit.sign, edit.text + "\r") for edit in hunk.edits)
    return Hunk(hunk.number, hunk.hint, edits)


def _spliced(lines: Sequence[str], places: Sequence[Place]) -> str:
    result: list[str] = []
    at = 0
    for place in places:
        result.extend(lines[at : place.start])
        at = place.start
        for edit in place.hunk.edits:
            if edit.sign == "+":
                result.append(edit.text if edit.unended else edit.text + "\n")
            else:
                result.extend(lines[at : at + 1] if edit.sign == " " else ())
                at += 1
    result.extend(lines[at:])
    body = [line if line.endswith("\n") else line + "\n" for line in result[:-1]]
    return "".join((*body, *result[-1:]))


def _confidence(place: Place) -> float:
    if place.exact:
        return 1.0
    return 0.9 if sum(1 for line in place.hunk.old if line.strip()) >= WELL_ANCHORED_LINES else 0.7


def _report(place: Place) -> HunkReport:
    return HunkReport(place.hunk.number, "exact" if place.exact else "moved", place.start + 1)


def _refusal(refusal: DeltaRefused, hunks: tuple[HunkReport, ...]) -> AppliedDelta:
    return AppliedDelta("refused", str(refusal.reason), refusal.message, 0.0, None, None, hunks)
