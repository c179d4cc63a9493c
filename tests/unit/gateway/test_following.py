"""Server-sent events from the durable log: resumed where a follower was, refused where it cannot be."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from gateway_scene import gateway_in
from sqlalchemy import text

from gateway import key_watch
from gateway.infra.events import append_event
from gateway.infra.removal import remove_evaluations
from gateway.routes import following
from gateway.routes.following import PAGE_EVENTS


def follow(http, subject: str, last: str | int | None = None):
    headers = {} if last is None else {"last-event-id": str(last)}
    return http.get(f"/v1/evaluations/{subject}/events", headers=headers)


def told(answer) -> list[tuple[int, str, dict]]:
    assert answer.status_code == 200, answer.text
    events = []
    for block in answer.text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "id" in fields:
            events.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


@contextmanager
def followed(scene, subject: str, headers: dict | None = None):
    """A follower in a thread of its own; gives what becomes of its answer."""
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(scene.http.get, f"/v1/evaluations/{subject}/events", headers=headers)
        with pytest.raises(TimeoutError):
            answer.result(0.5)
        yield answer


@pytest.fixture
def ended(scene):
    evaluation = scene.submit()
    scene.agent.report(scene.agent.claim_next())
    return evaluation["id"]


def test_a_restarted_gateway_goes_on_after_any_event_and_tells_none_twice(tmp_path):
    with gateway_in(tmp_path) as scene:
        scene.agent.heartbeat()
        evaluation = scene.submit()["id"]
        scene.agent.report(scene.agent.claim_next())
        before = told(follow(scene.http, evaluation))
    assert [kind for _, kind, _ in before] == ["queued", "running", "finished"]
    with gateway_in(tmp_path) as scene:
        other = scene.submit(seed=5)["id"]
        assert told(follow(scene.http, evaluation)) == before
        for place, (last, _, _) in enumerate(before[:-1]):
            assert told(follow(scene.http, evaluation, last)) == before[place + 1 :]
        scene.http.delete(f"/v1/evaluations/{other}")
        ids = [number for number, _, _ in told(follow(scene.http, other))]
        assert min(ids) > before[-1][0]


def test_who_was_told_everything_is_sent_home(scene, ended):
    last = told(follow(scene.http, ended))[-1][0]
    answer = follow(scene.http, ended, last)
    assert (answer.status_code, answer.content) == (204, b"")


def test_an_id_that_the_stream_has_not_come_to_is_refused_by_name(scene, ended):
    newest = told(follow(scene.http, ended))[-1][0]
    for future in (newest + 1, 10**17):
        answer = follow(scene.http, ended, future)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "last_event_id_unknown")
        assert (problem["field"], problem["value"]) == ("Last-Event-ID", str(future))
        assert str(newest) in problem["detail"]
        assert "Leave it out" in problem["remedy"]


@pytest.mark.parametrize("garbage", ["x", "-1", "1.5", "1e3", "0x10", "9" * 19, "1 OR 1=1", "1,2"])
def test_an_id_that_is_none_is_refused_by_name(scene, ended, garbage):
    answer = follow(scene.http, ended, garbage)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["field"] == "Last-Event-ID"


def test_an_empty_id_is_the_start(scene, ended):
    assert told(follow(scene.http, ended, "")) == told(follow(scene.http, ended))
    assert told(follow(scene.http, ended, "0")) == told(follow(scene.http, ended))


def test_an_id_between_two_events_goes_on_with_the_next(scene):
    first, second = (scene.submit(seed=seed)["id"] for seed in (1, 2))
    for evaluation in (first, second):
        scene.http.delete(f"/v1/evaluations/{evaluation}")
    events = told(follow(scene.http, first))
    between = told(follow(scene.http, second))[0][0]
    assert events[0][0] < between < events[-1][0], "ids grow over all streams"
    assert told(follow(scene.http, first, between)) == events[1:]


def test_a_long_story_is_told_page_by_page_and_whole(scene, ended):
    with scene.services.database.write() as session:
        for number in range(2 * PAGE_EVENTS + 3):
            append_event(session, f"evaluation:{ended}", "note", {"number": number})
    events = told(follow(scene.http, ended))
    assert [data["number"] for _, kind, data in events if kind == "note"] == list(range(2 * PAGE_EVENTS + 3))
    assert len({number for number, _, _ in events}) == len(events)


def test_where_old_events_were_deleted_an_ended_story_is_over(scene, ended):
    with scene.services.database.write() as session:
        session.execute(text("DELETE FROM events"))
    assert told(follow(scene.http, ended)) == []
    assert follow(scene.http, ended, 7).status_code == 204


def test_a_stream_ends_with_the_key_that_opened_it(scene, monkeypatch):
    monkeypatch.setattr(key_watch, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(following, "HEARTBEAT_SECONDS", 0.1)
    ids = []
    for tenant in ("ann", "bob"):
        body = {"tenant": tenant, "scopes": ["read", "submit"]}
        key = scene.http.post("/v1/keys", json=body).json()
        headers = {"authorization": f"Bearer {key['key']}"}
        ids.append((key["id"], headers, scene.submit(headers=headers)["id"]))
    (ann, of_ann, annes), (_, of_bob, bobs) = ids
    with followed(scene, annes, of_ann) as answer, followed(scene, bobs, of_bob) as other:
        scene.http.delete(f"/v1/keys/{ann}")
        assert [kind for _, kind, _ in told(answer.result(10))] == ["queued"]
        assert not other.done()
        scene.http.delete(f"/v1/evaluations/{bobs}", headers=of_bob)
        assert told(other.result(10))[-1][1] == "finished"
    assert follow(scene.http, annes).status_code == 404


def test_a_stream_of_something_that_is_removed_ends(scene, monkeypatch):
    monkeypatch.setattr(following, "LOOK_AGAIN", timedelta(seconds=0.1))
    evaluation = scene.submit()["id"]
    with followed(scene, evaluation) as answer:
        with scene.services.database.write() as session:
            remove_evaluations(session, [evaluation])
        assert [kind for _, kind, _ in told(answer.result(10))] == ["queued"]


def test_of_one_tenants_keys_so_many_requests_are_under_way_and_no_more(tmp_path):
    with gateway_in(tmp_path, requests_at_once=1) as scene:
        scene.agent.heartbeat()
        first, second, anothers = (
            {"authorization": f"Bearer {scene.http.post('/v1/keys', json={'tenant': tenant}).json()['key']}"}
            for tenant in ("local", "local", "ann")
        )
        evaluation = scene.submit()["id"]
        with followed(scene, evaluation, first) as answer:
            for key in (first, second):
                refused = scene.http.get("/v1/evaluations", headers=key)
                assert (refused.status_code, refused.json()["code"]) == (429, "too_many_at_once")
                assert int(refused.headers["retry-after"]) > 0
            assert scene.http.get("/v1/evaluations", headers=anothers).status_code == 200
            scene.http.delete(f"/v1/evaluations/{evaluation}")
            assert told(answer.result(10))[-1][1] == "finished"
        assert scene.http.get("/v1/evaluations", headers=first).status_code == 200
