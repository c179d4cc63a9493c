"""Searches as callers read and follow them: candidates, cycles, events, report."""

import json
import time
from collections import Counter

from search_over_http import finish, get, start


def test_a_candidate_shows_the_calls_behind_it(scene, monkeypatch):
    monkeypatch.setattr(scene.generator, "calls_per_proposal", 2)
    search = finish(scene, start(scene))
    first = get(scene, search, "/candidates", cycle=1)["items"][0]
    candidate = get(scene, search, f"/candidates/{first['proposal_id']}")
    assert [call["role"] for call in candidate["calls"]] == ["proposal", "repair"]
    assert candidate["calls"][0]["messages"][0] == {"role": "system", "content": "be brief"}
    assert candidate["form"] == "delta"
    assert search["model"]["calls"] == 2 * 3
    assert get(scene, search, "/cycles")["items"][1]["model"]["calls"] == 2 * 3
    report = scene.http.get(f"/v1/searches/{search['id']}/report").text
    assert "What the models took" in report
    assert "$0.0600" in report


def test_what_became_of_the_deltas_can_be_read(scene):
    search = start(scene, candidates_per_cycle=12)
    nothing = get(scene, search, "/diagnostics")
    assert nothing == {
        "search_id": search["id"], "proposals": [], "delta_failures": [], "hunks": [], "repairs": [],
    }  # fmt: skip
    finish(scene, search)
    found = get(scene, search, "/diagnostics")
    candidates = get(scene, search, "/candidates", cycle=1)["items"]
    refused = Counter(c["failure"]["code"] for c in candidates if c["state"] == "refused")
    assert refused
    assert {record["code"]: record["count"] for record in found["delta_failures"]} == refused
    (proposals,) = found["proposals"]
    assert (proposals["cycle"], proposals["proposer"], proposals["answered"]) == (1, "mutation", 12)
    assert proposals["applied"] == 12 - refused.total()
    assert get(scene, search, "/cycles")["items"][1]["delta_failures"] == refused
    assert "How the deltas were read" in scene.http.get(f"/v1/searches/{search['id']}/report").text


def test_a_whole_search_can_be_read(scene):
    search = finish(scene, start(scene))
    assert search["state"] == "succeeded"
    cycles = get(scene, search, "/cycles")["items"]
    assert [(cycle["cycle"], cycle["state"]) for cycle in cycles] == [(0, "finished"), (1, "finished")]
    candidates = get(scene, search, "/candidates")["items"]
    assert [(c["cycle"], c["slot"]) for c in candidates] == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    elites = get(scene, search, "/elites")["items"]
    assert elites
    assert all(elite["elite"] for elite in elites)
    accuracies = [elite["accuracy"] for elite in elites]
    assert accuracies == sorted(accuracies, reverse=True)
    assert search["best"]["proposal_id"] == elites[0]["proposal_id"]


def test_candidates_come_in_pages_and_by_cycle_and_state(scene):
    search = finish(scene, start(scene))
    pages, cursor = [], None
    while True:
        page = get(scene, search, "/candidates", limit=2, **({"cursor": cursor} if cursor else {}))
        pages.append([c["slot"] for c in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == [[0, 1], [0, 1], [2]]
    assert {c["cycle"] for c in get(scene, search, "/candidates", cycle=1)["items"]} == {1}
    judged = get(scene, search, "/candidates", state="judged")["items"]
    assert {c["state"] for c in judged} == {"judged"}


def test_a_candidate_shows_its_source_and_the_raw_proposal(scene):
    search = finish(scene, start(scene))
    wanted = next(c for c in get(scene, search, "/candidates", cycle=1)["items"] if c["state"] == "judged")
    candidate = get(scene, search, f"/candidates/{wanted['proposal_id']}")
    assert candidate["raw_proposal"].startswith("grow")
    assert "class Net" in candidate["source"]
    assert wanted.items() <= candidate.items()


def test_searches_are_listed_newest_first_in_pages(scene):
    ids = [start(scene, seed=seed)["id"] for seed in range(3)]
    first = scene.http.get("/v1/searches", params={"limit": 2}).json()
    second = scene.http.get("/v1/searches", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [s["id"] for s in first["items"] + second["items"]] == ids[::-1]
    assert second["next_cursor"] is None


def test_events_tell_the_story_in_order_and_go_on_after_the_last_one_seen(scene):
    search = finish(scene, start(scene))
    url = f"/v1/searches/{search['id']}/events"
    told = parse(scene.http.get(url).text)
    kinds = [kind for _, kind, _ in told]
    assert kinds[:2] == ["state", "cycle_started"]
    assert kinds[-1] == "finished"
    assert kinds.count("cycle_finished") == 2
    assert [number for number, _, _ in told] == sorted(number for number, _, _ in told)
    closed = [data for _, kind, data in told if kind == "cycle_finished"]
    assert all(data["state"] == "finished" and data["best_accuracy"] > 0 for data in closed)
    assert all(data["audit_accuracy"] is None for _, kind, data in told if kind == "slot")
    middle = told[len(told) // 2][0]
    rest = parse(scene.http.get(url, headers={"last-event-id": str(middle)}).text)
    assert rest == [event for event in told if event[0] > middle]


def parse(stream: str) -> list[tuple[int, str, dict]]:
    events = []
    for block in stream.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "id" in fields:
            events.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


def test_waiting_for_a_search_ends_when_it_ends(scene):
    search = start(scene)
    began = time.monotonic()
    assert get(scene, search, wait=0.2)["state"] == "queued"
    assert time.monotonic() - began >= 0.2
    finish(scene, search)
    assert get(scene, search, wait=30)["state"] == "succeeded"


def test_the_report_is_a_page_that_may_run_and_load_nothing(scene):
    search = finish(scene, start(scene, name="<script>alert(1)</script>"))
    answer = scene.http.get(f"/v1/searches/{search['id']}/report")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text


def test_the_report_of_a_search_that_has_not_begun_can_be_read(scene):
    assert scene.http.get(f"/v1/searches/{start(scene)['id']}/report").status_code == 200


def test_the_sealed_half_is_hidden_in_the_evaluations_of_a_search(scene):
    search = finish(scene, start(scene))
    judged = get(scene, search, "/candidates", state="judged")["items"]
    for candidate in judged:
        evaluation = scene.http.get(f"/v1/evaluations/{candidate['evaluation_id']}").json()
        assert evaluation["measurement"]["audit_accuracy"] is None
