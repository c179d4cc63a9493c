"""Selection replayed on recorded scores: who would have been elite under other rules. Pure.

A replay changes what selection makes of candidates that were measured; it measures nothing anew. After the
first cycle that would have bred from others, later ones would have held other candidates that nobody knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from contracts.names import SlotState
from gateway.domain.candidate import Slot
from gateway.domain.reruns import as_of
from gateway.domain.selection import select_elites


@dataclass(frozen=True)
class Rules:
    """What is changed; None leaves it as it was."""

    elites: int | None = None
    """How many are kept."""
    seeds: int | None = None
    """How many runs a score is the mean of, where so many were recorded; then estimates do not count."""
    novelty_threshold: float | None = None
    """From which Jaccard similarity to an earlier candidate one counts as a copy."""


@dataclass(frozen=True)
class Likeness:
    """How alike sources are, by proposal id. Of a pair the earlier comes first."""

    compared: frozenset[str] = frozenset()
    copies: frozenset[str] = frozenset()
    """The same program as an earlier one."""
    near: tuple[tuple[str, str, float], ...] = ()
    """Pairs of the others, with their Jaccard similarity, from the threshold on that is replayed."""


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
    likeness: Likeness | None = None,
) -> Replay:
    """Replay every closed cycle, cycle 0 included.

    `runs` are scores by candidate id in the order of their seeds. A changed threshold needs the `likeness` of
    all sources that were screened, copies included.
    """
    copies, unscored = _rescreened(slots, rules, likeness or Likeness())
    scored = [_rescored(slot, rules.seeds, runs or {}) for slot in slots]
    cycles = []
    for cycle in _closed(slots):
        so_far = as_of(slots, cycle)
        under_rules = so_far if rules.seeds is None else [slot for slot in scored if slot.cycle <= cycle]
        changed = [slot for slot in under_rules if slot.proposal_id not in copies]
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
    if seeds is None or slot.score is None:
        return slot
    known = runs.get(slot.candidate_id or "") or (slot.score.accuracy,)
    return replace(slot, score=replace(slot.score, accuracy=fmean(known[:seeds]), estimate=None))


def _too_few(slots: Sequence[Slot], seeds: int | None, runs: Mapping[str, Sequence[float]]) -> int:
    if seeds is None:
        return 0
    return sum(
        slot.score is not None and max(len(runs.get(slot.candidate_id or "", ())), 1) < seeds
        for slot in slots
    )


def _rescreened(slots: Sequence[Slot], rules: Rules, likeness: Likeness) -> tuple[set[str], set[str]]:
    """Proposal ids of those that would be turned away, and of copies that would be let through."""
    if rules.novelty_threshold is None:
        return set(), set()
    earlier: dict[str, list[str]] = {}
    for first, second, jaccard in likeness.near:
        if jaccard >= rules.novelty_threshold:
            earlier.setdefault(second, []).append(first)
    copies: set[str] = set()
    unscored: set[str] = set()
    admitted: set[str] = set()
    for slot in sorted(slots, key=lambda one: (one.cycle, one.slot)):
        name = slot.proposal_id
        if name not in likeness.compared:
            continue
        is_like_one = name in likeness.copies or not admitted.isdisjoint(earlier.get(name, ()))
        if slot.is_baseline or not is_like_one:
            admitted.add(name)
            if slot.state is SlotState.DUPLICATE:
                unscored.add(name)
        elif slot.state is not SlotState.DUPLICATE:
            copies.add(name)
    return copies, unscored
