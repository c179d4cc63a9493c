"""Searches that train candidates again: contenders before they become elites, and a random audit."""

import pytest
from search_scene import Scene, new_scene
from test_cycle_crashes import count_evaluations, live_through_power_cuts

from contracts.names import SearchState, SlotState
from gateway.domain.rerun import AuditPlan, ReplicatePlan, RerunPurpose
from gateway.domain.reruns import audit_seed, replicate_seeds
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.rerun_journal import RerunJournal
from gateway.loop.search_run import SearchRun

PLANS = {"replicates": ReplicatePlan(2, 8), "audit_sample": AuditPlan(2, epochs=3)}


def runs_of(scene: Scene, purpose: RerunPurpose):
    return [(slot, run) for slot in scene.journal.slots() for run in slot.reruns if run.purpose is purpose]


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> Scene:
    scene = new_scene(tmp_path_factory.mktemp("ended"), candidates_per_cycle=8, **PLANS)
    scene.finish()
    return scene


def test_a_search_that_asks_for_nothing_runs_nobody_again(tmp_path):
    scene = new_scene(tmp_path)
    scene.finish()
    assert all(slot.reruns == () for slot in scene.journal.slots())
    assert all(slot.score is None or slot.score.estimate is None for slot in scene.journal.slots())


def test_contenders_are_trained_again_with_seeds_of_their_own_before_their_cycle_closes(ended):
    seeds = replicate_seeds(3, 2)
    replicated = runs_of(ended, RerunPurpose.REPLICATE)
    assert replicated
    for slot, run in replicated:
        assert run.cycle >= slot.cycle
        assert run.seed == seeds[run.place]
        evaluation = EvaluationStore(ended.database).read(run.evaluation_id)
        assert evaluation.request.seeds == (run.seed,)
        assert evaluation.request.epochs == 1
    for cycle in (0, 1, 2):
        assert sum(run.cycle == cycle for _, run in replicated) <= 8


def test_selection_goes_by_estimates_and_what_was_measured_stays_shown(ended):
    documents = ended.candidates.page(ended.search_id)[0]
    scored = [one for one in documents if one["accuracy"] is not None]
    assert all(one["estimate"] is not None for one in scored)
    for one in scored:
        assert (
            one["accuracy"] == EvaluationStore(ended.database).read(one["evaluation_id"]).measurement.accuracy
        )
    elites = sorted((one for one in scored if one["elite"]), key=lambda one: -one["estimate"])
    worst = elites[-1]["estimate"]
    assert all(one["estimate"] <= worst for one in scored if not one["elite"] and one["plausible"])
    assert [one["proposal_id"] for one in ended.candidates.elites(ended.search_id)] == [
        one["proposal_id"] for one in elites
    ]
    proposed = [one for one in scored if one["cycle"] > 0]
    winner = ended.store.document(ended.search_id)["final"]["winner"]["proposal_id"]
    assert winner == max(proposed, key=lambda one: one["estimate"])["proposal_id"]


def test_audits_are_few_random_and_longer_where_asked_and_selection_never_sees_them(ended, tmp_path):
    audited = runs_of(ended, RerunPurpose.AUDIT)
    assert {slot.cycle for slot, _ in audited} == {1, 2}
    assert len(audited) == 4
    assert {(run.seed, run.epochs) for _, run in audited} == {(audit_seed(3), 3)}
    without = new_scene(tmp_path, candidates_per_cycle=8, replicates=PLANS["replicates"])
    without.finish()
    assert [slot.elite for slot in without.journal.slots()] == [slot.elite for slot in ended.journal.slots()]
    assert [slot.score for slot in without.journal.slots()] == [slot.score for slot in ended.journal.slots()]


def test_what_further_runs_take_is_counted_by_cycle_and_in_all(ended):
    document, cycles = ended.store.document(ended.search_id), ended.store.cycles(ended.search_id)
    assert document["reruns"]["audits"] == 4
    assert document["reruns"]["replicates"] == len(runs_of(ended, RerunPurpose.REPLICATE))
    assert document["reruns"]["cpu_seconds"] > 0
    for name, total in document["reruns"].items():
        assert sum(cycle["reruns"][name] for cycle in cycles) == total
    assert document["funnel"]["ran"] == sum(
        slot.state is SlotState.JUDGED for slot in ended.journal.slots() if slot.cycle > 0
    )


@pytest.mark.parametrize(
    ("at_write", "after_commit"),
    [
        (2, True),
        pytest.param(5, True, marks=pytest.mark.slow),
        *(pytest.param(*cut, marks=pytest.mark.full) for cut in [(3, False), (4, False)]),
    ],
)
def test_power_cuts_change_no_further_run(ended, tmp_path, at_write, after_commit):
    scene = new_scene(tmp_path, candidates_per_cycle=8, **PLANS)
    assert live_through_power_cuts(scene, at_write, after_commit) > 3
    assert scene.story() == ended.story()
    assert count_evaluations(scene) == count_evaluations(ended)


def test_a_cancelled_search_ends_its_further_runs(tmp_path):
    scene = new_scene(tmp_path, **PLANS)
    run = scene.run()
    while not scene.journal.open_reruns():
        assert not run.advance()
        if not scene.journal.open_reruns():
            scene.farm.work()
    scene.store.cancel(scene.search_id)
    assert scene.farm.work() == 0
    assert scene.store.read(scene.search_id).state is SearchState.CANCELLED


def test_further_runs_wait_for_room_in_the_queue(tmp_path):
    scene = new_scene(tmp_path, **PLANS)
    full = False
    journal = RerunJournal(
        scene.database, EvaluationStore(scene.database), scene.search_id, lambda *_: not full
    )
    run = SearchRun(journal, scene.generator, scene.filter, scene.indexes)
    assert not run.advance()
    scene.farm.work()
    full = True
    assert not run.advance()
    assert "room in its tenant's queue" in run.waits_for
    assert scene.farm.work() == 0
    full = False
    assert not run.advance()
    assert run.waits_for is None
    assert scene.farm.work() > 0
