"""One candidate from the journal once more: the same proposal, the same source, the same score."""

import pytest
from fakes import FakeFarm
from search_scene import Scene as LoopScene

from contracts.jobs import AppliedDelta
from contracts.proposals import Proposal
from gateway.infra.tables import EvaluationRow

GOOD = {"dataset": "digits", "cycles": 2, "candidates_per_cycle": 6, "final_seeds": 2, "seed": 3, "elites": 3}


@pytest.fixture
def searched(scene):
    """A finished search, and its scene."""
    search = scene.http.post("/v1/searches", json=GOOD).json()
    services = scene.services
    run = LoopScene(services.database, search["id"], scene.generator, scene.filter).run()
    while not run.advance():
        assert FakeFarm(services.database).work() > 0
    return search["id"]


def candidates(scene, search_id):
    return scene.http.get(f"/v1/searches/{search_id}/candidates").json()["items"]


def first(scene, search_id, state="judged", cycle=1):
    return next(c for c in candidates(scene, search_id) if c["state"] == state and c["cycle"] >= cycle)


def replay(scene, search_id, proposal_id, **headers):
    return scene.http.post(f"/v1/searches/{search_id}/candidates/{proposal_id}:replay", headers=headers)


def test_a_replayed_candidate_ends_with_the_score_that_it_had(scene, searched):
    candidate = first(scene, searched)
    before = scene.http.get(f"/v1/searches/{searched}").json()
    answer = replay(scene, searched, candidate["proposal_id"])
    assert answer.status_code == 202, answer.text
    found = answer.json()
    assert (found["proposed_again"], found["applied_again"]) == (True, True)
    assert found["recorded_accuracy"] == candidate["accuracy"]
    assert answer.headers["location"] == f"/v1/evaluations/{found['evaluation']['id']}"
    assert found["evaluation"]["state"] == "queued"
    FakeFarm(scene.services.database).work()
    ended = scene.http.get(answer.headers["location"]).json()
    assert ended["measurement"]["accuracy"] == candidate["accuracy"]
    assert ended["measurement"]["audit_accuracy"] is None
    assert scene.http.get(f"/v1/searches/{searched}").json() == before


def test_it_is_the_same_computation_and_is_run_anew(scene, searched):
    candidate = first(scene, searched)
    found = replay(scene, searched, candidate["proposal_id"]).json()
    with scene.services.database.read() as session:
        one = session.get_one(EvaluationRow, candidate["evaluation_id"])
        again = session.get_one(EvaluationRow, found["evaluation"]["id"])
        assert again.id != one.id
        assert (again.reuse_key, again.split_key, again.scored_on) == (
            one.reuse_key,
            one.split_key,
            one.scored_on,
        )
        assert [a.shuffle_key for a in again.attempts] == [one.attempts[0].shuffle_key]
        assert again.reused_from is None


def test_another_proposal_and_another_source_are_told(scene, searched, monkeypatch):
    candidate = first(scene, searched)

    def another(request):
        return iter([Proposal(request.slots[0].slot, "mutation", "something else", "")])

    monkeypatch.setattr(scene.generator, "propose", another)
    monkeypatch.setattr(
        scene.generator, "apply_delta", lambda *_, **__: AppliedDelta("applied", "", "", 1.0, "x = 1\n", "+x")
    )
    found = replay(scene, searched, candidate["proposal_id"]).json()
    assert (found["proposed_again"], found["applied_again"]) == (False, False)


def test_a_baseline_has_no_proposal_and_a_score_to_repeat(scene, searched):
    baseline = first(scene, searched, cycle=0)
    found = replay(scene, searched, baseline["proposal_id"]).json()
    assert (found["proposed_again"], found["applied_again"]) == (None, None)
    assert found["recorded_accuracy"] == baseline["accuracy"]


def test_what_was_not_measured_cannot_be_replayed(scene, searched):
    refused = first(scene, searched, state="refused")
    answer = replay(scene, searched, refused["proposal_id"])
    assert (answer.status_code, answer.json()["code"]) == (409, "candidate_not_measured")
    unknown = replay(scene, searched, f"{searched}-c099-s000")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "candidate_unknown")
    assert replay(scene, "se_0", "se_0-c001-s000").json()["code"] == "search_unknown"


def test_the_same_key_replays_once(scene, searched):
    candidate = first(scene, searched)
    one, again = (
        replay(scene, searched, candidate["proposal_id"], **{"idempotency-key": "k"}) for _ in range(2)
    )
    assert one.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
