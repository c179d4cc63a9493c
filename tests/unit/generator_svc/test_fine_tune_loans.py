"""Jobs that one generator keeps and another trains: chats go there, the adapter comes back, whole or not."""

import hashlib
import json
import struct
import sys
from contextlib import contextmanager
from dataclasses import asdict

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from processes import until
from sample_chats import body, chat

from contracts.fine_tuning import AdapterFile, AdapterManifest, ChatCounts, FineTuneResult
from generator_svc.fine_tuning.desk import FineTuneDesk
from generator_svc.fine_tuning.limits import FineTuneLimits
from generator_svc.fine_tuning.settings import complete_settings
from generator_svc.request_checks import Refused
from generator_svc.routes_fine_tuning import add_desk_routes
from generator_svc.routes_loans import add_loan_routes

HANGS = "import time; time.sleep(60)"
JOB = body({"model": "tiny"}, ("train", chat(48)), ("validation", chat(40)))
SETTINGS = complete_settings({"model": "tiny"})
CONFIG = b'{"peft_type": "LORA"}'


@contextmanager
def generator(home, program=HANGS):
    app = FastAPI()
    desk = FineTuneDesk(home, FineTuneLimits(), trainer_command=(sys.executable, "-c", program))
    add_desk_routes(app, desk)
    add_loan_routes(app, desk)
    app.add_exception_handler(
        Refused, lambda _, refused: JSONResponse(refused.document, refused.document["status"])
    )
    desk.start()
    try:
        with TestClient(app) as client:
            yield client
    finally:
        desk.stop()


def state(client, job="job"):
    return client.get(f"/v1/fine-tunes/{job}").json()["state"]


def weights(numbers=(1.0, 2.0)):
    data = struct.pack(f"<{len(numbers)}f", *numbers)
    header = {"a.lora_A.weight": {"dtype": "F32", "shape": [len(numbers), 1], "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def manifest(adapter="job", content=None, **fields):
    files = content or {"adapter_config.json": CONFIG, "adapter_model.safetensors": weights()}
    told = tuple(
        AdapterFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()
    )
    result = FineTuneResult(adapter, True, "better", adapter, 4, 2.0, 1.5)
    usual = {"base_weights_sha256": "aa", "created_at": "2026-11-22T00:00:00Z", "files": told}
    return AdapterManifest(
        id=adapter, base_model="tiny", base_source="tiny", parent_adapter=None, data_sha256="bb",
        settings=SETTINGS, chats=ChatCounts(1, 1), result=result, steps=8, trained_tokens=100, versions={},
        **{**usual, **fields},
    )  # fmt: skip


def parcel(adapter="job", content=None, **fields):
    files = content or {"adapter_config.json": CONFIG, "adapter_model.safetensors": weights()}
    first = json.dumps(asdict(manifest(adapter, files, **fields))).encode() + b"\n"
    return first + b"".join(files.values())


def deliver(client, content, fence=1, adapter="job"):
    return client.put(f"/v1/adapters/{adapter}", params={"fence": fence}, content=content)


def lend(client, job="job"):
    answer = client.put(f"/v1/fine-tunes/{job}", params={"care": "lent"}, content=JOB)
    assert answer.status_code == 202
    return answer.json()


def test_a_lent_job_is_kept_and_never_trained_here_while_others_are(tmp_path):
    with generator(tmp_path) as client:
        lent = lend(client)
        client.put("/v1/fine-tunes/own", content=JOB)
        until(lambda: state(client, "own") == "running", 30, "the job of its own")
        assert (lent["care"], state(client), lent["settings"]["rank"]) == ("lent", "queued", 16)


def test_what_is_lent_is_the_same_job_where_it_is_trained(tmp_path):
    with generator(tmp_path / "lender") as lender, generator(tmp_path / "host") as host:
        lent = lend(lender)
        sent = lender.get("/v1/fine-tunes/job/chats").content
        borrowed = host.put("/v1/fine-tunes/job", params={"care": "borrowed"}, content=sent).json()
        assert borrowed["content_sha256"] == lent["content_sha256"]
        assert borrowed["care"] == "borrowed"
        until(lambda: state(host) == "running", 30, "the trainer")
        assert host.get("/v1/fine-tunes/job/chats").content == sent


def test_a_borrowed_job_rests_until_it_is_sent_again_and_lets_others_by(tmp_path):
    with generator(tmp_path) as client:
        client.put("/v1/fine-tunes/job", params={"care": "borrowed"}, content=JOB)
        until(lambda: state(client) == "running", 30, "the trainer")
        assert client.post("/v1/fine-tunes/job:rest").json()["state"] == "queued"
        client.put("/v1/fine-tunes/next", params={"care": "borrowed"}, content=JOB)
        until(lambda: state(client, "next") == "running", 30, "the next job")
        assert state(client) == "queued"
        client.post("/v1/fine-tunes/next:rest")
        again = client.put("/v1/fine-tunes/job", params={"care": "borrowed"}, content=JOB)
        assert again.status_code == 200
        until(lambda: state(client) == "running", 30, "the trainer of the job that was sent again")
        assert client.get("/v1/fine-tunes/job").json()["trainer_starts"] == 2


def test_after_a_restart_a_borrowed_job_rests_and_a_job_of_its_own_goes_on(tmp_path):
    with generator(tmp_path) as client:
        client.put("/v1/fine-tunes/job", params={"care": "borrowed"}, content=JOB)
        until(lambda: state(client) == "running", 30, "the trainer")
        client.put("/v1/fine-tunes/own", content=JOB)
    with generator(tmp_path) as client:
        until(lambda: state(client, "own") == "running", 30, "the job of its own")
        assert client.get("/v1/fine-tunes/job").json()["trainer_starts"] == 1


def test_a_job_of_its_own_never_rests(tmp_path):
    with generator(tmp_path) as client:
        client.put("/v1/fine-tunes/job", content=JOB)
        until(lambda: state(client) == "running", 30, "the trainer")
        assert client.post("/v1/fine-tunes/job:rest").json()["state"] == "running"
        assert client.post("/v1/fine-tunes/other:rest").status_code == 404


def test_a_generator_that_lends_a_job_is_not_the_one_to_borrow_it(tmp_path):
    with generator(tmp_path) as client:
        lend(client)
        answer = client.put("/v1/fine-tunes/job", params={"care": "borrowed"}, content=JOB)
        assert (answer.status_code, answer.json()["code"]) == (409, "fine_tune_differs")
        assert "lent" in answer.json()["detail"]


def test_an_adapter_comes_back_as_it_left_and_the_lent_job_can_go_at_any_time(tmp_path):
    with generator(tmp_path / "lender") as lender, generator(tmp_path / "host") as host:
        host.put("/v1/adapters/job", content=parcel())
        sent = host.get("/v1/adapters/job/parcel")
        assert int(sent.headers["content-length"]) == len(sent.content)
        lend(lender)
        assert deliver(lender, sent.content).status_code == 204
        assert deliver(lender, sent.content).status_code == 204
        assert lender.get("/v1/adapters/job").json() == host.get("/v1/adapters/job").json()
        assert lender.get("/v1/adapters/job/files/adapter_model.safetensors").content == weights()
        assert lender.delete("/v1/fine-tunes/job").status_code == 204
        assert [one["id"] for one in lender.get("/v1/adapters").json()["items"]] == ["job"]
        assert deliver(lender, sent.content).json()["code"] == "adapter_not_awaited"


def test_an_earlier_attempt_does_not_replace_the_adapter_of_a_later_one(tmp_path):
    with generator(tmp_path) as client:
        lend(client)
        assert deliver(client, parcel(created_at="later"), fence=2).status_code == 204
        late = deliver(client, parcel(created_at="earlier"), fence=1)
        assert (late.status_code, late.json()["code"]) == (409, "adapter_not_awaited")
        assert client.get("/v1/adapters/job").json()["created_at"] == "later"
        assert deliver(client, parcel(created_at="latest"), fence=3).status_code == 204
        assert client.get("/v1/adapters/job").json()["created_at"] == "latest"


def test_nobody_delivers_what_no_lent_job_waits_for(tmp_path):
    with generator(tmp_path) as client:
        assert deliver(client, parcel()).json()["code"] == "adapter_not_awaited"
        client.put("/v1/fine-tunes/job", content=JOB)
        assert deliver(client, parcel()).json()["code"] == "adapter_not_awaited"
        assert not client.get("/v1/adapters").json()["items"]


def test_a_parent_is_brought_once_and_never_replaced(tmp_path):
    with generator(tmp_path) as client:
        assert client.put("/v1/adapters/job", content=parcel()).status_code == 204
        assert client.put("/v1/adapters/job", content=parcel()).status_code == 204
        other = client.put("/v1/adapters/job", content=parcel(created_at="other"))
        assert (other.status_code, other.json()["code"]) == (409, "adapter_exists")


PICKLE = b"\x80\x04\x95boo"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "body"),
        (b"\n", "manifest"),
        (b"x" * 200_000, "manifest"),
        (b'{"id": "job"}\n', "manifest"),
        (parcel("other"), "manifest.id"),
        (parcel(files=()), "manifest.files"),
        (parcel(files=(AdapterFile("../../evil", 3, "cc"), AdapterFile("adapter_config.json", 2, "cc"))),
         "manifest.files"),
        (parcel(files=(AdapterFile("adapter_config.json", 2, "cc"),) * 2), "manifest.files"),
        (parcel(files=(AdapterFile("adapter_config.json", 2, "cc"),
                       AdapterFile("adapter_model.safetensors", 2**50, "cc"))), "manifest.files"),
        (parcel(files=(AdapterFile("adapter_config.json", -1, "cc"),
                       AdapterFile("adapter_model.safetensors", 4, "cc"))), "manifest.files"),
        (parcel()[:-1], "body"),
        (parcel()[:-1] + b"?", "files.adapter_model.safetensors"),
        (parcel() + b"more", "body"),
        (parcel(content={"adapter_config.json": CONFIG, "adapter_model.safetensors": PICKLE}), "files"),
        (parcel(content={"adapter_config.json": b"[" * 9000, "adapter_model.safetensors": weights()}),
         "files"),
    ],
)  # fmt: skip
def test_what_is_no_whole_adapter_is_refused_and_leaves_nothing(tmp_path, content, field):
    with generator(tmp_path) as client:
        lend(client)
        answer = deliver(client, content)
        assert (answer.status_code, answer.json()["field"]) == (422, field)
        assert client.get("/v1/adapters/job").status_code == 404
    assert not list((tmp_path / "adapters").iterdir())


def test_an_adapter_for_other_weights_than_the_model_has_here_is_refused(tmp_path):
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    told = {
        "name": "tiny", "source": "tiny", "origin": "folder", "licence": "unknown", "architecture": "Llama",
        "parameters": 1, "context_length": 8, "weights_sha256": "aa", "weights_bytes": 4,
        "load_in_4bit": False, "added": "2026-11-22T00:00:00Z",
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(told))
    with generator(tmp_path) as client:
        assert client.get("/v1/models").json()["items"] == {"tiny": "aa"}
        lend(client)
        refused = deliver(client, parcel(base_weights_sha256="other"))
        assert (refused.status_code, refused.json()["code"]) == (409, "adapter_mismatch")
        assert deliver(client, parcel()).status_code == 204


def test_chats_that_are_not_kept_any_more_are_not_sent(tmp_path):
    with generator(tmp_path) as client:
        lend(client)
        client.post("/v1/fine-tunes/job:cancel")
        assert client.get("/v1/fine-tunes/job/chats").status_code == 404
        assert client.get("/v1/fine-tunes/other/chats").status_code == 404
        assert client.get("/v1/adapters/other/parcel").status_code == 404
