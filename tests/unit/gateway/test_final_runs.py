"""The end of a search: finalists on fresh seeds, compared on the sealed half, which nobody saw before."""

from search_scene import new_scene

from gateway.infra.evaluation_store import EvaluationStore


def test_the_sealed_half_is_shown_for_the_two_finalists_and_only_at_the_end(tmp_path):
    scene = new_scene(tmp_path, candidates_per_cycle=6)
    run = scene.run()
    while not run.advance():
        shown = scene.candidates.page(scene.search_id)[0]
        assert all(candidate["audit_accuracy"] is None for candidate in shown)
        scene.farm.work()
    final = scene.store.document(scene.search_id)["final"]
    revealed = {
        candidate["proposal_id"]
        for candidate in scene.candidates.page(scene.search_id)[0]
        if candidate["audit_accuracy"] is not None
    }
    assert revealed == {final["winner"]["proposal_id"], final["baseline"]["proposal_id"]}
    assert final["winner"]["audit_accuracy"] is not None


def test_the_final_compares_the_winner_with_the_root_of_its_own_lineage(tmp_path):
    scene = new_scene(tmp_path, cycles=3, candidates_per_cycle=6)
    scene.finish()
    final = scene.store.document(scene.search_id)["final"]
    by_id = {slot.proposal_id: slot for slot in scene.journal.slots()}
    ancestor = by_id[final["winner"]["proposal_id"]]
    while ancestor.parent_id:
        ancestor = by_id[ancestor.parent_id]
    assert final["baseline"]["proposal_id"] == ancestor.proposal_id
    assert len(final["per_seed"]) == 2


def test_a_finalist_that_breaks_on_a_fresh_seed_is_left_out_of_the_gain(tmp_path):
    scene = new_scene(tmp_path)
    run = scene.run()
    while not scene.journal.final_runs():
        assert not run.advance()
        if not scene.journal.final_runs():
            scene.farm.work()
    broken = scene.journal.final_runs()[0]
    with scene.database.write() as session:
        EvaluationStore(scene.database).cancel(session, broken.evaluation.id)
    scene.finish()
    final = scene.store.document(scene.search_id)["final"]
    assert final["per_seed"][0]["winner_accuracy"] is None
    assert final["gain_interval"] is None
    assert final["mean_gain"] is not None
    assert "1 of 2 seeds lack a score" in final["note"]
