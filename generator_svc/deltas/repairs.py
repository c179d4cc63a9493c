"""Says in short sentences what was understood although it was not written so.

What stands before the first colon of a sentence is its kind, by which the gateway counts.
"""

from collections.abc import Iterable

from generator_svc.deltas.baseline import Baseline
from generator_svc.deltas.places import Place
from generator_svc.deltas.prose import is_remark
from generator_svc.deltas.refusals import quoted
from generator_svc.deltas.segments import Move, Step
from generator_svc.deltas.written import ADDED

MAX_SENTENCES = 12


def repairs_of(place: Place, baseline: Baseline) -> tuple[str, ...]:
    """What was repaired in one hunk; empty for a hunk that fits as it is, here or elsewhere."""
    sentences = [*_about_lines(place, baseline), *_about_left_out(place.alignment.moves, baseline)]
    if place.is_reindented:
        sentences.append("indentation: the added lines got the indentation that the baseline has around them")
    if place.decided_by:
        sentences.append(f"choice: of several places that fit, {place.decided_by} decided")
    if len(sentences) > MAX_SENTENCES:
        sentences[MAX_SENTENCES - 1 :] = [f"and {len(sentences) - MAX_SENTENCES + 1} more"]
    return tuple(sentences)


def _about_lines(place: Place, baseline: Baseline) -> Iterable[str]:
    spaced: list[int] = []
    bare: list[int] = []
    for move in place.alignment.moves:
        if move.step is Step.SKIP:
            continue
        line = place.hunk.lines[move.line]
        if move.step is Step.MATCH and line.key and not line.is_marked:
            bare.append(move.at + 1)
        if move.step is Step.MATCH and line.key != baseline.keys[move.at]:
            meant = f"line {move.at + 1}, {quoted(baseline.lines[move.at])}"
            yield f"typo: {quoted(line.text)} was read as {meant}"
        elif move.step is Step.MATCH and line.key and line.text != baseline.lines[move.at]:
            spaced.append(move.at + 1)
        elif move.step is Step.ADD and line.mark != ADDED and line.key:
            yield f"forgotten plus: {quoted(line.text)} was read as an added line without its `+`"
        elif move.step is Step.DROP and line.key and not line.is_elision:
            meaning = "a remark" if is_remark(line.text) else "written twice"
            yield f"left aside: {quoted(line.text)} was read as {meaning}"
    if bare:
        yield f"marks: context without its space was read as {_lines(bare)} of the baseline"
    if spaced:
        yield f"white space: differs from the baseline in {_lines(spaced)}"


def _about_left_out(moves: Iterable[Move], baseline: Baseline) -> Iterable[str]:
    left_out = [move.at + 1 for move in moves if move.step is Step.SKIP and baseline.keys[move.at]]
    if left_out:
        yield f"left out: the hunk leaves out {_lines(left_out)}, kept as in the baseline"


def _lines(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"lines {numbers[0]} to {numbers[-1]}"
    shown = ", ".join(map(str, numbers[:8]))
    return f"lines {shown}{' and others' if len(numbers) > 8 else ''}"
