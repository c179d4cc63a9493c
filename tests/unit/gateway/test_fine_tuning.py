"""Which deltas of a search a model learns from, and which adapter is in use after its jobs. Pure."""

from dataclasses import dataclass, replace

import pytest
from slots import slot

from contracts.fine_tuning import FineTuneResult
from gateway.domain.collapse import adapter_steps
from gateway.domain.fine_tune_plan import EliteDeltas
from gateway.domain.fine_tuning import (
    ChatKind,
    EliteSource,
    count_not_improving,
    elite_pairs,
)

KEPT = 3


def child(cycle: int, place: int, accuracy: float, **fields):
    """Made from the first baseline."""
    return slot(cycle, place, accuracy, parent_id="se_0-c000-s000", **fields)


POPULATION = [
    slot(0, 0, 0.30),
    slot(0, 1, 0.20),
    child(1, 0, 0.40),
    child(1, 1, 0.50),
    child(1, 2, 0.10),
    child(2, 0, 0.60),
    child(2, 1, 0.70),
    child(3, 0, 0.80),
]


def pairs(**fields) -> list[tuple[ChatKind, str]]:
    source = EliteSource(**{"search_id": "se_0", "through_cycle": 3, **fields})
    return [(pair.kind, pair.elite.candidate_id) for pair in elite_pairs(POPULATION, KEPT, source, seed=1)]


def test_all_that_were_ever_elite_are_learnt_once_and_baselines_never():
    assert pairs() == [(ChatKind.ELITE, name) for name in ("1/0", "1/1", "2/0", "2/1", "3/0")]


def test_a_delta_starts_from_the_elites_own_parent():
    source = EliteSource("se_0", 3)
    assert {pair.parent.proposal_id for pair in elite_pairs(POPULATION, KEPT, source, 1)} == {
        "se_0-c000-s000"
    }


def test_later_cycles_are_not_looked_at():
    assert [name for _, name in pairs(through_cycle=1)] == ["1/0", "1/1"]


WITH_STEPS_DOWN = [
    *POPULATION,
    slot(3, 1, 0.65, parent_id="se_0-c002-s001"),
    slot(3, 2, 0.70, parent_id="se_0-c002-s001"),
]


def test_what_made_a_network_no_better_is_learnt_only_where_all_elites_are():
    better, every = EliteSource("se_0", 3), EliteSource("se_0", 3, deltas=EliteDeltas.ALL)
    found = {
        source.deltas: [pair.elite.candidate_id for pair in elite_pairs(WITH_STEPS_DOWN, 5, source, 1)]
        for source in (better, every)
    }
    assert "3/0" in found[EliteDeltas.IMPROVEMENTS]
    assert set(found[EliteDeltas.ALL]) - set(found[EliteDeltas.IMPROVEMENTS]) == {"1/2", "3/1", "3/2"}
    assert count_not_improving(WITH_STEPS_DOWN, 5, better) == 3
    assert count_not_improving(WITH_STEPS_DOWN, 5, every) == 0


def test_what_was_learnt_before_is_replayed_up_to_its_share():
    fresh = [(ChatKind.ELITE, "3/0")]
    assert pairs(known_through=2) == fresh
    assert pairs(known_through=2, replay=0.4) == fresh  # 0.4 of two would be less than one
    half = pairs(known_through=2, replay=0.5)
    assert half[:1] == fresh
    assert [kind for kind, _ in half[1:]] == [ChatKind.REPLAYED]
    most = pairs(known_through=2, replay=0.9)
    assert {name for kind, name in most if kind is ChatKind.REPLAYED} == {"1/0", "1/1", "2/0", "2/1"}
    assert pairs(known_through=2, replay=0.5) == half


def test_nothing_new_replays_nothing():
    assert pairs(through_cycle=2, known_through=2, replay=0.9) == []


def test_the_same_change_of_the_same_network_is_learnt_once():
    again = child(2, 2, 0.65, candidate_id="2/0")
    found = elite_pairs([*POPULATION, again], KEPT + 1, EliteSource("se_0", 3), 1)
    assert [pair.elite.candidate_id for pair in found].count("2/0") == 1


@dataclass
class Ended:
    """As much of a job as counts."""

    result: FineTuneResult | None
    after_cycle: int = 0


def result(adapter: str, use: str | None) -> Ended:
    return Ended(FineTuneResult(adapter, adapter == use, "because", use, 1, 1.0, 0.9))


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ((), "start"),
        ((result("a", "a"),), "a"),
        ((result("a", "a"), result("b", "a")), "a"),
        ((result("a", "a"), Ended(None), result("c", "c")), "c"),
        ((Ended(None),), "start"),
        ((result("a", None),), None),
    ],
)
def test_the_adapter_in_use_is_the_last_adopted_one(jobs, expected):
    jobs = [replace(job, after_cycle=cycle) for cycle, job in enumerate(jobs, 1)]
    assert adapter_steps("start", jobs)[-1].adapter == expected
