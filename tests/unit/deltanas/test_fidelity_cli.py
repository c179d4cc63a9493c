"""`deltanas baselines fidelity`: what it prints and writes, and how it ends."""

import json

import pytest

TAGGED = "/v1/evaluations"
RESULT = {"dataset": "mnist", "first_epoch_accuracy": 0.9, "best_accuracy": 0.9, "best_epoch": 1}
MEASURED = {"accuracy": 0.885, "cpu_seconds": 31.5, "claimed_parameters": 1234}
FAILURE = {"reason": "timeout", "phase": "train", "resource": None, "message": "too slow"}


def network(name: str, transform: str) -> dict:
    result = {**RESULT, "hyperparameters": {"lr": 0.1, "transform": transform}}
    return {
        "name": name,
        "family": "ResNet",
        "source": "class Net: ...",
        "parameters": None,
        "results": [result],
    }


def evaluation(**fields) -> dict:
    request = {"tags": []}
    return {
        "id": "ev_1",
        "state": "succeeded",
        "failure": None,
        "measurement": MEASURED,
        "request": request,
    } | fields


@pytest.fixture
def catalogue(gateway):
    """One network that fits and one that is too large; nothing evaluated yet."""
    dataset = {"name": "mnist", "ready": True, "input_shape": [1, 28, 28]}
    gateway.answer("GET", "/v1/datasets", {"items": [dataset]})
    gateway.answer("GET", "/v1/baselines", {"items": [{"name": "lemur/a"}, {"name": "lemur/b"}]})
    gateway.answer("GET", "/v1/baselines/lemur%2Fa", network("lemur/a", "norm_64"))
    gateway.answer("GET", "/v1/baselines/lemur%2Fb", network("lemur/b", "norm_512"))
    gateway.answer("GET", "/v1/capabilities", {"slots": 1})
    gateway.answer("GET", TAGGED, {"items": [], "next_cursor": None})
    return gateway


def test_it_prints_what_was_left_out_what_ran_and_each_difference(catalogue, deltanas):
    catalogue.answer("POST", TAGGED, evaluation(state="queued", measurement=None), status=202)
    catalogue.answer("GET", f"{TAGGED}/ev_1", evaluation())
    ended = deltanas("baselines", "fidelity", "--dataset", "mnist", "--cpu-seconds", "60")
    assert ended.code == 0, ended.err
    for shown in ("lemur/a", "90.00 %", "88.50 %", "-1.50", "transform_too_large", "100.0 % ran"):
        assert shown in ended.out
    assert "only 1 fit" in ended.err
    (asked,) = [heard for heard in catalogue.heard if heard.method == "POST"]
    assert asked.json["baseline"] == "lemur/a"
    assert asked.json["limits"]["cpu_seconds"] == 60
    (listed,) = [heard for heard in catalogue.heard if heard.path == TAGGED and heard.method == "GET"]
    assert listed.query["tag"] in asked.json["tags"]


def test_a_failure_is_a_result_with_its_reason(catalogue, deltanas, tmp_path):
    catalogue.answer(
        "POST", TAGGED, evaluation(state="failed", failure=FAILURE, measurement=None), status=202
    )
    file, picture = tmp_path / "report.json", tmp_path / "report.svg"
    words = ("--output", file, "--figure", picture, "--json")
    ended = deltanas("baselines", "fidelity", "--dataset", "mnist", *words)
    assert ended.code == 0
    assert ended.json == json.loads(file.read_text())
    assert not picture.exists()
    assert ended.json["runs"]["failures"] == [
        {"reason": "timeout", "phase": "train", "resource": None, "networks": 1}
    ]
    assert ended.json["runs"]["share_that_ran"] == 0


def test_a_picture_is_written_where_something_ran(catalogue, deltanas, tmp_path):
    catalogue.answer("POST", TAGGED, evaluation(), status=202)
    picture = tmp_path / "report.svg"
    assert deltanas("baselines", "fidelity", "--dataset", "mnist", "--figure", picture).code == 0
    assert picture.read_text().startswith("<svg")


def test_where_the_platform_lost_everything_the_exit_code_says_so(catalogue, deltanas):
    lost = evaluation(state="failed", failure=FAILURE | {"reason": "infrastructure"}, measurement=None)
    catalogue.answer("POST", TAGGED, lost, status=202)
    ended = deltanas("baselines", "fidelity", "--dataset", "mnist")
    assert ended.code == 3
    assert "lost" in ended.out
    assert "nothing was measured" in ended.err


def test_a_server_that_goes_away_leaves_a_study_that_can_be_taken_up(catalogue, deltanas):
    catalogue.answer("POST", TAGGED, evaluation(state="queued", measurement=None), status=202)
    catalogue.answer("GET", f"{TAGGED}/ev_1", {"detail": "stopping"}, status=503)
    ended = deltanas("baselines", "fidelity", "--dataset", "mnist")
    assert ended.code == 3
    assert "the same command takes the study up again" in ended.err


def test_where_no_network_fits_the_option_is_named(catalogue, deltanas):
    ended = deltanas("baselines", "fidelity", "--dataset", "mnist", "--max-pixels", "16")
    assert ended.code == 2
    assert "--max-pixels" in ended.err


@pytest.mark.parametrize("words", [("--networks", "0"), ("--cpu-seconds", "0"), ("--max-pixels", "0"), ()])
def test_bad_usage_is_refused(gateway, deltanas, words):
    assert deltanas("baselines", "fidelity", *(("--dataset", "mnist", *words) if words else ())).code == 2
    assert gateway.heard == []


@pytest.mark.parametrize("option", ["--output", "--figure"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(
    gateway, deltanas, tmp_path, option
):
    for place in (tmp_path, tmp_path / "missing" / "file"):
        ended = deltanas("baselines", "fidelity", "--dataset", "mnist", option, place)
        assert (ended.code, "cannot write" in ended.err) == (2, True), ended.err
    assert gateway.heard == []
