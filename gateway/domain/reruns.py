"""Who is run again, with which seeds, and what selection makes of it. Pure.

Selection by one run each picks the luckiest of many (the winner's curse). Where a search replicates,
contenders are trained again before a cycle closes, and everybody is ranked by an estimate from all of their
runs, shrunken towards the mean of all (`theory.shrinkage`). Both variances come from the likelihood over
*all* candidates, those with one run among them: what contenders alone say of them is biased, because they
were picked by their scores.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from contracts.names import SlotState
from gateway.domain.candidate import Slot
from gateway.domain.rerun import MAX_REPLICATE_SEEDS, AuditPlan, ReplicatePlan, Rerun, RerunPurpose
from gateway.domain.search import MAX_FINAL_SEEDS, derive_number, final_training_seeds, training_seed
from gateway.domain.selection import select_elites
from gateway.theory.shrinkage import Shrunken, population_mean, shrunken
from gateway.theory.variance_components import Replication, variance_components

REACHES = 1.96
"""Deviations that a near miss may be below the last elite: its 95 % interval reaches it."""


def replicate_seeds(search_seed: int, count: int) -> tuple[int, ...]:
    """`count` distinct 31-bit seeds, the same for every candidate: contenders meet under equal conditions.

    None is the seed that everybody trained with at first, and none is one of the finals'.
    """
    return _fresh_seeds("replicate", search_seed, count, {training_seed(search_seed)})


def audit_seed(search_seed: int) -> int:
    """The 31-bit seed of all audits of a search; no other run of it has this seed."""
    taken = {training_seed(search_seed), *replicate_seeds(search_seed, MAX_REPLICATE_SEEDS)}
    return _fresh_seeds("audit", search_seed, 1, taken)[0]


def as_of(slots: Iterable[Slot], cycle: int) -> list[Slot]:
    """The slots up to a cycle with what selection goes by when it closes.

    Where nobody was trained again that is the measured accuracy, as it stands. Else every plausible candidate
    has an estimate from all its runs up to that cycle.
    """
    known = [slot for slot in slots if slot.cycle <= cycle]
    estimates = estimate_all(known, cycle)
    return [_estimated(slot, estimates.get(slot.proposal_id)) for slot in known]


def estimate_all(slots: Sequence[Slot], cycle: int) -> dict[str, Shrunken]:
    """By proposal id, of every plausible candidate; empty where nobody was trained again.

    Where variances cannot be told apart yet: the mean of the runs of each, of unknown (infinite) deviation.
    """
    runs = {
        slot.proposal_id: (slot.score.accuracy, *_replicated(slot, cycle))
        for slot in slots
        if slot.score is not None and slot.score.plausible
    }
    if all(len(scores) == 1 for scores in runs.values()):
        return {}
    # A failed run is no draw from the spread of accuracies: it counts for its candidate, not as noise of all.
    sound = [scores for scores in runs.values() if min(scores) > 0]
    components = variance_components(sound, Replication.CONTENDERS)
    if components is None or components.architecture <= 0:
        return {name: Shrunken(sum(scores) / len(scores), float("inf")) for name, scores in runs.items()}
    mean = population_mean(sound, components)
    return {name: shrunken(scores, mean, components) for name, scores in runs.items()}


def choose_contenders(
    slots: Sequence[Slot], cycle: int, elites: int, plan: ReplicatePlan
) -> list[tuple[Slot, int]]:
    """Who is to be trained again now, as (slot, number of its seed), best first; empty once all is done.

    Those who would become elites come first; once they have had their runs, near misses whose interval
    reaches the last elite. Whoever loses a place by its further runs gives it to somebody who is then run
    again in turn, as far as the cycle's budget goes.
    """
    known = as_of(slots, cycle)
    asked = sum(rerun.cycle == cycle for slot in known for rerun in replicates(slot))
    room = plan.budget - asked
    ranked = select_elites(known, len(known))
    wanting = [slot for slot in ranked[:elites] if len(replicates(slot)) < plan.seeds]
    if not wanting and len(ranked) > elites:
        wanting = _near_misses(ranked[elites:], ranked[elites - 1], estimate_all(known, cycle), plan)
    places = [(slot, place) for slot in wanting for place in range(len(replicates(slot)), plan.seeds)]
    return places[: max(room, 0)]


def draw_audits(slots: Iterable[Slot], cycle: int, search_seed: int, plan: AuditPlan) -> list[Slot]:
    """The random few of a cycle that are audited, in slot order: whoever was measured, elite or not."""
    judged = [slot for slot in slots if slot.cycle == cycle and slot.state is SlotState.JUDGED]
    drawn = sorted(judged, key=lambda slot: derive_number("audit", search_seed, slot.cycle, slot.slot))
    return sorted(drawn[: plan.candidates], key=lambda slot: slot.slot)


def replicates(slot: Slot) -> tuple[Rerun, ...]:
    """The further runs that selection looks at, in the order of their seeds."""
    return tuple(rerun for rerun in slot.reruns if rerun.purpose is RerunPurpose.REPLICATE)


def audits(slot: Slot) -> tuple[Rerun, ...]:
    """The further runs that selection never looks at."""
    return tuple(rerun for rerun in slot.reruns if rerun.purpose is RerunPurpose.AUDIT)


def counted(reruns: Iterable[Rerun]) -> tuple[float, ...]:
    """Of these runs, what counts."""
    return tuple(rerun.counted for rerun in reruns if rerun.counted is not None)


def _replicated(slot: Slot, cycle: int) -> tuple[float, ...]:
    return counted(rerun for rerun in replicates(slot) if rerun.cycle <= cycle)


def _estimated(slot: Slot, estimate: Shrunken | None) -> Slot:
    value = None if estimate is None else estimate.value
    if slot.score is None or slot.score.estimate == value:
        return slot
    return replace(slot, score=replace(slot.score, estimate=value))


def _near_misses(
    behind: Sequence[Slot], last: Slot, estimates: dict[str, Shrunken], plan: ReplicatePlan
) -> list[Slot]:
    """Best first; while nothing is known of noise, everybody."""
    bar = last.selection_score or 0.0

    def reaches(slot: Slot) -> bool:
        found = estimates.get(slot.proposal_id)
        return found is None or (slot.selection_score or 0.0) + REACHES * found.deviation >= bar

    return [slot for slot in behind if len(replicates(slot)) < plan.seeds and reaches(slot)]


def _fresh_seeds(purpose: str, search_seed: int, count: int, taken: set[int]) -> tuple[int, ...]:
    used = taken | set(final_training_seeds(search_seed, MAX_FINAL_SEEDS))
    seeds: list[int] = []
    draw = 0
    while len(seeds) < count:
        seed = derive_number(purpose, search_seed, draw, bits=31)
        draw += 1
        if seed not in used and seed not in seeds:
            seeds.append(seed)
    return tuple(seeds)
