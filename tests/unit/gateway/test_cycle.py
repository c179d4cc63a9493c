"""The loop on a real journal between fakes: what becomes of each slot, and who is to blame."""

import json

import pytest
from fakes import baseline
from search_scene import Scene, accept, new_database, new_scene, request

from contracts.failures import Failure, FailureReason
from contracts.jobs import AppliedDelta, EditPermissions, HunkReport, Proposal
from contracts.names import EvaluationState, SearchState, SlotState
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable
from gateway.infra.slot_journal import SearchNotRunning
from gateway.loop.cycle import PATIENCE

pytestmark = pytest.mark.slow

DOWN = ServiceUnavailable("generator", "connection refused")


@pytest.fixture
def scene(tmp_path) -> Scene:
    return new_scene(tmp_path, cycles=1)


@pytest.fixture
def after_baselines(scene) -> Scene:
    """A search whose baselines are measured, and whose cycle 1 is still to be proposed."""
    assert not scene.run().advance()
    scene.farm.work()
    return scene


def slots_of(scene: Scene, cycle: int = 1):
    return scene.journal.slots(cycle)


def advance_through_trouble(scene: Scene, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ServiceUnavailable):
            scene.run().advance()


def propose_only(scene: Scene, monkeypatch, delta: str, failure: str = "") -> None:
    def propose(asked):
        return iter([Proposal(slot.slot, "fake", delta, "as told", failure) for slot in asked.slots])

    monkeypatch.setattr(scene.generator, "propose", propose)


def test_the_baselines_are_measured_before_anything_is_proposed(scene):
    assert not scene.run().advance()
    assert [slot.state for slot in slots_of(scene, 0)] == [SlotState.EVALUATING] * 2
    assert scene.generator.batches == []


def test_the_baselines_hyperparameters_reach_its_own_and_its_childrens_evaluations(scene):
    scene.finish()
    evaluations = EvaluationStore(scene.database)
    of_elm = [
        slot for slot in scene.journal.slots() if slot.root_id.endswith("c000-s001") and slot.evaluation_id
    ]
    assert len(of_elm) > 1
    for slot in of_elm:
        assert evaluations.read(slot.evaluation_id).request.hyperparameters == {"lr": 0.01}


def test_slots_are_asked_for_in_batches_of_eight(tmp_path):
    scene = new_scene(tmp_path, cycles=1, candidates_per_cycle=19)
    scene.finish()
    assert scene.generator.batches == [list(range(8)), list(range(8, 16)), [16, 17, 18]]


def test_proposals_may_arrive_in_any_order_without_changing_the_story(tmp_path):
    forwards = new_scene(tmp_path, "forwards", candidates_per_cycle=7)
    backwards = new_scene(tmp_path, "backwards", candidates_per_cycle=7)
    backwards.generator.backwards = True
    forwards.finish()
    backwards.finish()
    assert backwards.story() == forwards.story()


def test_evaluations_may_end_in_any_order_without_changing_the_story(tmp_path):
    at_once, one_by_one = new_scene(tmp_path, "at_once"), new_scene(tmp_path, "one_by_one")
    at_once.finish()
    while not one_by_one.run().advance():
        one_by_one.farm.work(at_most=1)
    assert one_by_one.story() == at_once.story()


def test_another_seed_tells_another_story(tmp_path):
    one, other = new_scene(tmp_path, "one", seed=1), new_scene(tmp_path, "other", seed=2)
    one.finish()
    other.finish()
    assert one.story()["slots"] != other.story()["slots"]


def test_a_refused_delta_is_data_with_its_reason_and_code(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "unplaceable")
    after_baselines.finish()
    for slot in slots_of(after_baselines):
        assert slot.state is SlotState.REFUSED
        assert slot.failure.reason == "delta_rejected"
        assert slot.failure.code == "hunk_unplaceable"
    funnel = after_baselines.store.document(after_baselines.search_id)["funnel"]
    assert funnel["proposed"] == 4
    assert funnel["applied"] == 0


def answers(scene: Scene, monkeypatch, applied: AppliedDelta) -> None:
    """Every delta is answered alike."""
    monkeypatch.setattr(scene.generator, "apply_delta", lambda *_asked: applied)


def refused_with(code: str, *hunks: HunkReport) -> AppliedDelta:
    return AppliedDelta("refused", code, "as told", 0.0, None, None, hunks)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("no_diff_found", "delta_rejected"),
        ("ambiguous", "delta_rejected"),
        ("no_op", "delta_rejected"),
        ("too_large", "delta_rejected"),
        ("syntax_error", "syntax_error"),
        ("contract_lost", "contract_violation"),
        ("policy_violation", "policy_violation"),
        ("forbidden_region", "policy_violation"),
    ],
)
def test_every_refusal_is_counted_by_its_own_code_and_keeps_its_reason(
    after_baselines, monkeypatch, code, reason
):
    propose_only(after_baselines, monkeypatch, "grow 1")
    answers(after_baselines, monkeypatch, refused_with(code))
    after_baselines.finish()
    assert {(slot.failure.reason, slot.failure.code) for slot in slots_of(after_baselines)} == {
        (reason, code)
    }
    (_, cycle) = after_baselines.store.cycles(after_baselines.search_id)
    assert cycle["delta_failures"] == {code: 4}


def test_hunks_and_repairs_are_counted_by_cycle_and_proposer(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "grow 1")
    hunks = (
        HunkReport(1, "exact", 3),
        HunkReport(2, "repaired", 9, repairs=("indentation: shifted by 4", "indentation: shifted by 8")),
        HunkReport(3, "refused", None, "two places", "ambiguous", ("no kind at all",)),
    )
    answers(after_baselines, monkeypatch, refused_with("ambiguous", *hunks))
    after_baselines.finish()
    found = after_baselines.store.diagnostics(after_baselines.search_id)
    place = {"cycle": 1, "proposer": "fake"}
    assert found["proposals"] == [{**place, "answered": 4, "applied": 0, "mean_confidence": None}]
    assert found["delta_failures"] == [{**place, "code": "ambiguous", "count": 4}]
    assert found["hunks"] == [
        {**place, "status": "exact", "reason": "", "count": 4},
        {**place, "status": "refused", "reason": "ambiguous", "count": 4},
        {**place, "status": "repaired", "reason": "", "count": 4},
    ]
    assert found["repairs"] == [
        {**place, "kind": "indentation", "count": 8},
        {**place, "kind": "other", "count": 4},
    ]


def test_the_hunks_of_a_hostile_delta_are_counted_but_not_all_kept(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "grow 1")
    long = "x" * 100_000
    hunks = [
        HunkReport(n, f"odd {n}", n, long, f"reason {n}", (f"kind {n % 99}: y",) * 50) for n in range(5000)
    ]
    answers(
        after_baselines, monkeypatch, refused_with("ambiguous", *hunks, HunkReport(5000, "refused", None))
    )
    after_baselines.finish()
    slot = slots_of(after_baselines)[0]
    report = after_baselines.store.candidate(slot.search_id, slot.proposal_id)["delta_report"]
    assert report["hunks"][-1]["number"] == 5000
    assert len(report["hunks"]) + report["hunks_left_out"] == 5001
    assert len(json.dumps(report)) < 64 * 1024
    found = after_baselines.store.diagnostics(slot.search_id)
    assert sum(record["count"] for record in found["hunks"]) == 4 * 5001
    assert sum(record["count"] for record in found["repairs"]) == 4 * 5000 * 50
    assert len(found["hunks"]) + len(found["repairs"]) < 60


def test_an_applied_delta_keeps_its_confidence_and_its_proposer(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "grow 1")
    after_baselines.finish()
    slot = slots_of(after_baselines)[0]
    assert (slot.delta_code, slot.delta_confidence, slot.proposer) == ("applied", 1.0, "fake")
    (proposals,) = after_baselines.store.diagnostics(slot.search_id)["proposals"]
    assert (proposals["answered"], proposals["applied"], proposals["mean_confidence"]) == (4, 4, 1.0)


def test_a_slot_that_the_platform_lost_is_in_no_count(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "grow 1")
    refusal = ServiceRefused("filter", 413, {"detail": "body too large"})
    after_baselines.filter.trouble = [refusal]
    after_baselines.finish()
    assert slots_of(after_baselines)[0].state is SlotState.LOST
    (proposals,) = after_baselines.store.diagnostics(after_baselines.search_id)["proposals"]
    assert proposals["answered"] == 3


def test_edit_permissions_reach_the_proposer_and_the_applier(tmp_path):
    edits = EditPermissions(only=("forward",), never=("imports",))
    scene = new_scene(tmp_path, cycles=1, edits=edits)
    scene.finish()
    assert scene.journal.search().request.edits == edits
    assert scene.generator.permissions == {edits}


def test_a_proposer_with_nothing_to_propose_says_why(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "", failure="no mutation applies")
    after_baselines.finish()
    assert {(slot.failure.code, slot.failure.message) for slot in slots_of(after_baselines)} == {
        ("no_proposal", "no mutation applies")
    }


def test_a_search_in_which_no_candidate_ran_succeeds_without_finals(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "unplaceable")
    after_baselines.finish()
    document = after_baselines.store.document(after_baselines.search_id)
    assert (document["state"], document["final"]) == ("succeeded", None)


def test_a_source_that_breaks_the_rules_is_refused_even_if_the_applier_let_it_pass(
    after_baselines, monkeypatch
):
    monkeypatch.setattr(
        after_baselines.generator,
        "apply_delta",
        lambda *_asked: AppliedDelta("applied", "", "", 1.0, "class Gone: pass\n", "-Net"),
    )
    propose_only(after_baselines, monkeypatch, "grow 1")
    after_baselines.finish()
    assert {slot.failure.reason for slot in slots_of(after_baselines)} == {"contract_violation"}


def test_unstorable_characters_from_a_proposer_do_not_stop_the_search(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "grow \ud800 \x00", failure="")
    monkeypatch.setattr(
        after_baselines.generator,
        "apply_delta",
        lambda *_asked: AppliedDelta("refused", "no_diff_found", "saw \ud800\x00", 0.0, None, None),
    )
    after_baselines.finish()
    assert {slot.state for slot in slots_of(after_baselines)} == {SlotState.REFUSED}


def test_a_duplicate_names_what_it_copies_and_is_not_evaluated(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "nothing new")
    after_baselines.finish()
    for slot in slots_of(after_baselines):
        assert slot.state is SlotState.DUPLICATE
        assert slot.duplicate_of == slot.parent_id
        assert slot.evaluation_id is None


def test_equal_candidates_of_one_cycle_are_novel_once_and_the_lowest_slot_wins(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "grow 5")
    parents = {slot.slot: slot.parent_id for slot in _opened(after_baselines)}
    after_baselines.finish()
    for slot in slots_of(after_baselines):
        first = min(place for place, parent in parents.items() if parent == slot.parent_id)
        assert (slot.state is not SlotState.DUPLICATE) == (slot.slot == first)


def _opened(scene: Scene):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene.generator, "propose", _unavailable)
        with pytest.raises(ServiceUnavailable):
            scene.run().advance()
    return slots_of(scene)


def _unavailable(*_):
    raise DOWN


def test_a_generator_that_dies_in_mid_stream_loses_nothing_that_arrived(after_baselines):
    after_baselines.generator.trouble = {2: [DOWN]}
    advance_through_trouble(after_baselines, 1)
    states = [slot.state for slot in slots_of(after_baselines)]
    assert SlotState.PENDING not in states[:2]
    assert states[2:] == [SlotState.PENDING] * 2
    after_baselines.finish()
    assert after_baselines.generator.batches == [[0, 1, 2, 3], [2, 3]]


def test_trouble_of_the_services_changes_nothing_in_the_story(tmp_path):
    calm, troubled = new_scene(tmp_path, "calm"), new_scene(tmp_path, "troubled")
    calm.finish()
    troubled.generator.trouble = {0: [DOWN], 3: [DOWN, DOWN]}
    troubled.filter.trouble = [ServiceUnavailable("filter", "gone"), ServiceUnavailable("filter", "gone")]
    failures = 0
    while True:
        try:
            if troubled.run().advance():
                break
            troubled.farm.work()
        except ServiceUnavailable:
            failures += 1
    assert failures == 5
    assert troubled.story() == calm.story()


def test_a_slot_that_breaks_the_generator_is_lost_alone_and_counted_nowhere(after_baselines):
    after_baselines.generator.trouble = {1: [DOWN] * 100}
    advance_through_trouble(after_baselines, PATIENCE)
    after_baselines.finish()
    lost = slots_of(after_baselines)[1]
    assert lost.state is SlotState.LOST
    assert lost.failure.reason == "infrastructure"
    assert all(slot.state is not SlotState.LOST for slot in slots_of(after_baselines) if slot.slot != 1)
    funnel = after_baselines.store.document(after_baselines.search_id)["funnel"]
    assert funnel["lost"] == 1
    assert funnel["proposed"] == 3


def test_a_generator_that_leaves_slots_unanswered_is_asked_again(after_baselines, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(after_baselines.generator, "propose", lambda _asked: iter(()))
        with pytest.raises(ServiceUnavailable, match="4 of 4 slots"):
            after_baselines.run().advance()
    after_baselines.finish()
    assert all(slot.state.is_final for slot in slots_of(after_baselines))


def test_answers_for_slots_that_nobody_asked_for_are_ignored(after_baselines, monkeypatch):
    honest = after_baselines.generator.propose

    def propose(asked):
        yield Proposal(77, "fake", "grow 1", "uninvited")
        for proposal in honest(asked):
            yield proposal
            yield Proposal(proposal.slot, "fake", "grow 2", "second thoughts")

    monkeypatch.setattr(after_baselines.generator, "propose", propose)
    after_baselines.finish()
    assert len(slots_of(after_baselines)) == 4
    assert "second thoughts" not in {slot.summary for slot in slots_of(after_baselines)}


def test_a_proposer_that_refuses_the_search_is_not_asked_for_ever(after_baselines, monkeypatch):
    def refuse(_asked):
        raise ServiceRefused("generator", 422, {"detail": "unknown proposer 'oracle'"})

    monkeypatch.setattr(after_baselines.generator, "propose", refuse)
    with pytest.raises(ServiceRefused, match="unknown proposer"):
        after_baselines.run().advance()


def test_an_error_of_the_filter_is_never_novel(after_baselines):
    after_baselines.filter.trouble = [ServiceUnavailable("filter", "disk full")]
    advance_through_trouble(after_baselines, 1)
    reached = {slot.state for slot in slots_of(after_baselines)}
    assert SlotState.APPLIED in reached
    assert SlotState.NOVEL not in reached
    assert SlotState.EVALUATING not in reached


def test_what_the_filter_cannot_read_is_lost_and_not_evaluated(after_baselines):
    after_baselines.filter.trouble = [ServiceRefused("filter", 422, {"detail": "cannot parse"})]
    after_baselines.finish()
    lost = [slot for slot in slots_of(after_baselines) if slot.state is SlotState.LOST]
    assert len(lost) == 1
    assert lost[0].evaluation_id is None


def test_a_filter_that_forgot_is_reminded_before_it_screens(after_baselines, monkeypatch):
    after_baselines.filter.scopes.clear()
    propose_only(after_baselines, monkeypatch, "nothing new")
    after_baselines.finish()
    assert {slot.state for slot in slots_of(after_baselines)} == {SlotState.DUPLICATE}


def test_a_filter_with_another_past_is_rebuilt_from_the_journal(after_baselines):
    (scope,) = after_baselines.filter.scopes
    after_baselines.filter.scopes[scope] |= {f"stranger {number}": "" for number in range(5)}
    after_baselines.finish()
    known = set(after_baselines.filter.scopes[scope])
    assert known == {slot.proposal_id for slot in after_baselines.journal.admitted()}


@pytest.mark.parametrize("end", ["infrastructure", "cancelled"])
def test_an_evaluation_lost_by_the_platform_leaves_every_denominator(after_baselines, end):
    run = after_baselines.run()
    assert not run.advance()
    victim = next(slot for slot in slots_of(after_baselines) if slot.state is SlotState.EVALUATING)
    if end == "cancelled":
        evaluations = EvaluationStore(after_baselines.database)
        with after_baselines.database.write() as session:
            evaluations.cancel(session, victim.evaluation_id)
    farm = after_baselines.farm
    farm.ended_by_source[victim.candidate_id] = (
        EvaluationState.FAILED,
        Failure(FailureReason.INFRASTRUCTURE, "three workers were lost"),
    )
    farm.work()
    after_baselines.finish()
    assert slots_of(after_baselines)[victim.slot].state is SlotState.LOST
    funnel = after_baselines.store.document(after_baselines.search_id)["funnel"]
    assert (funnel["lost"], funnel["proposed"]) == (1, 3)


def test_a_search_fails_clearly_when_no_baseline_can_be_measured(scene):
    assert not scene.run().advance()
    farm = scene.farm
    for slot in slots_of(scene, 0):
        farm.ended_by_source[slot.candidate_id] = (
            EvaluationState.FAILED,
            Failure(FailureReason.TIMEOUT, f"{slot.name} took too long"),
        )
    farm.work()
    assert scene.run().advance()
    document = scene.store.document(scene.search_id)
    assert document["state"] == "failed"
    assert "oak: timeout, oak took too long" in document["failure"]
    assert "elm: timeout" in document["failure"]


def test_baselines_that_only_guess_are_still_parents_but_nobody_is_elite(tmp_path):
    database = new_database(tmp_path)
    # With two classes, chance × 1.2 is 0.6; with one, no accuracy is plausible at all.
    scene = Scene(database, accept(database, request(cycles=1), classes=1))
    scene.finish()
    document = scene.store.document(scene.search_id)
    assert (document["state"], document["best"], document["final"]) == ("succeeded", None, None)
    assert {slot.parent_name for slot in slots_of(scene)} == {"oak", "elm"}


def test_a_paused_search_takes_no_step_and_goes_on_where_it_stood(after_baselines):
    after_baselines.store.pause(after_baselines.search_id)
    before = after_baselines.story()
    with pytest.raises(SearchNotRunning):
        after_baselines.run().advance()
    assert after_baselines.story() == before
    after_baselines.store.resume(after_baselines.search_id)
    after_baselines.finish()
    assert after_baselines.journal.search().state is SearchState.SUCCEEDED


def test_a_pause_in_mid_stream_keeps_what_has_arrived(after_baselines, monkeypatch):
    honest = after_baselines.generator.propose

    def propose(asked):
        for number, proposal in enumerate(honest(asked)):
            if number == 2:
                after_baselines.store.pause(after_baselines.search_id)
            yield proposal

    with monkeypatch.context() as patch:
        patch.setattr(after_baselines.generator, "propose", propose)
        with pytest.raises(SearchNotRunning):
            after_baselines.run().advance()
    assert [slot.state for slot in slots_of(after_baselines)][2:] == [SlotState.PENDING] * 2


def test_one_baseline_is_enough(tmp_path):
    database = new_database(tmp_path)
    lone = (baseline("lone"),)
    wanted = request(baselines=("lone",), candidates_per_cycle=1, cycles=2)
    scene = Scene(database, accept(database, wanted, lone))
    scene.finish()
    assert scene.journal.search().state is SearchState.SUCCEEDED
