"""Selection replayed on recorded scores: who would have been elite under other rules. Pure.

A replay changes what selection makes of candidates that were measured; it measures nothing anew. After the
first cycle that would have bred from others, later ones would have held other candidates that nobody knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from contracts.names import SlotState
from gateway.domain.candidate import Slot
from gateway.domain.selection import select_elites
from gateway.theory.diversity import Sketch, sketched_distance


@dataclass(frozen=True)
class Rules:
    """What is changed; None leaves it as it was."""

    elites: int | None = None
    """How many are kept."""
    seeds: int | None = None
    """How many runs a score is the mean of, where so many were recorded."""
    novelty_threshold: float | None = None
    """From which Jaccard similarity to an earlier candidate one counts as a copy."""


@dataclass(frozen=True)
class ReplayedCycle:
    """The elites as a cycle closed. Proposal ids, best first."""

    cycle: int
    recorded: tuple[str, ...]
    replayed: tuple[str, ...]
    copies: tuple[str, ...]
    """Candidates of the cycle that would have been turned away as copies."""
    unscored: tuple[str, ...]
    """Copies that would have been let through: what they would have scored is unknown."""
    too_few_runs: int
    """Candidates so far with fewer runs than asked for; they keep the mean of those that they have."""

    @property
    def differs(self) -> bool:
        """Whether others are elite, or in another order: parents are drawn by rank."""
        return self.recorded != self.replayed


@dataclass(frozen=True)
class Replay:
    """A replay up to where it can be believed."""

    cycles: tuple[ReplayedCycle, ...]
    diverges_after: int | None
    """The first cycle with other elites: later ones would not have proposed what they did."""


def replay_selection(
    slots: Sequence[Slot],
    rules: Rules,
    recorded_elites: int,
    runs: Mapping[str, Sequence[float]] | None = None,
    sketches: Mapping[str, Sketch] | None = None,
) -> Replay:
    """Replay every closed cycle, cycle 0 included.

    `runs` are scores by candidate id in the order of their seeds. `sketches` are of sources by proposal id; a
    changed threshold needs them, and finds the copies of the sources as they are written: the filter compares
    canonical programs and may decide otherwise near the threshold.
    """
    copies, unscored = _rescreened(slots, rules, sketches or {})
    scored = [_rescored(slot, rules.seeds, runs or {}) for slot in slots]
    cycles = []
    for cycle in _closed(slots):
        so_far = [slot for slot in slots if slot.cycle <= cycle]
        changed = [slot for slot in scored if slot.cycle <= cycle and slot.proposal_id not in copies]
        cycles.append(
            ReplayedCycle(
                cycle=cycle,
                recorded=_ids(select_elites(so_far, recorded_elites)),
                replayed=_ids(select_elites(changed, rules.elites or recorded_elites)),
                copies=tuple(slot.proposal_id for slot in so_far if _of(slot, cycle) in copies),
                unscored=tuple(slot.proposal_id for slot in so_far if _of(slot, cycle) in unscored),
                too_few_runs=_too_few(so_far, rules.seeds, runs or {}),
            )
        )
    diverges = next((one.cycle for one in cycles if one.differs), None)
    return Replay(tuple(cycles), diverges)


def _closed(slots: Sequence[Slot]) -> list[int]:
    cycles = sorted({slot.cycle for slot in slots})
    return [c for c in cycles if all(slot.state.is_final for slot in slots if slot.cycle <= c)]


def _ids(slots: Sequence[Slot]) -> tuple[str, ...]:
    return tuple(slot.proposal_id for slot in slots)


def _of(slot: Slot, cycle: int) -> str | None:
    return slot.proposal_id if slot.cycle == cycle else None


def _rescored(slot: Slot, seeds: int | None, runs: Mapping[str, Sequence[float]]) -> Slot:
    known = runs.get(slot.candidate_id or "", ())
    if seeds is None or slot.score is None or not known:
        return slot
    return replace(slot, score=replace(slot.score, accuracy=fmean(known[:seeds])))


def _too_few(slots: Sequence[Slot], seeds: int | None, runs: Mapping[str, Sequence[float]]) -> int:
    if seeds is None:
        return 0
    return sum(
        slot.score is not None and max(len(runs.get(slot.candidate_id or "", ())), 1) < seeds
        for slot in slots
    )


def _rescreened(
    slots: Sequence[Slot], rules: Rules, sketches: Mapping[str, Sketch]
) -> tuple[set[str], set[str]]:
    """Proposal ids of those that would be turned away, and of copies that would be let through."""
    if rules.novelty_threshold is None:
        return set(), set()
    copies: set[str] = set()
    unscored: set[str] = set()
    admitted: list[tuple[Sketch, frozenset[int]]] = []
    for slot in sorted(slots, key=lambda one: (one.cycle, one.slot)):
        sketch = sketches.get(slot.proposal_id)
        if sketch is None:
            continue
        is_copy = not slot.is_baseline and _is_like_any(sketch, admitted, rules.novelty_threshold)
        if not is_copy:
            admitted.append((sketch, frozenset(sketch)))
        if is_copy and slot.state is not SlotState.DUPLICATE:
            copies.add(slot.proposal_id)
        elif not is_copy and slot.state is SlotState.DUPLICATE:
            unscored.add(slot.proposal_id)
    return copies, unscored


def _is_like_any(sketch: Sketch, admitted: Sequence[tuple[Sketch, frozenset[int]]], threshold: float) -> bool:
    own = frozenset(sketch)
    return any(
        # A sketch shares at least as many hashes as its estimate counts: most others need no closer look.
        len(own & theirs) >= threshold * min(len(own), len(theirs))
        and 1 - sketched_distance(sketch, other) >= threshold
        for other, theirs in admitted
    )
