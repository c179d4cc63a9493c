"""Who is elite, and who becomes a parent of the next cycle. Pure and deterministic.

Elites are the top of everything judged so far, baselines included: the elite set of the cross-entropy
method, kept over cycles so that its quality never decreases (arXiv 2605.30103, results 1 and 2).
Parents are drawn by rank with stochastic universal sampling (J. E. Baker, "Reducing bias and
inefficiency in the selection algorithm", ICGA 1987), which keeps every parent's count within one of its
expectation, over elites grouped by family: stratified at random, since an enumeration in alphabetical
order once spent a whole budget on one family. A share of every cycle goes back to the baselines.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence

from contracts.names import SlotState
from gateway.domain.candidate import Slot
from gateway.domain.search import derive_number

EXPLORATION_SHARE = 0.25
"""Of the slots of a cycle, how many start from a baseline whatever its rank; at least one of two."""


def select_elites(population: Iterable[Slot], count: int) -> tuple[Slot, ...]:
    """The best `count` plausible slots by accuracy on the selection half, best first; copies less a penalty.

    Ties go to the earlier slot. (Measured CPU seconds would be the fairer judge, but they differ from
    run to run, and ties are common on a small half: equal seeds would part.) A source counts once.
    """
    best: dict[str | None, Slot] = {}
    for slot in sorted((slot for slot in population if _may_be_elite(slot)), key=_rank_key):
        best.setdefault(slot.candidate_id, slot)
    return tuple(best.values())[:count]


def choose_parents(
    elites: Sequence[Slot], baselines: Iterable[Slot], count: int, seed: int, cycle: int
) -> tuple[Slot, ...]:
    """One parent for each of `count` slots of `cycle`; elites come best first.

    Baselines need only be judged, not plausible: a search whose budget is too small to learn anything
    still has somewhere to start. Raises ValueError when nobody was judged.
    """
    judged = [slot for slot in baselines if slot.state is SlotState.JUDGED]
    if not judged and not elites:
        raise ValueError("nothing was measured successfully, so there is no parent to propose from")
    explored = _exploration_slots(count) if judged else 0
    if not elites:
        explored = count
    bred = _draw_by_rank(elites, count - explored, seed, cycle)
    parents = bred + _rotate_baselines(judged, bred, explored, seed, cycle)
    order = sorted(range(count), key=lambda place: derive_number("order", seed, cycle, place))
    return tuple(parents[place] for place in order)


def _may_be_elite(slot: Slot) -> bool:
    return slot.state is SlotState.JUDGED and slot.score is not None and slot.score.plausible


def _rank_key(slot: Slot) -> tuple[float, int, int]:
    assert slot.selection_score is not None
    return (-slot.selection_score, slot.cycle, slot.slot)


def _exploration_slots(count: int) -> int:
    return 0 if count < 2 else max(1, round(count * EXPLORATION_SHARE))


def _draw_by_rank(elites: Sequence[Slot], count: int, seed: int, cycle: int) -> list[Slot]:
    if count == 0:
        return []
    weights = _rank_weights(len(elites))
    strata = sorted(
        range(len(elites)),
        key=lambda rank: (derive_number("family", seed, cycle, elites[rank].family), rank),
    )
    step = sum(weights) / count
    pointer = step * derive_number("pointer", seed, cycle, bits=53) / 2**53
    drawn: list[Slot] = []
    passed = 0.0
    for rank in strata:
        passed += weights[rank]
        while pointer < passed and len(drawn) < count:
            drawn.append(elites[rank])
            pointer += step
    # Rounding may leave the last pointer a hair beyond the end of the wheel.
    return drawn + [elites[strata[-1]]] * (count - len(drawn))


def _rank_weights(count: int) -> list[int]:
    """Linear ranking, except that the best never outweighs all others together."""
    weights = list(range(count, 0, -1))
    if count > 1:
        weights[0] = min(weights[0], sum(weights[1:]))
    return weights


def _rotate_baselines(
    baselines: Sequence[Slot], bred: Sequence[Slot], count: int, seed: int, cycle: int
) -> list[Slot]:
    """The next `count` baselines of a seeded rotation that moves on with every cycle.

    Those of a family that breeds this cycle anyway come last.
    """
    if count == 0:
        return []
    wheel = deque(_alternate_families(baselines, seed))
    wheel.rotate(-count * (cycle - 1))
    families = {slot.family for slot in bred}
    parents = {slot.proposal_id for slot in bred}
    turn = sorted(wheel, key=lambda slot: (slot.family in families, slot.proposal_id in parents))
    return (turn * math.ceil(count / len(turn)))[:count]


def _alternate_families(baselines: Sequence[Slot], seed: int) -> list[Slot]:
    """Baselines in a seeded order in which neighbours differ in family as long as families last."""
    shuffled = sorted(baselines, key=lambda slot: derive_number("baseline", seed, slot.name))
    turns: dict[str, int] = {}
    placed: list[tuple[int, int, Slot]] = []
    for place, slot in enumerate(shuffled):
        turns[slot.family] = turns.get(slot.family, -1) + 1
        placed.append((turns[slot.family], place, slot))
    return [slot for _, _, slot in sorted(placed, key=lambda item: item[:2])]
