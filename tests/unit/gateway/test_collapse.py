"""When an alarm of collapsing proposals is acted upon, and which adapter stands after steps back. Pure."""

from dataclasses import dataclass

import pytest

from contracts.fine_tuning import FineTuneResult
from gateway.domain.collapse import AdapterStep, adapter_steps, alarm_to_act_on
from gateway.theory.diversity import Action, AlarmThresholds, CycleDiversity

LIMITS = AlarmThresholds()


@dataclass(frozen=True)
class Ended:
    """As much of a job as counts."""

    after_cycle: int
    result: FineTuneResult | None


def adopted(cycle: int) -> Ended:
    return Ended(cycle, FineTuneResult(f"a{cycle}", True, "because", f"a{cycle}", 1, 1.0, 0.9))


def course(*distances: float, unique: int = 50) -> list[CycleDiversity]:
    """Cycles 1, 2, … of 50 sources; `unique` of the last one are new."""
    rows = [CycleDiversity(cycle, 50, 50, distance) for cycle, distance in enumerate(distances, 1)]
    return [*rows[:-1], CycleDiversity(len(rows), 50, unique, distances[-1])]


def test_where_proposals_stay_diverse_nothing_is_done():
    assert alarm_to_act_on(course(0.8, 0.7, 0.6), LIMITS, 3, ()) is None


def test_few_new_proposals_stop_the_learning_while_they_last():
    narrow = course(0.8, 0.7, unique=10)
    assert alarm_to_act_on(narrow, LIMITS, 2, ()).action is Action.PAUSE_FINE_TUNING
    recovered = [*narrow, CycleDiversity(3, 50, 45, 0.7)]
    assert alarm_to_act_on(recovered, LIMITS, 3, ()) is None


def test_near_proposals_go_an_adapter_back_once_they_last_and_that_goes_before_a_pause():
    assert alarm_to_act_on(course(0.8, 0.3), LIMITS, 2, ()) is None
    assert alarm_to_act_on(course(0.8, 0.3, 0.3), LIMITS, 3, ()).action is Action.ROLL_BACK_ADAPTER
    both = course(0.8, 0.3, 0.3, unique=10)
    assert alarm_to_act_on(both, LIMITS, 3, ()).action is Action.ROLL_BACK_ADAPTER


def test_after_a_step_back_the_adapter_before_gets_its_cycles_and_meanwhile_a_pause_is_still_a_pause():
    low = course(0.8, 0.3, 0.3, 0.3, 0.3)
    assert alarm_to_act_on(low[:4], LIMITS, 4, [3]) is None
    assert alarm_to_act_on(low, LIMITS, 5, [3]).action is Action.ROLL_BACK_ADAPTER
    narrow = course(0.8, 0.3, 0.3, 0.3, unique=10)
    assert alarm_to_act_on(narrow, LIMITS, 4, [3]).action is Action.PAUSE_FINE_TUNING


@pytest.mark.parametrize(
    ("jobs", "rolled_back", "expected"),
    [
        ([adopted(1), adopted(2)], [3], [AdapterStep(None, None), AdapterStep("a1", 1)]),
        ([adopted(1)], [2, 4], [AdapterStep(None, None)]),
        ([adopted(1), adopted(3)], [2], [AdapterStep(None, None), AdapterStep("a3", 3)]),
        ([adopted(1), adopted(2), adopted(4)], [3, 5], [AdapterStep(None, None), AdapterStep("a1", 1)]),
    ],
)
def test_a_step_back_drops_the_last_adapter_and_never_what_the_search_came_with(jobs, rolled_back, expected):
    assert adapter_steps(None, jobs, rolled_back) == expected
