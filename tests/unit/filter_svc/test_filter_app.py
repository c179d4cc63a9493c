"""The filter's door: what it admits, and how it says no."""

import json

import pytest
from starlette.testclient import TestClient

from contracts.service_gate import token_digest
from filter_svc.app import create_app
from filter_svc.config import FilterSettings

NET = "from torch import nn\n\n\nclass Net(nn.Module):\n    width = {}\n"
HEADERS = {"Authorization": "Bearer secret", "Content-Type": "application/json"}
SCREENING = {"scope": "search:se_0a", "proposal_id": "se_0a-c001-s002", "source": NET.format(1)}


@pytest.fixture
def settings(tmp_path):
    return FilterSettings(home=tmp_path, service_token_sha256=token_digest("secret"))


@pytest.fixture
def client(settings):
    with TestClient(create_app(settings), headers=HEADERS) as opened:
        yield opened


def test_an_admitted_architecture_is_found_again(client):
    path = "/v1/architectures/se_0a-c000-s001"
    admission = {"scope": "search:se_0a", "source": NET.format(1), "label": "residual"}
    for _ in range(2):
        assert client.put(path, json=admission).status_code == 204
    assert client.get("/v1/scopes/search:se_0a").json() == {"architectures": 1}
    answer = client.post("/v1/screenings", json=SCREENING).json()
    assert answer == {
        "novel": False,
        "layer": "exact",
        "nearest": [{"id": "se_0a-c000-s001", "jaccard": 1.0, "label": "residual", "structure": None}],
        "difference": [],
        "structure": "not_traced",
        "structure_key": None,
    }
    assert client.delete("/v1/scopes/search:se_0a").status_code == 204
    assert client.post("/v1/screenings", json=SCREENING).json()["novel"] is True


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "x = 1"}, "source"),
        ({"source": "class Net("}, "source"),
        ({"source": "\ud800"}, "source"),
        ({"threshold": 0}, "threshold"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": "much"}, "threshold"),
        ({"scope": "../etc"}, "scope"),
        ({"scope": "search:"}, "scope"),
        ({"scope": "library\n"}, "scope"),
        ({"proposal_id": ""}, "proposal_id"),
        ({"proposal_id": "a b"}, "proposal_id"),
        ({"proposal_id": "x" * 200}, "proposal_id"),
        ({"source": None}, "source"),
        ({"structure_threshold": 0.5}, "structure_threshold"),
        ({"graph": "{}"}, "graph"),
        ({"among": ["se_0a-c000-s000", "../etc"]}, "among"),
    ],
)
def test_a_bad_screening_is_a_problem_that_names_field_and_remedy(client, change, field):
    answer = client.post("/v1/screenings", content=json.dumps({**SCREENING, **change}))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["field"] == field
    assert problem["remedy"]
    assert "novel" not in problem


def test_graphs_come_with_admissions_and_screenings(client):
    graph = '{"operations":[["input",[],[["float32",[2]]]]],"nodes":[[0,[]]],"outputs":[[0,0]]}'
    admission = {"scope": "search:se_0a", "source": NET.format(1), "graph": "[]"}
    refused = client.put("/v1/architectures/p1", json=admission)
    assert (refused.status_code, refused.json()["field"]) == (422, "graph")
    assert client.put("/v1/architectures/p1", json={**admission, "graph": graph}).status_code == 204
    told = client.post("/v1/screenings", json={**SCREENING, "graph": graph}).json()
    assert (told["structure"], len(told["structure_key"])) == ("compared", 64)
    assert told["nearest"][0]["structure"] == 1.0


@pytest.mark.parametrize("label", ["x" * 201, "two\nlines", "\x1b[31m", "\ud800"])
def test_a_label_that_could_hurt_a_page_is_refused(client, label):
    admission = {"scope": "library", "source": NET.format(1), "label": label}
    answer = client.put("/v1/architectures/p1", content=json.dumps(admission))
    assert (answer.status_code, answer.json()["field"]) == (422, "label")
    assert client.get("/v1/scopes/library").json() == {"architectures": 0}


@pytest.mark.parametrize(
    "path", ["/v1/architectures/a%20b", "/v1/architectures/a%2Fb", "/v1/scopes/UPPER", "/nothing"]
)
def test_ids_and_paths_are_checked(client, path):
    method = client.put if "architectures" in path else client.get
    body = {"json": {"scope": "library", "source": NET.format(1)}} if method == client.put else {}
    answer = method(path, **body)
    assert answer.status_code in {404, 422}
    assert answer.json()["code"]


def test_only_the_family_is_served_but_anybody_may_ask_for_health(settings):
    with TestClient(create_app(settings)) as stranger:
        assert stranger.post("/v1/screenings", json=SCREENING).status_code == 401
        assert stranger.get("/healthz").json() == {"status": "ok"}
        assert stranger.get("/readyz").status_code == 200


def test_a_body_that_is_too_large_is_refused_unread(client):
    assert client.post("/v1/screenings", json={**SCREENING, "source": "#" * 1_200_000}).status_code == 413


def test_a_broken_index_is_said_so_and_never_called_novel_until_it_is_mended(settings):
    path = settings.home / "filter" / "index.db"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database" * 100)
    with TestClient(create_app(settings), headers=HEADERS) as client:
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert "index.db" in ready.json()["reasons"][0]
        answer = client.post("/v1/screenings", json=SCREENING)
        assert (answer.status_code, answer.json()["code"]) == (503, "index_broken")
        assert client.get("/healthz").status_code == 200
        path.unlink()
        assert client.get("/readyz").status_code == 200
        assert client.post("/v1/screenings", json=SCREENING).json()["novel"] is True


def test_a_redis_that_is_away_makes_it_unready_and_nothing_novel(settings):
    away = settings.model_copy(update={"filter_index": "redis://:verysecret@127.0.0.1:1/0"})
    with TestClient(create_app(away), headers=HEADERS) as client:
        ready = client.get("/readyz")
        assert (ready.status_code, "127.0.0.1:1" in ready.text) == (503, True)
        for answer in (
            client.post("/v1/screenings", json=SCREENING),
            client.put("/v1/architectures/p1", json={"scope": "library", "source": NET.format(1)}),
            client.get("/v1/scopes/library"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (503, "index_broken")
            assert "novel" not in answer.json()
            assert "verysecret" not in answer.text


@pytest.mark.parametrize("location", ["http://127.0.0.1/", "postgresql://a@b/c", "redis+socket:///run/redis"])
def test_an_index_that_cannot_be_is_refused_at_the_start(settings, location):
    with pytest.raises(ValueError, match="write a path"):
        FilterSettings(**settings.model_dump() | {"filter_index": location})
