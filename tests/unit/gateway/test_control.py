"""The control arm: alike in all but what learns from its own candidates, compared on shared seeds."""

from statistics import fmean

import pytest
from search_over_http import finish, get, start
from search_scene import Scene as LoopScene
from search_scene import request

from gateway.domain.control import compare_arms, control_request
from gateway.domain.feedback import FeedbackMemory
from gateway.domain.rerun import AuditPlan, ReplicatePlan

ASKED = {
    "dataset": "digits", "cycles": 2, "candidates_per_cycle": 8, "final_seeds": 2, "seed": 3, "elites": 3,
    "control": True,
}  # fmt: skip


def final(*accuracies: float | None):
    return {"per_seed": [{"seed": seed, "winner_accuracy": one} for seed, one in enumerate(accuracies)]}


def slots(scene, search):
    return LoopScene(scene.services.database, search["id"], scene.generator, scene.filter).journal.slots()


def test_a_control_keeps_the_budget_and_drops_what_learns_from_its_own_candidates():
    asked = request(
        name="x" * 120, feedback=FeedbackMemory(5), replicates=ReplicatePlan(2, 8), audit_sample=AuditPlan(3)
    )
    control = control_request(asked)
    assert (control.breeds, control.feedback, control.audit_sample) == (False, FeedbackMemory(), None)
    assert control.replicates == asked.replicates
    assert (control.seed, control.cycles, control.candidates_per_cycle) == (3, 2, 4)
    assert control.name.endswith(", control")
    assert len(control.name) == 120


def test_winners_are_compared_on_the_seeds_that_both_have_scores_of():
    found = compare_arms(final(0.8, 0.9, None), final(0.7, 0.85, 0.9))
    assert found.differences == pytest.approx((0.1, 0.05))
    assert found.mean == pytest.approx(0.075)
    assert found.interval[0] < 0.075 < found.interval[1]
    assert compare_arms(final(0.8), final(0.7)).interval is None
    assert compare_arms(final(0.8), None) is None
    assert compare_arms(final(None), final(0.7)) is None


def test_a_control_proposes_as_much_from_the_baselines_alone_and_stands_beside_its_search(scene):
    search = start(scene, **ASKED)
    control = get(scene, {"id": search["control"]})
    assert control["control_of"] == search["id"]
    assert (control["control"], search["control_of"]) == (None, None)
    ended = [finish(scene, one) for one in (search, control)]
    bred, drawn = slots(scene, search), slots(scene, control)
    assert len(bred) == len(drawn)
    by_id = {slot.proposal_id: slot for slot in drawn}
    assert all(by_id[slot.parent_id].is_baseline for slot in drawn if not slot.is_baseline)
    assert any(slot.cycle > 1 and not _parent(bred, slot).is_baseline for slot in bred)
    assert [slot.candidate_id for slot in bred if slot.cycle == 1] == [
        slot.candidate_id for slot in drawn if slot.cycle == 1
    ]
    page = scene.http.get(f"/v1/searches/{search['id']}/report").text
    assert "Beside best of N" in page
    assert control["id"] in page
    pairs = zip(*(one["final"]["per_seed"] for one in ended), strict=True)
    mean = fmean(one["winner_accuracy"] - other["winner_accuracy"] for one, other in pairs)
    assert f"{100 * mean:+.2f} points" in page


def test_a_search_without_a_control_has_none(scene):
    search = start(scene)
    assert (search["control"], search["control_of"]) == (None, None)
    assert len(scene.http.get("/v1/searches").json()["items"]) == 1


def test_sending_the_request_again_starts_no_second_control(scene):
    headers = {"idempotency-key": "once"}
    first = scene.http.post("/v1/searches", json=ASKED, headers=headers).json()
    again = scene.http.post("/v1/searches", json=ASKED, headers=headers).json()
    assert again["control"] == first["control"]
    assert len(scene.http.get("/v1/searches").json()["items"]) == 2


def _parent(slots, slot):
    return next(one for one in slots if one.proposal_id == slot.parent_id)
