"""Decides between places of hunks that fit about equally well and give different results.

The other hunks decide (a diff goes from top to bottom), then what stands behind the second `@@`, then the
numbers. If none of them decides, nothing is guessed: the delta is refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from generator_svc.deltas.alignment import MAX_PLACES
from generator_svc.deltas.baseline import Baseline, key_of
from generator_svc.deltas.places import HunkRefused, Place, hint_of
from generator_svc.deltas.refusals import RefusalReason
from generator_svc.deltas.written import WrittenHunk


class Choice:
    """The decision between rivals."""

    def __init__(self, hunks: Sequence[WrittenHunk], rivals: list[list[Place]], baseline: Baseline) -> None:
        self._hunks = hunks
        self._rivals = rivals
        self._baseline = baseline

    def made(self) -> list[Place]:
        """One place for each hunk. Raises HunkRefused (ambiguous)."""
        self._decide("the order of the hunks", self._by_order)
        self._decide("the heading of the hunk", self._by_heading)
        self._decide("the line number", self._by_number)
        self._decide("the order of the hunks", self._by_order)
        self._decide_by_sequence()
        for hunk, rivals in zip(self._hunks, self._rivals, strict=True):
            if len(rivals) > 1:
                raise self._ambiguous(hunk, rivals)
        return [rivals[0] for rivals in self._rivals]

    def _decide(self, name: str, choose: Callable[[int], list[Place]]) -> None:
        for index, rivals in enumerate(self._rivals):
            if len(rivals) > 1 and len(kept := choose(index)) == 1:
                (place,) = kept
                self._rivals[index] = [replace(place, decided_by=name)]

    def _decide_by_sequence(self) -> None:
        """Where only one choice for all hunks together keeps them in order and apart, that is it.

        Each as early as possible and each as late as possible are two such choices, and all lie in between.
        """
        if all(len(rivals) == 1 for rivals in self._rivals):
            return
        early: list[Place] = []
        late: list[Place] = []
        for rivals in self._rivals:
            free = early[-1].end if early else 0
            early += sorted((p for p in rivals if p.start >= free), key=lambda p: (p.end, p.start))[:1]
        for rivals in reversed(self._rivals):
            bound = late[-1].start if late else len(self._baseline)
            late += sorted((p for p in rivals if p.end <= bound), key=lambda p: (-p.start, -p.end))[:1]
        if len(early) == len(late) == len(self._rivals) and early == late[::-1]:
            self._rivals = [
                rivals if len(rivals) == 1 else [replace(place, decided_by="the order of the hunks")]
                for rivals, place in zip(self._rivals, early, strict=True)
            ]

    def _by_order(self, index: int) -> list[Place]:
        """Those that leave room for what stands above and below; all, if the hunks are in no order."""
        firm = [(i, places[0]) for i, places in enumerate(self._rivals) if len(places) == 1]
        if any(earlier.start > later.start for (_, earlier), (_, later) in pairwise(firm)):
            return self._rivals[index]
        low = max((place.end for i, place in firm if i < index), default=0)
        high = min((place.start for i, place in firm if i > index), default=len(self._baseline))
        fitting = [place for place in self._rivals[index] if low <= place.start and place.end <= high]
        return fitting or self._rivals[index]

    def _by_heading(self, index: int) -> list[Place]:
        """Those below the one line that the heading quotes, nearest first above them."""
        heading = key_of(self._hunks[index].raw.header.heading)
        at = self._baseline.positions.get(heading, []) if heading else []
        if not at:
            return self._rivals[index]
        below = [place for place in self._rivals[index] if place.start >= at[0]]
        if len(at) > 1 or not below:
            return self._rivals[index]
        return below

    def _by_number(self, index: int) -> list[Place]:
        """The one that stands where the header says, or as far from it as all sure ones do."""
        hint = hint_of(self._hunks[index])
        if hint is None:
            return self._rivals[index]
        offsets = {
            places[0].start - other
            for i, places in enumerate(self._rivals)
            if len(places) == 1 and i != index and (other := hint_of(self._hunks[i])) is not None
        }
        if len(offsets) > 1:
            return self._rivals[index]
        offset = next(iter(offsets), 0)
        return [place for place in self._rivals[index] if place.start == hint + offset]

    def _ambiguous(self, hunk: WrittenHunk, rivals: Sequence[Place]) -> HunkRefused:
        first, second = sorted(rivals, key=lambda place: place.start)[:2]
        more = (
            ""
            if len(rivals) == 2
            else f" and {'many' if len(rivals) == MAX_PLACES else len(rivals) - 2} more"
        )
        where = f"at lines {first.start + 1} and {second.start + 1}{more} of the baseline"
        message = (
            f"hunk {hunk.number} fits equally well {where}; add context lines until only one place fits, "
            "or correct the line number after `@@ -`"
        )
        firm = [places[0] for places in self._rivals if len(places) == 1]
        return HunkRefused(hunk, RefusalReason.AMBIGUOUS, message, firm)
