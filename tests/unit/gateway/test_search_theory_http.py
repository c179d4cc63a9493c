"""The instruments and the replay of a search as callers see them."""

import pytest
from fakes import FakeFarm
from search_scene import Scene as LoopScene

from gateway.infra.search_recordings import SearchRecordings
from gateway.theory.variance_components import Replication

GOOD = {"dataset": "digits", "cycles": 3, "candidates_per_cycle": 8, "final_seeds": 2, "seed": 3, "elites": 3}
INSTRUMENTS = [
    "cross_entropy",
    "monotone_quality",
    "elite_bound",
    "elite_mass",
    "elite_any_hit",
    "valid_rate",
    "diversity",
    "proxy_reliability",
]


def start(scene, **fields):
    answer = scene.http.post("/v1/searches", json={**GOOD, **fields})
    assert answer.status_code == 202, answer.text
    return answer.json()


def finish(scene, search):
    services = scene.services
    run = LoopScene(services.database, search["id"], scene.generator, scene.filter).run()
    while not run.advance():
        assert FakeFarm(services.database).work() > 0


def get(scene, search, what, **query):
    answer = scene.http.get(f"/v1/searches/{search['id']}{what}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def recordings(scene):
    return SearchRecordings(scene.services.database, scene.services.evaluations)


def test_a_search_that_has_not_begun_has_every_instrument_and_no_answer(scene):
    found = get(scene, start(scene), "/diagnostics/theory")
    assert [reading["instrument"] for reading in found["readings"]] == INSTRUMENTS
    assert {reading["fit"] for reading in found["readings"]} == {"cannot_be_told"}


def test_a_finished_search_is_compared_with_the_theory(scene, monkeypatch):
    monkeypatch.setattr(scene.generator, "calls_per_proposal", 2)
    search = start(scene)
    finish(scene, search)
    found = {r["instrument"]: r for r in get(scene, search, "/diagnostics/theory")["readings"]}
    elites = found["elite_bound"]["figures"]
    baselines = get(scene, search, "/candidates", cycle=0)["items"]
    assert elites["gamma"] == max(one["accuracy"] for one in baselines)
    candidates = get(scene, search, "/candidates", cycle=1)["items"]
    hits = sum(one["accuracy"] is not None and one["accuracy"] >= elites["gamma"] for one in candidates)
    assert elites["rho_0"] == pytest.approx(hits / 8)
    assert [cycle["cycle"] for cycle in found["diversity"]["figures"]["cycles"]] == [1, 2, 3]
    assert found["proxy_reliability"]["figures"]["replication"] == "contenders"
    assert "cannot be told from one search" in found["diversity"]["verdict"]


def test_recorded_runs_are_first_scores_and_those_of_the_finals(scene):
    search = start(scene)
    finish(scene, search)
    recorded = recordings(scene).recorded(search["id"])
    assert recorded.has_ended
    assert recorded.replication is Replication.CONTENDERS
    assert sorted(len(scores) for scores in recorded.runs)[-2:] == [3, 3]  # winner and baseline: 1 + 2 seeds
    assert all(len(scores) == 1 for scores in sorted(recorded.runs, key=len)[:-2])
    assert all(slot.delta is None for slot in recorded.slots)


def test_answers_of_models_have_their_tokens_and_know_whether_they_were_the_last(scene, monkeypatch):
    monkeypatch.setattr(scene.generator, "calls_per_proposal", 2)
    search = start(scene, cycles=1)
    finish(scene, search)
    answers = recordings(scene).recorded(search["id"]).answers
    assert len(answers) == 2 * 8
    assert [answer.is_last for answer in answers[:2]] == [False, True]
    assert all(answer.tokens > 0 for answer in answers)


def test_nothing_changed_replays_the_elites_as_they_are_and_fewer_are_the_first_of_them(scene):
    search = start(scene)
    finish(scene, search)
    elites = [one["proposal_id"] for one in get(scene, search, "/elites")["items"]]
    same = get(scene, search, "/diagnostics/what-if")
    assert same["diverges_after"] is None
    assert [cycle["cycle"] for cycle in same["cycles"]] == [0, 1, 2, 3]
    assert set(same["cycles"][-1]["replayed"]) == set(elites)
    fewer = get(scene, search, "/diagnostics/what-if", elites=1)
    assert fewer["cycles"][-1]["replayed"] == same["cycles"][-1]["recorded"][:1]
    assert fewer["diverges_after"] == 0
    assert "From cycle 1 on" in fewer["note"]


def test_more_seeds_than_were_run_are_said_to_be_missing(scene):
    search = start(scene)
    finish(scene, search)
    found = get(scene, search, "/diagnostics/what-if", seeds=3)
    assert found["cycles"][-1]["too_few_runs"] > 0
    assert "fewer runs" in found["note"]


def test_another_threshold_is_tried_on_the_sources(scene, monkeypatch):
    search = start(scene)
    finish(scene, search)
    found = get(scene, search, "/diagnostics/what-if", novelty_threshold=0.5)
    assert sum(len(cycle["copies"]) for cycle in found["cycles"]) > 0
    monkeypatch.setattr("gateway.routes.search_theory.MOST_COMPARED", 3)
    answer = scene.http.get(f"/v1/searches/{search['id']}/diagnostics/what-if?novelty_threshold=0.9")
    assert (answer.status_code, answer.json()["code"]) == (422, "search_too_large")
    assert answer.json()["field"] == "query.novelty_threshold"


@pytest.mark.parametrize(
    "query",
    ["elites=0", "seeds=0", "seeds=21", "novelty_threshold=0.4", "novelty_threshold=nan", "elites=many"],
)
def test_rules_out_of_range_are_refused_by_name(scene, query):
    answer = scene.http.get(f"/v1/searches/{start(scene)['id']}/diagnostics/what-if?{query}")
    assert answer.status_code == 422
    assert answer.json()["field"] == "query." + query.partition("=")[0]


@pytest.mark.parametrize("what", ["theory", "what-if"])
def test_an_unknown_search_is_not_found(scene, what):
    answer = scene.http.get(f"/v1/searches/se_0/diagnostics/{what}")
    assert (answer.status_code, answer.json()["code"]) == (404, "search_unknown")


def pair_of(scene, seed):
    kept = start(scene, seed=seed, novelty={"threshold": 0.8}, cycles=2)
    free = start(scene, seed=seed, novelty={"threshold": 1.0}, cycles=2)
    finish(scene, kept)
    finish(scene, free)
    return kept["id"], free["id"]


def ask_for_pairs(scene, *pairs):
    query = {"with_filter": [kept for kept, _ in pairs], "without_filter": [free for _, free in pairs]}
    return scene.http.get("/v1/diagnostics/filter-effect", params=query)


def test_pairs_of_searches_say_what_the_filter_adds(scene):
    pairs = [pair_of(scene, seed) for seed in (1, 2)]
    answer = ask_for_pairs(scene, *pairs)
    assert answer.status_code == 200, answer.text
    readings = answer.json()["readings"]
    assert [one["instrument"] for one in readings] == ["filter_effect_distinct", "filter_effect_distance"]
    # The fake filter knows no threshold, so both arms are the same search.
    assert [one["observed"]["value"] for one in readings] == [0, 0]
    assert {one["fit"] for one in readings} == {"undecided"}
    assert {one["fit"] for one in ask_for_pairs(scene, pairs[0]).json()["readings"]} == {"cannot_be_told"}


def test_searches_that_differ_in_more_than_the_filter_are_no_pair(scene):
    one, other = start(scene, novelty={"threshold": 0.8}), start(scene, novelty={"threshold": 1.0}, seed=4)
    answer = ask_for_pairs(scene, (one["id"], other["id"]))
    assert (answer.status_code, answer.json()["code"]) == (422, "not_a_pair")
    assert "differs" in answer.json()["detail"]
    assert "seed" in answer.json()["detail"]
    same = ask_for_pairs(scene, (one["id"], one["id"]))
    assert "threshold is not above" in same.json()["detail"]
    uneven = scene.http.get(
        f"/v1/diagnostics/filter-effect?with_filter={one['id']}&with_filter={one['id']}&without_filter={one['id']}"
    )
    assert uneven.json()["code"] == "not_a_pair"
    assert ask_for_pairs(scene, ("se_0", one["id"])).status_code == 404


def test_a_random_audit_says_how_well_first_scores_order_and_whether_quality_falls(scene):
    asked = {"replicates": {"seeds": 2, "budget": 8}, "audit_sample": {"candidates": 5, "epochs": 2}}
    search = start(scene, **asked, candidates_per_cycle=20)
    assert search["request"]["replicates"] == asked["replicates"]
    assert search["request"]["audit_sample"] == asked["audit_sample"]
    finish(scene, search)
    found = {one["instrument"]: one for one in get(scene, search, "/diagnostics/theory")["readings"]}
    assert list(found) == [
        *INSTRUMENTS[:2], "monotone_quality_audit", *INSTRUMENTS[2:], "ceiling", "ceiling_elites",
    ]  # fmt: skip
    assert found["monotone_quality_audit"]["observed"]["interval"] is not None
    assert found["ceiling"]["observed"]["interval"] is not None
    assert found["proxy_reliability"]["figures"]["replication"] == "contenders"
    again = found["proxy_reliability"]["figures"]["trained_again"]
    candidates = get(scene, search, "/candidates", limit=500)["items"]
    assert again == sum(
        any(run["epochs"] == 1 and run["accuracy"] is not None for run in one["reruns"])
        or one["audit_accuracy"] is not None
        for one in candidates
        if one["plausible"]
    )


def test_what_one_run_each_would_have_made_of_a_search_that_replicates_is_replayed(scene):
    search = start(scene, replicates={"seeds": 2, "budget": 12}, candidates_per_cycle=20)
    finish(scene, search)
    as_it_was = get(scene, search, "/diagnostics/what-if")
    assert as_it_was["diverges_after"] is None
    elites = get(scene, search, "/elites")["items"]
    assert as_it_was["cycles"][-1]["recorded"] == [one["proposal_id"] for one in elites]
    single = get(scene, search, "/diagnostics/what-if", seeds=1)["cycles"][-1]
    candidates = get(scene, search, "/candidates", limit=500)["items"]
    best = sorted(
        (one for one in candidates if one["plausible"]),
        key=lambda one: (-one["accuracy"], one["proposal_id"]),
    )
    assert single["replayed"] == [one["proposal_id"] for one in best[:3]]


def test_the_report_shows_who_was_trained_again(scene):
    search = start(scene, replicates={"seeds": 2, "budget": 8}, audit_sample={"candidates": 2})
    finish(scene, search)
    page = scene.http.get(f"/v1/searches/{search['id']}/report").text
    assert "Trained again" in page
    assert "Selection went by the estimate" in page
    assert "seeds = 2, budget = 8" in page
