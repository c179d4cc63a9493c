"""A search's memory of what was tried: what is in it, in which order, and how long it may get."""

import pytest
from search_scene import new_scene
from slots import slot

from contracts.names import SlotState
from contracts.proposals import PastTry
from gateway.domain.candidate import SlotFailure
from gateway.domain.feedback import (
    MAX_CHANGE_CHARACTERS,
    MAX_CHANGE_LINES,
    MAX_OUTCOME_CHARACTERS,
    MAX_PROBLEM_CHARACTERS,
    FeedbackMemory,
    TryTexts,
    choose_tries,
    past_try,
)

OWN, OTHER = "se_0-c000-s000", "se_0-c000-s001"


def failed(reason: str, message: str = "", code: str = "", state=SlotState.FAILED):
    return slot(1, 0, accuracy=None, state=state, failure=SlotFailure(reason, message, code))


def outcome(one, parent_accuracy=None) -> str:
    return past_try(one, TryTexts(), parent_accuracy).outcome


def places(tries) -> list[tuple[int, int]]:
    return [(one.cycle, one.slot) for one in tries]


def test_the_latest_tries_of_the_same_lineage_come_before_all_others():
    population = [slot(cycle, place, root=place % 2) for cycle in range(4) for place in range(4)]
    assert places(choose_tries(population, OWN, 3, 3)) == [(1, 2), (2, 0), (2, 2)]
    assert places(choose_tries(population, OTHER, 3, 5)) == [(1, 1), (1, 3), (2, 1), (2, 2), (2, 3)]


def test_the_order_in_which_slots_are_read_does_not_matter():
    population = [slot(cycle, place, root=place % 2) for cycle in range(3) for place in range(4)]
    assert choose_tries(population[::-1], OWN, 3, 4) == choose_tries(population, OWN, 3, 4)


def test_baselines_open_cycles_and_what_the_platform_lost_are_never_told():
    told = {SlotState.JUDGED, SlotState.FAILED, SlotState.REFUSED, SlotState.DUPLICATE}
    population = [slot(1, place, state=state) for place, state in enumerate(SlotState)]
    population += [slot(0, 0), slot(2, 0)]
    chosen = choose_tries(population, OWN, 2, 20)
    assert {one.state for one in chosen} == told
    assert {one.cycle for one in chosen} == {1}


def test_a_window_of_nothing_remembers_nothing():
    assert choose_tries([slot(1, 0)], OWN, 2, 0) == []


def test_outcomes_are_one_sentence_each():
    assert outcome(slot(1, 0, 0.712), 0.699) == "accuracy 71.20 %, its baseline 69.90 %"
    assert outcome(slot(1, 0, 0.712)) == "accuracy 71.20 %"
    refused = failed("delta_rejected", "hunk 1 fits\nnowhere", "hunk_unplaceable", SlotState.REFUSED)
    assert outcome(refused) == "refused: hunk_unplaceable: hunk 1 fits nowhere"
    copy = slot(1, 0, accuracy=None, state=SlotState.DUPLICATE, duplicate_of="se_0-c000-s003")
    assert outcome(copy) == "duplicate of c000-s003"


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (("train_error", "shapes differ"), "failed: train_error: shapes differ"),
        (("out_of_memory", "used 2143 MiB", "host"), "failed: out_of_memory: host"),
        (("timeout", "stopped after 60.3 s", "train"), "failed: timeout: train"),
    ],
)
def test_messages_about_the_code_are_told_and_sizes_that_differ_from_run_to_run_are_not(failure, told):
    assert outcome(failed(*failure)) == told


def test_the_change_is_the_canonical_delta_or_else_the_beginning_of_the_answer():
    applied = slot(1, 0, delta="-a\n+b")
    assert past_try(applied, TryTexts("too narrow", "prose\n-a\n+b"), None) == PastTry(
        "too narrow", "-a\n+b", "accuracy 50.00 %"
    )
    assert past_try(slot(1, 0, None), TryTexts(answer="prose"), None).change == "prose"


def test_every_text_is_bounded_however_long_it_was():
    long_lines = past_try(slot(1, 0, delta="+x\n" * 100_000), TryTexts(), None).change
    assert long_lines.count("\n") == MAX_CHANGE_LINES
    assert long_lines.endswith("\n…")
    one_line = past_try(slot(1, 0, None), TryTexts(answer="x" * 100_000), None).change
    assert len(one_line) <= MAX_CHANGE_CHARACTERS
    told = past_try(failed("build_error", "e" * 9000), TryTexts("p" * 9000), None)
    assert (len(told.problem), len(told.outcome)) == (MAX_PROBLEM_CHARACTERS, MAX_OUTCOME_CHARACTERS)


def test_a_search_tells_its_proposer_what_closed_cycles_tried(tmp_path):
    scene = new_scene(tmp_path, feedback=FeedbackMemory(2))
    scene.finish()
    first, second = scene.generator.asked
    assert all(slot.history == () for slot in first.slots)
    assert all(len(slot.history) == 2 for slot in second.slots)
    outcomes = {past.outcome.split(":")[0].split(" ")[0] for slot in second.slots for past in slot.history}
    assert outcomes <= {"accuracy", "refused", "failed", "duplicate"}
    accuracies = {slot.baseline_accuracy for slot in (*first.slots, *second.slots)}
    assert accuracies <= {slot.score.accuracy for slot in scene.journal.slots() if slot.score}


def test_without_a_window_nothing_is_told(tmp_path):
    scene = new_scene(tmp_path)
    scene.finish()
    assert {slot.history for asked in scene.generator.asked for slot in asked.slots} == {()}
