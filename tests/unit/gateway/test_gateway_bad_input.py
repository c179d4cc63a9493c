import json

import pytest
from gateway_scene import SOURCE, gateway_in

from contracts.jobs import AppliedDelta, HunkReport

GOOD = {"source": SOURCE, "dataset": "digits"}
WITHOUT_SOURCE = {"dataset": "digits"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Shared by all tests here: none of them may change anything."""
    with gateway_in(tmp_path_factory.mktemp("home")) as scene:
        scene.agent.heartbeat()
        yield scene


BAD = {
    "no Net": ({**GOOD, "source": "import torch\n"}, "source", "contract_violation"),
    "Net without a base": ({**GOOD, "source": "class Net:\n    pass\n"}, "source", "contract_violation"),
    "syntax error": ({**GOOD, "source": "class Net(:\n"}, "source", "syntax_error"),
    "source too long": ({**GOOD, "source": "#" * 70_000}, "source", "invalid_request"),
    "source long in bytes": ({**GOOD, "source": "é" * 40_000}, "source", "policy_violation"),
    "big literal": ({**GOOD, "source": SOURCE + f"x = {'a' * 5000!r}\n"}, "source", "policy_violation"),
    "lone surrogate": ({**GOOD, "source": SOURCE + "# \ud800"}, "source", "invalid_request"),
    "no source": (WITHOUT_SOURCE, "source", "invalid_request"),
    "empty source": ({**GOOD, "source": ""}, "source", "invalid_request"),
    "two origins": ({**GOOD, "baseline": "oak"}, "baseline", "invalid_request"),
    "delta without baseline": ({**GOOD, "delta": "x"}, "delta", "invalid_request"),
    "delta that does not fit": (
        {**WITHOUT_SOURCE, "baseline": "oak", "delta": "unplaceable"},
        "delta",
        "delta_rejected",
    ),
    "unknown baseline": ({**WITHOUT_SOURCE, "baseline": "yew"}, "baseline", "unknown_baseline"),
    "unknown dataset": ({**GOOD, "dataset": "nothing"}, "dataset", "unknown_dataset"),
    "dataset not ready": ({**GOOD, "dataset": "svhn"}, "dataset", "dataset_not_ready"),
    "dataset with a path": ({**GOOD, "dataset": "../etc"}, "dataset", "invalid_request"),
    "negative epochs": ({**GOOD, "epochs": -1}, "epochs", "invalid_request"),
    "fractional epochs": ({**GOOD, "epochs": 1.5}, "epochs", "invalid_request"),
    "boolean epochs": ({**GOOD, "epochs": True}, "epochs", "invalid_request"),
    "negative seed": ({**GOOD, "seed": -1}, "seed", "invalid_request"),
    "huge seed": ({**GOOD, "seed": 10**400}, "seed", "invalid_request"),
    "seed and seeds": ({**GOOD, "seed": 1, "seeds": [1]}, "seed", "invalid_request"),
    "no seeds": ({**GOOD, "seeds": []}, "seeds", "invalid_request"),
    "repeated seed": ({**GOOD, "seeds": [1, 1]}, "seeds", "invalid_request"),
    "too many seeds": ({**GOOD, "seeds": list(range(17))}, "seeds", "invalid_request"),
    "no training images": ({**GOOD, "train_images": 0}, "train_images", "invalid_request"),
    "unknown field": ({**GOOD, "epoch": 1}, "epoch", "invalid_request"),
    "unknown limit": ({**GOOD, "limits": {"memory": 1}}, "limits.memory", "invalid_request"),
    "limit too small": ({**GOOD, "limits": {"pids": 1}}, "limits.pids", "invalid_request"),
    "limit too large": ({**GOOD, "limits": {"cpu_seconds": 1e9}}, "limits.cpu_seconds", "invalid_request"),
    "limit NaN": (
        {**GOOD, "limits": {"wall_seconds": float("nan")}},
        "limits.wall_seconds",
        "invalid_request",
    ),
    "limit infinite": (
        {**GOOD, "limits": {"wall_seconds": float("inf")}},
        "limits.wall_seconds",
        "invalid_request",
    ),
    "hyperparameter NaN": (
        {**GOOD, "hyperparameters": {"lr": float("nan")}},
        "hyperparameters.lr",
        "invalid_request",
    ),
    "hyperparameter list": (
        {**GOOD, "hyperparameters": {"lr": [1]}},
        "hyperparameters.lr",
        "invalid_request",
    ),
    "hyperparameter name": (
        {**GOOD, "hyperparameters": {"l r": 1}},
        "hyperparameters.l r",
        "invalid_request",
    ),
    "hyperparameters of a table's size": (
        {**GOOD, "hyperparameters": {f"h{i}": "x" * 200 for i in range(11)}},
        "hyperparameters",
        "invalid_request",
    ),
    "no threads": ({**GOOD, "threads": 0}, "threads", "invalid_request"),
    "more threads than processes": (
        {**GOOD, "threads": 16, "limits": {"pids": 31}},
        "threads",
        "invalid_request",
    ),
    "unknown device": ({**GOOD, "device": "tpu"}, "device", "invalid_request"),
    "device that no host has": ({**GOOD, "device": "cuda:0"}, "device", "device_unavailable"),
    "unknown integrity": ({**GOOD, "integrity": "lax"}, "integrity", "invalid_request"),
    "unknown tier": ({**GOOD, "minimum_tier": "none"}, "minimum_tier", "invalid_request"),
    "tag with a space": ({**GOOD, "tags": ["a b"]}, "tags.0", "invalid_request"),
    "priority out of range": ({**GOOD, "priority": 1000}, "priority", "invalid_request"),
    "a list": ([GOOD], "body", "invalid_request"),
    "null": (None, "body", "invalid_request"),
}


@pytest.mark.parametrize(("body", "field", "code"), BAD.values(), ids=BAD.keys())
def test_bad_input_names_field_and_remedy_and_stores_nothing(scene, body, field, code):
    answer = scene.http.post(
        "/v1/evaluations", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    problem = answer.json()
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["code"] == code
    assert problem["field"].startswith(field), problem
    assert problem["remedy"]
    assert len(answer.content) < 8_000
    assert scene.stored() == 0


def test_an_unknown_dataset_is_answered_with_the_known_ones(scene):
    problem = scene.http.post("/v1/evaluations", json={**GOOD, "dataset": "nothing"}).json()
    assert "digits" in problem["remedy"]


def test_an_unprepared_dataset_is_answered_with_the_command_that_prepares_it(scene):
    problem = scene.http.post("/v1/evaluations", json={**GOOD, "dataset": "svhn"}).json()
    assert "deltanas datasets prepare svhn" in problem["remedy"]


def test_a_syntax_error_is_located(scene):
    problem = scene.http.post("/v1/evaluations", json={**GOOD, "source": "x = 1\ny = (\n"}).json()
    assert (problem["line"], problem["value"]) == (2, "y = (")


def test_a_delta_that_does_not_fit_is_quoted_with_the_reason_apart(scene, monkeypatch):
    hunks = (HunkReport(1, "exact", 3), HunkReport(2, "refused", None, "its lines are nowhere"))
    refused = AppliedDelta("refused", "hunk_unplaceable", "hunk 2 fits nowhere", 0.0, None, None, hunks)
    monkeypatch.setattr(scene.generator, "apply_delta", lambda *_, **_more: refused)
    delta = "@@ -1 +1 @@\n" + "-x\n" * 500
    problem = scene.http.post(
        "/v1/evaluations", json={**WITHOUT_SOURCE, "baseline": "oak", "delta": delta}
    ).json()
    assert problem["reason"] == "hunk_unplaceable"
    assert problem["value"].startswith("@@ -1 +1 @@")
    assert len(problem["value"]) < 210
    assert problem["errors"] == [
        {
            "field": "delta.hunks.2",
            "message": "its lines are nowhere",
            "reason": "hunk_unplaceable",
            "line": None,
        }
    ]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"source": ' + b"[" * 100_000, 400),
        (b'{"seed": ' + b"1" * 5000 + b"}", 400),
        (b"x" * 10_000_000, 413),
        (b"", 422),
    ],
    ids=["cut off", "not UTF-8", "nested", "endless number", "10 MB", "empty"],
)
def test_a_malformed_body_is_a_client_error_and_stores_nothing(scene, content, status):
    answer = scene.http.post("/v1/evaluations", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == "body"
    assert answer.json()["remedy"]
    assert scene.stored() == 0


def test_a_nul_byte_in_a_source_is_told_without_a_line(scene):
    problem = scene.http.post("/v1/evaluations", json={**GOOD, "source": SOURCE + "# \0"}).json()
    assert (problem["code"], problem["field"]) == ("syntax_error", "source")
    assert "null bytes" in problem["detail"]
    assert "None" not in problem["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_is_not_declared_as_json_is_told_what_to_declare(scene, kind):
    answer = scene.http.post("/v1/evaluations", content=json.dumps(GOOD), headers={"content-type": kind})
    assert (answer.status_code, answer.json()["field"]) == (415, "Content-Type")
    assert "application/json" in answer.json()["remedy"]
    assert scene.stored() == 0


@pytest.mark.parametrize(
    "item", [b'{"source": "\\ud800"}', b'{"\\ud800": 1}', b'{"a": ' + b"[" * 700 + b"]" * 700 + b"}"]
)
def test_a_batch_item_that_cannot_be_written_down_is_answered_as_a_bad_item(scene, item):
    answer = scene.http.post(
        "/v1/evaluations:batch",
        content=b'{"items": [' + item + b"]}",
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422
    assert answer.json()["items"][0]["error"]["code"] == "invalid_request"


def test_proposer_options_without_an_encoding_are_refused(scene):
    for options in (b'{"a": "\\ud800"}', b'{"\\ud800": 1}'):
        answer = scene.http.post(
            "/v1/searches",
            content=b'{"dataset": "digits", "proposer": {"options": ' + options + b"}}",
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 422, answer.text
        assert answer.json()["field"].startswith("proposer.options")


def test_a_refused_method_is_answered_with_all_methods_that_are_allowed(scene):
    answer = scene.http.put("/v1/evaluations", json=GOOD)
    assert (answer.status_code, answer.headers["allow"]) == (405, "HEAD, GET, POST")
    assert scene.http.post("/v1/evaluations/ev_0").headers["allow"] == "HEAD, GET, DELETE"
    assert scene.http.get("/v1/deltas:apply").headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/healthz", "/v1/evaluations", "/v1/evaluations/ev_0", "/docs"])
def test_head_is_answered_as_get_without_the_body(scene, path):
    head, whole = scene.http.head(path), scene.http.get(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_a_chunked_body_is_bounded_too(scene):
    chunks = (b" " * 65_536 for _ in range(20))
    answer = scene.http.post("/v1/evaluations", content=chunks)
    assert (answer.status_code, answer.json()["field"]) == (413, "body")


def test_a_compressed_body_is_refused(scene):
    answer = scene.http.post("/v1/evaluations", content=b"x", headers={"content-encoding": "gzip"})
    assert answer.status_code == 415


def test_a_misspelt_and_a_missing_field_are_told_in_plain_words(scene):
    problem = scene.http.post("/v1/evaluations", json={"source": SOURCE, "epoch": 1}).json()
    told = {error["field"]: error["message"] for error in problem["errors"]}
    assert told == {"dataset": "this field is required", "epoch": "there is no such field"}


def test_a_batch_of_more_than_a_hundred_is_refused(scene):
    answer = scene.http.post("/v1/evaluations:batch", json={"items": [GOOD] * 101})
    assert (answer.status_code, answer.json()["field"]) == (422, "items")
    assert scene.stored() == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/evaluations/ev_0", 404),
        ("DELETE", "/v1/evaluations/ev_0", 404),
        ("GET", "/v1/evaluations/ev_0/events", 404),
        ("GET", "/v1/evaluations/ev_0/logs", 404),
        ("GET", "/v1/evaluations?cursor=x'--", 422),
        ("GET", "/v1/evaluations?limit=0", 422),
        ("GET", "/v1/nothing", 404),
        ("PATCH", "/v1/evaluations", 405),
        ("OPTIONS", "/v1/evaluations", 405),
        ("GET", "/v1/baselines/yew", 404),
        ("GET", "/v1/datasets/yew", 404),
        ("POST", "/v1/datasets/yew:prepare", 404),
    ],
)
def test_every_error_is_a_problem_document(scene, method, path, status):
    answer = scene.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["code"]


def test_an_idempotency_key_out_of_range_is_refused(scene):
    answer = scene.http.post("/v1/evaluations", json=GOOD, headers={"idempotency-key": "k" * 201})
    assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")


def test_a_service_that_is_down_says_when_to_come_again(scene, monkeypatch):
    monkeypatch.setattr(scene.generator, "unreachable", True)
    answer = scene.http.post("/v1/evaluations", json={**WITHOUT_SOURCE, "baseline": "oak"})
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert answer.headers["retry-after"]
    assert scene.stored() == 0
