"""What a delta means for a baseline: the story from an answer to the changes it asks for.

A delta that fits line by line where its headers say is taken at its word. Any other is read with what
the baseline contains: characters are corrected, hunks placed, doubts resolved or refused.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from generator_svc.deltas.assembly import Changes, Contradiction, merged, spliced
from generator_svc.deltas.baseline import Baseline, key_of
from generator_svc.deltas.canonical import source_lines
from generator_svc.deltas.corrections import corrected
from generator_svc.deltas.doubts import check_added_dots, check_place
from generator_svc.deltas.edits import Edits, Insertion
from generator_svc.deltas.effort import Effort
from generator_svc.deltas.extract import sections_of
from generator_svc.deltas.gates import parses
from generator_svc.deltas.hunks import read_hunks
from generator_svc.deltas.placement import place_exactly, place_hunks
from generator_svc.deltas.places import Place, hint_of
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason, quoted
from generator_svc.deltas.rewrites import ENTITIES, LOOK_ALIKE_CHARACTERS
from generator_svc.deltas.truncation import check_end, may_be_half_a_line
from generator_svc.deltas.written import WrittenHunk, read_lines

MAX_OPEN_GAPS = 40
"""Trials of additions that fit at several gaps."""
CHARACTERS_PARSED_A_STEP = 5
"""Of a result, in the time of one step of `Effort`."""


@dataclass(frozen=True)
class Understanding:
    """A delta, understood."""

    source: str
    places: tuple[Place, ...]
    corrections: tuple[str, ...]
    """What was corrected in all hunks."""
    baseline: Baseline


def understand(baseline_source: str, delta: str) -> Understanding:
    """The result of a delta, the rules for networks aside. Raises DeltaRefused."""
    lines = source_lines(baseline_source)
    baseline = Baseline([line.removesuffix("\n") for line in lines])
    raw = read_hunks(sections_of(delta), baseline)
    if _is_crlf(lines) and not any("\r" in line for hunk in raw for line in hunk.lines):
        raw = [replace(hunk, lines=tuple(line + "\r" for line in hunk.lines)) for hunk in raw]
    effort = Effort()
    written = [read_lines(hunk, baseline) for hunk in raw]
    understood = _taken_at_its_word(written, baseline, lines)
    if understood is None:
        raw, names = corrected(raw, baseline)
        written = [read_lines(hunk, baseline) for hunk in raw] if names else written
        understood = replace(_read(written, baseline, lines, effort), corrections=tuple(names))
    if parses(understood.source):
        return understood
    for correction in (LOOK_ALIKE_CHARACTERS, ENTITIES):
        candidate = [correction.hunk(hunk) for hunk in raw]
        again = None
        if candidate != raw:
            with suppress(DeltaRefused):
                again = _read([read_lines(hunk, baseline) for hunk in candidate], baseline, lines, effort)
        if again is not None and parses(again.source):
            return replace(again, corrections=(*understood.corrections, correction.name))
    return understood


def _taken_at_its_word(
    written: Sequence[WrittenHunk], baseline: Baseline, lines: Sequence[str]
) -> Understanding | None:
    places = place_exactly(written, baseline)
    if places is None or (written and may_be_half_a_line(written[-1])):
        return None
    return Understanding(spliced(lines, _merged(places)), tuple(places), (), baseline)


def _read(
    written: Sequence[WrittenHunk], baseline: Baseline, lines: Sequence[str], effort: Effort
) -> Understanding:
    for hunk in written:
        check_added_dots(hunk, baseline)
    places = place_hunks(written, baseline, effort)
    for place in places:
        check_place(place, baseline)
    others = [place.hunk.raw.counted for place in places[:-1]]
    reliable = all(others) if others else places[-1].alignment.start == hint_of(places[-1].hunk)
    check_end(places[-1], baseline, numbers_are_reliable=reliable)
    decided = _decided(places, lines, effort)
    return Understanding(spliced(lines, _merged(decided)), tuple(decided), (), baseline)


def _is_crlf(lines: Sequence[str]) -> bool:
    ended = [line for line in lines if line.endswith("\n")]
    return bool(ended) and all(line.endswith("\r\n") for line in ended)


def _merged(places: Sequence[Place]) -> Changes:
    try:
        return merged([place.edits for place in places], [place.hunk.raw.block for place in places])
    except Contradiction as contradiction:
        first, second = (places[index].hunk.number for index in contradiction.hunks)
        raise DeltaRefused(
            RefusalReason.AMBIGUOUS,
            f"hunks {first} and {second} contradict each other about line {contradiction.line + 1} of the "
            "baseline; send one version of each change, and put what changes the same lines into one hunk",
            second,
        ) from contradiction


def _decided(places: Sequence[Place], lines: Sequence[str], effort: Effort) -> list[Place]:
    """Every addition at one gap: where it fits at several, the result has to parse at one alone."""
    decided = list(places)
    trials = 0
    for number, place in enumerate(places):
        for index, insertion in enumerate(place.edits.insertions):
            if len(insertion.gaps) == 1:
                continue
            trials += len(insertion.gaps)
            if trials > MAX_OPEN_GAPS:
                raise _open(place, insertion)
            results: dict[tuple[str, ...], Place] = {}
            for gap in insertion.gaps:
                candidate = _at_gap(decided[number], index, gap)
                source = spliced(lines, _merged([*decided[:number], candidate, *decided[number + 1 :]]))
                effort.spend(len(source) // CHARACTERS_PARSED_A_STEP)
                if parses(source):
                    results[tuple(line for line in source.split("\n") if key_of(line))] = candidate
                if len(results) > 1:
                    raise _open(place, insertion)
            decided[number] = next(iter(results.values()), decided[number])
    return decided


def _at_gap(place: Place, index: int, gap: int) -> Place:
    insertions = list(place.edits.insertions)
    insertions[index] = Insertion((gap,), insertions[index].lines)
    return replace(place, edits=Edits(place.edits.removed, place.edits.kept, tuple(insertions)))


def _open(place: Place, insertion: Insertion) -> DeltaRefused:
    first = next((line.text for line in insertion.lines if key_of(line.text)), "")
    above, below = min(insertion.gaps), max(insertion.gaps) + 1
    return DeltaRefused(
        RefusalReason.AMBIGUOUS,
        f"hunk {place.hunk.number} leaves out lines of context, so that the addition that begins with "
        f"{quoted(first)} could stand anywhere between the lines {above} and {below} of the baseline; add "
        "the line directly above it and the line directly below it",
        place.hunk.number,
    )
