"""The client against a gateway on a real port: requests, retries, errors, events, uploads."""

import io
import zipfile

import pytest

from deltanas import Client, transport
from deltanas.errors import (
    Conflict,
    NotFound,
    PlatformFailed,
    RequestInvalid,
    ServerUnreachable,
    StillRunning,
)

EVALUATION = {"id": "ev_1", "state": "queued"}


@pytest.fixture
def client(gateway, monkeypatch):
    monkeypatch.setattr(transport, "_DELAYS_SECONDS", (0.01, 0.01, 0.01))
    with Client(gateway.address, api_key="dn_secret") as made:
        yield made


def test_a_request_carries_its_fields_the_key_and_an_idempotency_key(gateway, client):
    gateway.answer("POST", "/v1/evaluations", EVALUATION, status=202)
    assert client.evaluate(source="x", dataset="mnist", epochs=2) == EVALUATION
    (heard,) = gateway.heard
    assert heard.json == {"dataset": "mnist", "source": "x", "epochs": 2}
    assert heard.headers["authorization"] == "Bearer dn_secret"
    assert len(heard.headers["idempotency-key"]) == 32


def test_a_lost_connection_is_tried_again_with_the_same_idempotency_key(gateway, client):
    gateway.hang_up("POST", "/v1/evaluations")
    gateway.hang_up("POST", "/v1/evaluations")
    gateway.answer("POST", "/v1/evaluations", EVALUATION, status=202)
    assert client.evaluate(source="x", dataset="mnist") == EVALUATION
    assert len(gateway.heard) == 3
    assert len({heard.headers["idempotency-key"] for heard in gateway.heard}) == 1


def test_a_server_that_is_away_is_tried_again_and_then_reported(gateway, client):
    gateway.answer("GET", "/v1/capabilities", {"detail": "starting"}, status=503)
    gateway.answer("GET", "/v1/capabilities", {"slots": 2})
    assert client.capabilities() == {"slots": 2}
    with (
        Client("http://127.0.0.1:9", api_key=None) as nobody,
        pytest.raises(ServerUnreachable, match="deltanas up"),
    ):
        nobody.capabilities()


@pytest.mark.parametrize(
    ("status", "error"),
    [(422, RequestInvalid), (413, RequestInvalid), (404, NotFound), (409, Conflict), (500, PlatformFailed)],
)
def test_errors_have_names_and_carry_the_problem(gateway, client, status, error):
    problem = {
        "code": "unknown_dataset",
        "detail": "no such dataset",
        "field": "dataset",
        "remedy": "use mnist",
    }
    gateway.answer("POST", "/v1/evaluations", problem, status=status)
    with pytest.raises(error, match="no such dataset") as caught:
        client.evaluate(source="x", dataset="nope")
    assert caught.value.code == "unknown_dataset"
    assert caught.value.field == "dataset"
    assert caught.value.remedy == "use mnist"
    assert len(gateway.heard) == 1


def test_an_answer_that_is_no_problem_document_is_still_an_error(gateway, client):
    gateway.answer("GET", "/v1/capabilities", "<html>", status=500)
    with pytest.raises(PlatformFailed, match="500"):
        client.capabilities()
    gateway.answer("GET", "/v1/baselines/x", "<html>")
    with pytest.raises(PlatformFailed, match="not JSON"):
        client.baseline("x")


def test_waiting_reports_progress_and_ends_with_the_evaluation(gateway, client):
    for state in ("queued", "running", "succeeded"):
        gateway.answer("GET", "/v1/evaluations/ev_1", {"id": "ev_1", "state": state})
    states = []
    ended = client.wait_for_evaluation("ev_1", on_progress=lambda e: states.append(e["state"]))
    assert ended["state"] == "succeeded"
    assert states == ["queued", "running", "succeeded"]


def test_waiting_gives_up_after_its_time(gateway, client):
    gateway.answer("GET", "/v1/evaluations/ev_1", {"id": "ev_1", "state": "running"})
    with pytest.raises(StillRunning, match="running"):
        client.wait_for_evaluation("ev_1", timeout=0.05)


def test_no_question_waits_longer_than_its_answer_may_take(gateway, client):
    paths = ("/v1/evaluations/ev_1", "/v1/baselines/imports/im_1", "/v1/baselines/smoke-runs/sm_1")
    for path, read in zip(paths, (client.evaluation, client.baseline_import, client.smoke_run), strict=True):
        gateway.answer("GET", path, {})
        read(path.rpartition("/")[2], wait=60)
    assert [heard.query for heard in gateway.heard] == [{"wait": "20"}] * 3


def test_lists_are_read_to_their_last_page(gateway, client):
    gateway.answer("GET", "/v1/searches/se_1/candidates", {"items": [1, 2], "next_cursor": "b"})
    gateway.answer("GET", "/v1/searches/se_1/candidates", {"items": [3], "next_cursor": None})
    assert client.candidates("se_1") == [1, 2, 3]
    assert gateway.heard[1].query["cursor"] == "b"


def test_an_identifier_cannot_leave_its_place_in_the_path(gateway, client):
    with pytest.raises(NotFound):
        client.search("../../internal")
    assert gateway.heard[0].path == "/v1/searches/..%2F..%2Finternal"


def test_events_are_taken_up_after_the_last_one_heard(gateway, client):
    gateway.hang_up("GET", "/v1/searches/se_1/events")
    gateway.events(
        "/v1/searches/se_1/events", ("state", {"state": "running"}), ("finished", {"state": "failed"})
    )
    events = list(client.search_events("se_1"))
    assert [(event.id, event.kind, event.data["state"]) for event in events] == [
        ("1", "state", "running"),
        ("2", "finished", "failed"),
    ]


def test_a_stream_that_breaks_is_resumed_with_last_event_id(gateway, client):
    gateway.answer(
        "GET",
        "/v1/searches/se_1/events",
        "id: 7\nevent: slot\ndata: {}\n\n",
        content_type="text/event-stream",
        cut_off="1",
    )
    gateway.events("/v1/searches/se_1/events", ("finished", {}))
    kinds = [event.kind for event in client.search_events("se_1")]
    assert kinds == ["slot", "finished"]
    assert [heard.headers.get("last-event-id") for heard in gateway.heard] == [None, "7"]


def test_a_folder_of_images_is_sent_as_one_zip(gateway, client, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"image of " + name.encode())
    (tmp_path / "notes.txt").write_text("not an image")
    gateway.answer("POST", "/v1/datasets", {"name": "pets", "ready": True}, status=201)
    assert client.add_dataset("pets", tmp_path)["ready"]
    (heard,) = gateway.heard
    assert heard.query == {"name": "pets"}
    with zipfile.ZipFile(io.BytesIO(heard.body)) as archive:
        assert archive.namelist() == ["cat/1.png", "dog/1.png"]


@pytest.mark.parametrize("name", ["missing.npz", "notes.txt", "empty"])
def test_what_is_no_dataset_is_refused_before_anything_is_sent(gateway, client, tmp_path, name):
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestInvalid):
        client.add_dataset("pets", tmp_path / name)
    assert gateway.heard == []
