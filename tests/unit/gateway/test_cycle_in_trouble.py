"""A cycle between services that fail: nothing that arrived is lost, and nobody is blamed for it."""

import pytest
from cycle_scene import DOWN, advance_through_trouble, search_after_baselines, slots_of
from search_scene import Scene, new_scene

from contracts.failures import Failure, FailureReason
from contracts.names import EvaluationState, SlotState
from contracts.proposals import Proposal
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable
from gateway.loop.cycle import PATIENCE

pytestmark = pytest.mark.slow


@pytest.fixture
def after_baselines(tmp_path) -> Scene:
    return search_after_baselines(tmp_path)


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
