"""Jobs and adapters over HTTP. Trainers are small programs here; tests/integration trains a real model."""

import io
import json
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from model_folders import add_model_folder
from processes import until
from sample_chats import body, chat

from contracts.fine_tuning import AdapterFile, AdapterManifest, ChatCounts, FineTuneResult
from generator_svc.fine_tuning import desk as desk_module
from generator_svc.fine_tuning.desk import FineTuneDesk
from generator_svc.fine_tuning.journal import JournalWriter
from generator_svc.fine_tuning.limits import FineTuneLimits
from generator_svc.fine_tuning.settings import complete_settings
from generator_svc.language_models.local.models import memory_needed
from generator_svc.request_checks import Refused
from generator_svc.routes_fine_tuning import add_desk_routes, add_fine_tuning_routes

RESULT = FineTuneResult("job", True, "better", "job", 4, 2.0, 1.5)
SUCCEEDS = f"print({json.dumps({'result': asdict(RESULT)})!r})"
HANGS = "import time; time.sleep(60)"
DIES = "import sys; sys.exit(1)"
JOB = body({"model": "tiny"}, ("train", chat(48)), ("validation", chat(40)))
OTHER = body({"model": "tiny", "seed": 1}, ("train", chat(48)))


@contextmanager
def service(home, program=SUCCEEDS, **limits):
    app = FastAPI()
    desk = FineTuneDesk(home, FineTuneLimits(**limits), trainer_command=(sys.executable, "-c", program))
    add_desk_routes(app, desk)
    app.state.desk = desk
    app.add_exception_handler(
        Refused, lambda _, refused: JSONResponse(refused.document, refused.document["status"])
    )
    desk.start()
    try:
        with TestClient(app) as client:
            yield client
    finally:
        desk.stop()


def ended(client, job="job"):
    def state():
        status = client.get(f"/v1/fine-tunes/{job}").json()
        return status if status["state"] in {"succeeded", "failed", "cancelled"} else None

    return until(state, 30, "the end of the job")


def running(client):
    until(lambda: client.get("/v1/fine-tunes/job").json()["state"] == "running", 30, "a trainer")


def test_a_job_is_accepted_once_and_trained(tmp_path):
    with service(tmp_path) as client:
        first = client.put("/v1/fine-tunes/job", content=JOB)
        assert (first.status_code, first.headers["location"]) == (202, "/v1/fine-tunes/job")
        assert first.json()["settings"]["rank"] == 16
        status = ended(client)
        assert (status["state"], status["result"]["use"], status["trainer_starts"]) == ("succeeded", "job", 1)
        again = client.put("/v1/fine-tunes/job", content=JOB)
        assert (again.status_code, again.json()["state"]) == (200, "succeeded")
        assert [one["id"] for one in client.get("/v1/fine-tunes").json()["items"]] == ["job"]


def test_the_same_id_with_another_content_is_refused(tmp_path):
    with service(tmp_path) as client:
        client.put("/v1/fine-tunes/job", content=JOB)
        answer = client.put("/v1/fine-tunes/job", content=OTHER)
        assert (answer.status_code, answer.json()["code"]) == (409, "fine_tune_differs")
        assert client.get("/v1/fine-tunes/job").json()["settings"]["seed"] == 0


def test_events_are_told_from_where_one_has_read(tmp_path):
    with service(tmp_path) as client:
        client.put("/v1/fine-tunes/job", content=JOB)
        ended(client)
        lines = client.get("/v1/fine-tunes/job/events").text.splitlines()
        assert [json.loads(line)["kind"] for line in lines] == ["queued", "started", "succeeded"]
        later = client.get("/v1/fine-tunes/job/events", params={"after": 2}).text.splitlines()
        assert later == lines[2:]
        assert client.get("/v1/fine-tunes/job/events", params={"after": 3, "wait": 30}).text == ""


def test_a_waiting_reader_is_told_when_something_happens(tmp_path):
    with service(tmp_path, HANGS) as client:
        client.put("/v1/fine-tunes/job", content=JOB)
        running(client)
        client.post("/v1/fine-tunes/job:cancel")
        told = client.get("/v1/fine-tunes/job/events", params={"after": 2, "wait": 30}).text
        assert json.loads(told)["kind"] == "cancelled"


def test_whoever_follows_a_long_job_has_its_journal_read_on_and_not_again(tmp_path):
    def read_by_this_process() -> int:
        told = Path("/proc/self/io").read_text()
        return int(told.split()[1])

    with service(tmp_path, HANGS) as client:
        client.put("/v1/fine-tunes/job", content=JOB)
        running(client)
        desk, journal = client.app.state.desk, tmp_path / "fine-tunes/job/journal.jsonl"
        writer = JournalWriter(journal)
        for step in range(20_000):
            writer.write("checkpoint", {"step": step, "path": "checkpoints/latest"})
        last = client.get("/v1/fine-tunes/job").json()["last_event"]
        before = read_by_this_process()
        for _ in range(20):
            writer.write("checkpoint", {"step": last, "path": "checkpoints/latest"})
            (event,) = desk.events("job", last, 0)
            last = event.sequence
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(desk.events, "job", last, 30)
            for _ in range(20):
                client.post("/v1/fine-tunes/job:retry")  # whoever waits is woken, for nothing
            writer.write("checkpoint", {"step": last, "path": "checkpoints/latest"})
            client.post("/v1/fine-tunes/job:retry")
            assert [event.sequence for event in waiting.result()] == [last + 1]
        assert read_by_this_process() - before < journal.stat().st_size
        assert [event.sequence for event in desk.events("job", 300, 0)] == list(range(301, 1301))


def test_a_cancelled_job_stays_cancelled(tmp_path):
    with service(tmp_path, HANGS) as client:
        client.put("/v1/fine-tunes/job", content=JOB)
        running(client)
        assert client.delete("/v1/fine-tunes/job").json()["code"] == "fine_tune_unfinished"
        assert client.post("/v1/fine-tunes/job:cancel").json()["state"] == "cancelled"
        assert client.put("/v1/fine-tunes/job", content=JOB).json()["state"] == "cancelled"
        client.put("/v1/fine-tunes/next", content=OTHER)
        until(lambda: client.get("/v1/fine-tunes/next").json()["state"] == "running", 30, "the next job")
        assert client.delete("/v1/fine-tunes/job").status_code == 204
        assert client.get("/v1/fine-tunes/job").status_code == 404
    assert [path.name for path in (tmp_path / "fine-tunes").iterdir() if path.is_dir()] == ["next"]


def test_a_trainer_that_keeps_dying_fails_the_job_and_sent_again_it_is_tried_again(tmp_path):
    with service(tmp_path, DIES) as client:
        client.put("/v1/fine-tunes/job", content=JOB)
        status = ended(client)
        assert (status["failure"]["reason"], status["trainer_starts"]) == ("trainer_died", 3)
        assert "code 1" in status["failure"]["message"]
    with service(tmp_path) as client:
        assert client.get("/v1/fine-tunes/job").json()["state"] == "failed"
        assert client.put("/v1/fine-tunes/job", content=JOB).status_code == 200
        assert ended(client)["state"] == "succeeded"


def test_a_job_that_may_go_on_is_tried_again_when_asked_and_no_other_is(tmp_path):
    with service(tmp_path, DIES) as client:
        client.put("/v1/fine-tunes/job", content=JOB)
        assert ended(client)["failure"]["retryable"]
    with service(tmp_path) as client:
        assert client.post("/v1/fine-tunes/job:retry").json()["state"] == "queued"
        assert ended(client)["state"] == "succeeded"
        assert client.post("/v1/fine-tunes/job:retry").json()["state"] == "succeeded"
        assert client.post("/v1/fine-tunes/other:retry").status_code == 404


def test_chats_are_kept_no_longer_than_a_trainer_may_need_them(tmp_path):
    folder = tmp_path / "fine-tunes" / "job"
    with service(tmp_path, DIES) as client:
        client.put("/v1/fine-tunes/job", content=JOB)
        ended(client)
        assert (folder / "chats.jsonl").exists()
    with service(tmp_path) as client:
        client.post("/v1/fine-tunes/job:retry")
        digest = ended(client)["data_sha256"]
        until(lambda: not (folder / "chats.jsonl").exists(), 30, "the end of the chats")
        assert sorted(path.name for path in folder.iterdir()) == [
            "job.json",
            "journal.jsonl",
            "standing.json",
        ]
    assert json.loads((folder / "job.json").read_bytes())["data_sha256"] == digest


def test_what_nobody_tries_again_in_time_is_given_up_with_its_chats(tmp_path):
    folder = tmp_path / "fine-tunes" / "job"
    with service(tmp_path, DIES) as client:
        client.put("/v1/fine-tunes/job", content=JOB)
        ended(client)
    with service(tmp_path, keep_failed_seconds=0) as client:
        until(lambda: not (folder / "chats.jsonl").exists(), 30, "the end of the chats")
        assert not client.get("/v1/fine-tunes/job").json()["failure"]["retryable"]
        assert client.post("/v1/fine-tunes/job:retry").json()["state"] == "failed"


def test_what_a_killed_service_had_no_time_to_remove_is_removed_by_the_next(tmp_path, adapter):
    with service(tmp_path) as client:
        client.put("/v1/fine-tunes/other", content=OTHER)
        ended(client, "other")
    folder = tmp_path / "fine-tunes" / "other"
    standing = json.loads((folder / "standing.json").read_bytes())
    (folder / "standing.json").write_text(json.dumps(standing | {"state": "cancelled", "result": None}))
    (folder / "checkpoints").mkdir()
    (folder / "chats.jsonl").write_text("chats")
    (tmp_path / "adapters" / "job").rename(tmp_path / "adapters" / "other")
    (tmp_path / "adapters" / ".unfinished-third").mkdir()
    with service(tmp_path):
        until(lambda: not (folder / "checkpoints").exists(), 30, "the end of the checkpoints")
    assert not (folder / "chats.jsonl").exists()
    assert not list((tmp_path / "adapters").iterdir())


def test_one_that_runs_out_of_memory_is_tried_once_more_with_less(tmp_path):
    failure = {"reason": "out_of_memory", "message": "refused", "remedy": "", "retryable": False}
    program = (
        "import json, sys\n"
        "saves = json.loads(sys.stdin.readline())['save_memory']\n"
        f"print(json.dumps({{'result': {asdict(RESULT)!r}}} if saves else {{'failure': {failure!r}}}))"
    )
    with service(tmp_path, program) as client:
        client.put("/v1/fine-tunes/job", content=JOB)
        assert (ended(client)["state"], ended(client)["trainer_starts"]) == ("succeeded", 2)
        stubborn = body({"model": "tiny", "gradient_checkpointing": "off"}, ("train", chat(48)))
        client.put("/v1/fine-tunes/other", content=stubborn)
        status = ended(client, "other")
        assert (status["failure"]["reason"], status["trainer_starts"]) == ("out_of_memory", 1)


def test_a_defect_at_one_job_does_not_hold_up_the_next(tmp_path):
    desks = []

    def unload():
        if desks and desks[0].status("next").state == "queued" and desks[0].status("job").failure is None:
            raise ZeroDivisionError

    desk = FineTuneDesk(tmp_path, FineTuneLimits(), unload, (sys.executable, "-c", SUCCEEDS))
    for job, content in (("job", JOB), ("next", OTHER)):
        with desk.intake() as intake:
            intake.write(content)
            desk.accept(job, intake)
    desks.append(desk)
    desk.start()
    until(lambda: desk.status("next").state == "succeeded", 30, "the next job")
    desk.stop()
    assert desk.status("job").failure.reason == "internal_error"


def test_a_job_waits_by_name_until_a_local_model_that_answers_is_away(tmp_path):
    asked, away = [], threading.Event()

    def unload():
        asked.append(desk.memory_to_come())
        return away.wait(0.02)

    model = add_model_folder(tmp_path, "tiny")
    desk = FineTuneDesk(tmp_path, FineTuneLimits(), unload, (sys.executable, "-c", SUCCEEDS))
    with desk.intake() as intake:
        intake.write(JOB)
        desk.accept("job", intake)
    desk.start()
    until(lambda: len(asked) > 3, 30, "asking again")
    assert desk.status("job").state == "queued"
    assert [event.kind for event in desk.events("job", 0, 0)] == ["queued", "waiting_for_memory"]
    away.set()
    until(lambda: desk.status("job").state == "succeeded", 30, "the job")
    desk.stop()
    # What it will need is claimed from the first moment on, and by nobody afterwards.
    assert set(asked) == {memory_needed(model)}
    assert desk.memory_to_come() == 0


def test_while_a_trainer_loads_its_model_what_it_has_yet_to_take_is_claimed(tmp_path):
    needed = memory_needed(add_model_folder(tmp_path, "tiny"))
    with service(tmp_path, "held = b'1' * 10**8\n" + HANGS) as client:
        client.put("/v1/fine-tunes/job", content=JOB)
        running(client)
        claimed = client.app.state.desk.memory_to_come
        until(lambda: 0 < claimed() < needed - 10**8, 30, "the trainer's memory")


def test_a_job_that_was_running_goes_on_when_the_service_starts_again(tmp_path):
    with service(tmp_path, HANGS) as client:
        client.put("/v1/fine-tunes/job", content=JOB)
        client.put("/v1/fine-tunes/waits", content=OTHER)
        running(client)
    with service(tmp_path) as client:
        assert ended(client)["trainer_starts"] == 2
        assert ended(client, "waits")["trainer_starts"] == 1


def test_what_is_no_job_is_refused_and_leaves_nothing(tmp_path):
    with service(tmp_path) as client:
        answer = client.put("/v1/fine-tunes/job", content=b'{"model": "tiny", "lora": 1}\n')
        assert (answer.status_code, answer.json()["field"]) == (422, "lora")
        assert client.put("/v1/fine-tunes/Upper", content=JOB).json()["field"] == "id"
        assert client.get("/v1/fine-tunes/job").json()["code"] == "not_found"
        assert client.post("/v1/fine-tunes/job:cancel").status_code == 404
        assert client.get("/v1/fine-tunes/job/events").status_code == 404
    assert [path.name for path in (tmp_path / "fine-tunes").iterdir()] == [".lock"]


def test_a_home_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "fine-tunes").write_text("a file where the folder should be")
    with service(tmp_path) as client:
        answer = client.put("/v1/fine-tunes/job", content=JOB)
        assert (answer.status_code, answer.json()["code"]) == (503, "home_unwritable")


def test_jobs_are_trained_as_soon_as_the_home_can_be_written_to_again(tmp_path, monkeypatch):
    monkeypatch.setattr(desk_module, "TRY_AGAIN_SECONDS", 0.05)
    (tmp_path / "fine-tunes").write_text("a file where the folder should be")
    with service(tmp_path) as client:
        (tmp_path / "fine-tunes").unlink()
        client.put("/v1/fine-tunes/job", content=JOB)
        assert ended(client)["state"] == "succeeded"


def test_a_second_service_on_one_home_trains_nothing_until_the_first_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(desk_module, "LOOK_AGAIN_SECONDS", 0.05)
    with service(tmp_path) as second_is_late:
        second_is_late.put("/v1/fine-tunes/first", content=OTHER)
        ended(second_is_late, "first")
        with service(tmp_path) as client:
            client.put("/v1/fine-tunes/job", content=JOB)
            assert client.get("/v1/fine-tunes/job/events", params={"after": 1, "wait": 0.3}).text == ""
            assert client.get("/v1/fine-tunes/job").json()["state"] == "queued"


def test_without_a_home_the_service_says_so():
    app = FastAPI()
    assert add_fine_tuning_routes(app, None) is None
    app.add_exception_handler(
        Refused, lambda _, refused: JSONResponse(refused.document, refused.document["status"])
    )
    with TestClient(app) as client:
        for method, path in (
            ("PUT", "/v1/fine-tunes/job"),
            ("GET", "/v1/fine-tunes"),
            ("GET", "/v1/adapters"),
        ):
            assert client.request(method, path).json()["code"] == "no_home"


@pytest.fixture
def adapter(tmp_path):
    folder = tmp_path / "adapters" / "job"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"12345" * 300)
    settings = complete_settings({"model": "tiny", "rank": 8, "targets": ["q_proj"]})
    manifest = AdapterManifest(
        "job", "tiny", "tiny", "aa", None, "bb", settings, ChatCounts(1, 1),
        RESULT, 8, 100, {}, "2026-11-22T00:00:00Z", (AdapterFile("adapter_config.json", 2, "cc"),),
    )  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(asdict(manifest)))
    return manifest


def test_adapters_are_listed_read_and_downloaded(tmp_path, adapter):
    with service(tmp_path) as client:
        listed = client.get("/v1/adapters").json()["items"]
        assert listed == [client.get("/v1/adapters/job").json()]
        assert listed[0]["base_weights_sha256"] == adapter.base_weights_sha256
        packed = client.get("/v1/adapters/job/files")
        assert packed.headers["content-type"] == "application/x-tar"
        with tarfile.open(fileobj=io.BytesIO(packed.content)) as tar:
            names = tar.getnames()
            assert tar.extractfile("job/adapter_model.safetensors").read() == b"12345" * 300
        assert names == ["job/adapter_config.json", "job/adapter_model.safetensors", "job/manifest.json"]
        assert client.get("/v1/adapters/job/files/adapter_config.json").content == b"{}"
        assert client.get("/v1/adapters/job/files/..%2Fsecret").status_code == 404
        assert client.get("/v1/adapters/job/files/other").status_code == 404
        assert client.get("/v1/adapters/..").status_code == 404


def test_a_job_takes_rank_and_layers_from_its_parent_which_is_then_not_removed(tmp_path, adapter):
    with service(tmp_path, HANGS) as client:
        child = body({"model": "tiny", "parent_adapter": "job"}, ("train", chat(48)))
        client.put("/v1/fine-tunes/child", content=child)
        refused = client.delete("/v1/adapters/job")
        assert (refused.status_code, refused.json()["code"]) == (409, "adapter_in_use")
        settings = client.get("/v1/fine-tunes/child").json()["settings"]
        assert (settings["rank"], settings["targets"]) == (8, ["q_proj"])
        client.post("/v1/fine-tunes/child:cancel")
        assert client.delete("/v1/adapters/job").status_code == 204
        assert client.get("/v1/adapters/job").status_code == 404
        assert client.delete("/v1/adapters/job").status_code == 404


def test_a_job_may_not_take_the_place_of_an_adapter_whose_job_is_gone(tmp_path, adapter):
    with service(tmp_path) as client:
        assert client.put("/v1/fine-tunes/job", content=JOB).json()["code"] == "adapter_exists"
