import functools
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from attempt_scene import honest, make_library, make_spec
from fakes import ScriptedBackend
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from contracts.jobs import AttemptSpec, AttemptStatus
from contracts.measurements import Limits
from contracts.names import IsolationTier
from contracts.service_gate import token_digest
from sandbox_runner import uploads
from sandbox_runner.app import create_app
from sandbox_runner.config import RunnerSettings
from sandbox_runner.dataset_desk import DatasetDesk
from sandbox_runner.datasets.library import Library
from sandbox_runner.runner import least_tier

HEADERS = {"authorization": "Bearer family", "content-type": "application/json"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    make_library(folder)
    return folder


def serve(home: Path, backend: ScriptedBackend) -> Iterator[TestClient]:
    settings = RunnerSettings(
        home=home, service_token_sha256=token_digest("family"), runner_slots=2, runner_warm=0
    )
    app = create_app(settings, [backend])
    with TestClient(app, headers=HEADERS) as client:
        until_probed = time.monotonic() + 5
        while "being probed" in client.get("/readyz").text and time.monotonic() < until_probed:
            time.sleep(0.01)
        yield client


@pytest.fixture
def client(home: Path) -> Iterator[TestClient]:
    yield from serve(home, ScriptedBackend(honest))


def put(client: TestClient, spec: AttemptSpec):
    content = TypeAdapter(AttemptSpec).dump_json(spec)
    return client.put(f"/v1/attempts/{spec.attempt_id}", content=content)


def test_an_attempt_is_put_waited_for_and_forgotten(client: TestClient) -> None:
    assert put(client, make_spec()).status_code == 202
    answer = client.get("/v1/attempts/at_1?wait=10")
    status = TypeAdapter(AttemptStatus).validate_json(answer.content)

    assert status.state == "finished"
    assert status.outcome is not None
    assert status.outcome.measurement is not None
    assert status.outcome.measurement.accuracy == 1.0
    assert [item["attempt_id"] for item in client.get("/v1/attempts").json()["items"]] == ["at_1"]
    assert client.delete("/v1/attempts/at_1").status_code == 204
    gone = client.get("/v1/attempts/at_1")
    assert (gone.status_code, gone.json()["code"]) == (404, "attempt_unknown")


def test_without_the_service_token_nothing_but_health_answers(client: TestClient) -> None:
    for path in ("/v1/capabilities", "/v1/attempts", "/v1/datasets"):
        assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/healthz", headers={"authorization": ""}).json() == {"status": "ok"}
    assert client.get("/readyz", headers={"authorization": ""}).status_code == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"dataset": "unheard-of"}, "dataset"),
        ({"dataset": "../etc"}, "dataset"),
        ({"epochs": -1}, "epochs"),
        ({"train_images": 31}, "train_images"),
        ({"train_images": 0}, "train_images"),
        ({"threads": 3}, "threads"),
        ({"device": "cuda"}, "device"),
        ({"minimum_tier": IsolationTier.DOCKER_RUNC}, "minimum_tier"),
        ({"limits": Limits(memory_bytes=1)}, "limits.memory_bytes"),
        ({"limits": replace(Limits(), wall_seconds=1e9)}, "limits.wall_seconds"),
        ({"limits": replace(Limits(), pids=-1)}, "limits.pids"),
        ({"limits": replace(Limits(), pids=10**400)}, "limits.pids"),
        ({"hyperparameters": {"x": "y" * 20_000}}, "hyperparameters"),
        ({"source": "#" * 70_000}, "source"),
        ({"split_key": ""}, "split_key"),
        ({"seed": -1}, "seed"),
        ({"fence": -1}, "fence"),
        ({"attempt_id": "at-1"}, "attempt_id"),
    ],
)
def test_an_attempt_that_cannot_run_here_is_refused_by_field(client: TestClient, changes, field: str) -> None:
    answer = put(client, make_spec(**changes))

    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert answer.json()["remedy"]
    assert client.get("/v1/attempts").json()["items"] == []


def test_the_ids_of_path_and_body_must_agree(client: TestClient) -> None:
    content = TypeAdapter(AttemptSpec).dump_json(make_spec())

    assert client.put("/v1/attempts/at_2", content=content).json()["field"] == "attempt_id"


def test_a_full_runner_says_so(home: Path) -> None:
    for client in serve(home, ScriptedBackend(lambda guest: guest.killed.wait(20))):
        assert put(client, make_spec(attempt_id="at_1")).status_code == 202
        assert put(client, make_spec(attempt_id="at_2")).status_code == 202
        full = put(client, make_spec(attempt_id="at_3"))
        assert (full.status_code, full.json()["code"]) == (409, "no_free_slot")
        assert client.delete("/v1/attempts/at_1").status_code == 204
        assert put(client, make_spec(attempt_id="at_3")).status_code == 202


def test_another_fence_is_a_conflict(client: TestClient) -> None:
    put(client, make_spec())

    assert put(client, make_spec(fence=2)).json()["code"] == "fence_conflict"


def test_without_a_proven_sandbox_nothing_runs(home: Path) -> None:
    backend = ScriptedBackend(honest, available=False)
    for client in serve(home, backend):
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert any("no cgroups here" in reason for reason in ready.json()["reasons"])
        refused = put(client, make_spec())
        assert (refused.status_code, refused.json()["code"]) == (503, "no_sandbox")
        assert client.get("/v1/capabilities").json()["tier"] is None
    assert backend.sandboxes == []
    assert backend.closed


def test_capabilities_say_what_the_host_offers(client: TestClient) -> None:
    offered = client.get("/v1/capabilities").json()

    assert (offered["tier"], offered["slots"], offered["devices"]) == ("namespaces", 2, ["cpu"])
    assert {report["name"]: report["ready"] for report in offered["datasets"]}["stripes"] is True
    assert len(offered["environment_digest"]) == 64


def test_bodies_that_are_too_large_compressed_or_no_attempt_are_refused(client: TestClient) -> None:
    assert client.put("/v1/attempts/at_1", content=b"x" * 700_000).status_code == 413
    assert (
        client.put("/v1/attempts/at_1", content=b"x", headers={"content-encoding": "gzip"}).status_code == 415
    )
    assert client.put("/v1/attempts/at_1", content=b"{}").status_code == 422
    assert client.get("/v1/attempts/at_1?wait=31").status_code == 422
    assert client.get("/v1/nothing").json()["code"] == "not_found"


def test_an_unknown_dataset_cannot_be_prepared(client: TestClient) -> None:
    answer = client.post("/v1/datasets/unheard-of:prepare")

    assert (answer.status_code, answer.json()["field"]) == (404, "dataset")


def test_an_upload_onto_a_full_disk_is_the_runners_trouble_and_no_bad_request(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = functools.partial(open, "/dev/full", "wb")
    monkeypatch.setattr(uploads.tempfile, "TemporaryFile", lambda **_: full())
    answer = client.post("/v1/datasets/mine:upload", content=bytes(1 << 20))
    assert answer.status_code == 503
    assert "No space left on device" in answer.json()["detail"]


def test_a_host_without_a_thread_left_can_be_asked_again_to_prepare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    desk = DatasetDesk(Library(tmp_path))
    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", refuse)
        assert "could not begin" in desk.prepare("mnist").problem
    prepared = threading.Event()
    monkeypatch.setattr(Library, "prepare", lambda *_: prepared.set())
    desk.prepare("mnist")
    assert prepared.wait(10)


@pytest.mark.parametrize(
    ("device", "asked", "least"),
    [
        ("cpu", IsolationTier.NAMESPACES, IsolationTier.NAMESPACES),
        ("cuda", IsolationTier.NAMESPACES, IsolationTier.DOCKER_RUNC),
        ("cuda:1", IsolationTier.DOCKER_RUNSC, IsolationTier.DOCKER_RUNSC),
    ],
)
def test_a_gpu_never_lowers_the_tier_that_was_asked_for(device: str, asked, least) -> None:
    assert least_tier(make_spec(device=device, minimum_tier=asked)) is least


def test_stopping_kills_what_runs(home: Path) -> None:
    backend = ScriptedBackend(lambda guest: guest.killed.wait(20))
    for client in serve(home, backend):
        assert put(client, make_spec()).status_code == 202
        until_launched = time.monotonic() + 5
        while not backend.sandboxes and time.monotonic() < until_launched:
            time.sleep(0.01)
    assert backend.sandboxes[0].killed.is_set()
    assert backend.sandboxes[0].closed
