"""Where each hunk belongs: exactly at its hint, or at the one other place where all its lines stand.

Nothing is guessed. A hunk that matches at its hinted line is placed there. Any other must match the
baseline at exactly one place that leaves all hunks in order and apart; two such places are
ambiguous, none is unplaceable. Lines are compared whole, character by character.

Each distinct line becomes one character, so that a search is one `str.find`: that runs in compiled
code and in linear time, whatever the lines are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from generator_svc.deltas.diagnosis import why_unplaceable
from generator_svc.deltas.hunks import Hunk
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason

MAX_SEARCHED_HUNKS = 128
"""Hunks that are not where they say they are; each costs a few passes over the baseline."""


ABSENT = -1
"""What `str.find` says of a hunk that has no place."""


@dataclass(frozen=True)
class Place:
    """Where a hunk goes: `start` is the 0-based baseline line before which its first line stands."""

    hunk: Hunk
    start: int
    exact: bool

    @property
    def end(self) -> int:
        """The baseline line after its last."""
        return self.start + len(self.hunk.old)


class HunkRefused(DeltaRefused):
    """One hunk has no place of its own. `placed` are the places that the others would have had."""

    def __init__(self, hunk: Hunk, reason: RefusalReason, message: str, placed: Sequence[Place]) -> None:
        super().__init__(reason, message)
        self.hunk = hunk
        self.placed = tuple(placed)


class _Baseline:
    """The baseline as one string with a character for each line, to be searched from either end."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._codes = {line: chr(code) for code, line in enumerate(dict.fromkeys(lines))}
        self._text = "".join(self._codes[line] for line in lines)
        self._reversed = self._text[::-1]

    def pattern(self, hunk: Hunk) -> str | None:
        """The hunk's old side in the same characters; None if the baseline lacks one of its lines."""
        codes = [self._codes.get(line) for line in hunk.old]
        return None if None in codes else "".join(code for code in codes if code)

    def stands_at(self, pattern: str, start: int) -> bool:
        return 0 <= start <= len(self._text) and self._text.startswith(pattern, start)

    def first(self, pattern: str, low: int, high: int) -> int:
        """The first match within [low, high), or ABSENT."""
        return self._text.find(pattern, low, high)

    def last(self, pattern: str, low: int, high: int) -> int:
        """The last match within [low, high), or ABSENT. `find` backwards is linear; `str.rfind` is not."""
        size = len(self._text)
        found = self._reversed.find(pattern[::-1], size - high, size - low)
        return ABSENT if found == ABSENT else size - found - len(pattern)


def place_hunks(hunks: Sequence[Hunk], lines: Sequence[str]) -> tuple[Place, ...]:
    """One place for each hunk, in order and apart. Raises HunkRefused, or DeltaRefused (too_large)."""
    baseline = _Baseline(lines)
    patterns = [baseline.pattern(hunk) for hunk in hunks]
    anchored = _anchored(hunks, patterns, baseline)
    if len(hunks) - len(anchored) > MAX_SEARCHED_HUNKS:
        raise DeltaRefused(
            RefusalReason.TOO_LARGE,
            f"{len(hunks) - len(anchored)} hunks are not at the lines that their headers name, and at most "
            f"{MAX_SEARCHED_HUNKS} are searched for; derive the delta again from the baseline",
        )
    firsts = _first_places(hunks, patterns, baseline, anchored, len(lines))
    _refuse_unplaceable(hunks, firsts, anchored, lines)
    lasts = _last_places(hunks, patterns, baseline, anchored, len(lines))
    places: list[Place] = []
    for index, hunk in enumerate(hunks):
        place = anchored.get(index) or _only_place(hunk, firsts[index], lasts[index], lines, places)
        places.append(place)
    return tuple(places)


def _refuse_unplaceable(
    hunks: Sequence[Hunk], firsts: Sequence[int], anchored: Mapping[int, Place], lines: Sequence[str]
) -> None:
    """Blame the first hunk that fits nowhere after those before it."""
    for index, (hunk, first) in enumerate(zip(hunks, firsts, strict=True)):
        if hunk.old and first == ABSENT:
            before = [place for number, place in anchored.items() if number < index]
            reason = why_unplaceable(hunk, lines, before[-1].end if before else 0)
            raise HunkRefused(hunk, RefusalReason.HUNK_UNPLACEABLE, reason, before)


def _anchored(hunks: Sequence[Hunk], patterns: Sequence[str | None], baseline: _Baseline) -> dict[int, Place]:
    """The hunks whose hinted place matches and follows the one before."""
    anchored: dict[int, Place] = {}
    free = 0
    for index, (hunk, pattern) in enumerate(zip(hunks, patterns, strict=True)):
        if not pattern or hunk.hint is None or hunk.hint < free:
            continue
        if baseline.stands_at(pattern, hunk.hint):
            anchored[index] = Place(hunk, hunk.hint, exact=True)
            free = anchored[index].end
    return anchored


def _first_places(
    hunks: Sequence[Hunk],
    patterns: Sequence[str | None],
    baseline: _Baseline,
    anchored: Mapping[int, Place],
    size: int,
) -> list[int]:
    """For each hunk the first place that leaves room for those before it.

    Together with the last places: every place that keeps the hunks in order lies between both
    bounds, and both are such places, so a hunk has exactly one if and only if they are equal.
    """
    limits = [size] * len(hunks)
    for index in range(len(hunks) - 2, -1, -1):
        following = anchored.get(index + 1)
        limits[index] = following.start if following else limits[index + 1]
    found: list[int] = []
    free = 0
    for index, pattern in enumerate(patterns):
        place = anchored.get(index)
        start = place.start if place else baseline.first(pattern, free, limits[index]) if pattern else ABSENT
        free = free if start == ABSENT else start + len(hunks[index].old)
        found.append(start)
    return found


def _last_places(
    hunks: Sequence[Hunk],
    patterns: Sequence[str | None],
    baseline: _Baseline,
    anchored: Mapping[int, Place],
    size: int,
) -> list[int]:
    """For each hunk the last place that leaves room for those after it."""
    limits = [0] * len(hunks)
    for index in range(1, len(hunks)):
        preceding = anchored.get(index - 1)
        limits[index] = preceding.end if preceding else limits[index - 1]
    found = [ABSENT] * len(hunks)
    bound = size
    for index in range(len(hunks) - 1, -1, -1):
        place, pattern = anchored.get(index), patterns[index]
        start = place.start if place else baseline.last(pattern, limits[index], bound) if pattern else ABSENT
        bound = bound if start == ABSENT else start
        found[index] = start
    return found


def _only_place(hunk: Hunk, first: int, last: int, lines: Sequence[str], placed: Sequence[Place]) -> Place:
    if not hunk.old:
        if not lines:
            return Place(hunk, 0, exact=hunk.hint in {None, 0})
        raise HunkRefused(
            hunk,
            RefusalReason.AMBIGUOUS,
            f"hunk {hunk.number} only adds lines and names none of those around it; add lines of context",
            placed,
        )
    if first != last:
        raise HunkRefused(
            hunk,
            RefusalReason.AMBIGUOUS,
            f"hunk {hunk.number} fits equally well at lines {first + 1} and {last + 1} of the baseline; "
            "add context lines until only one place fits, or correct the line number after `@@ -`",
            placed,
        )
    return Place(hunk, first, exact=False)
