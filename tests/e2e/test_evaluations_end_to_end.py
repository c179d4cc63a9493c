"""What a submitter sees over HTTP: a score, a score, a precise failure, and clear refusals."""

import zipfile
from pathlib import Path

import pytest
from lemur_package import lemur_wheel
from live_server import DATASET
from sample_networks import LINEAR

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

NETWORKS = Path(__file__).parents[2] / "generator_svc/seeds/networks"


def evaluate(server, source, **fields):
    """Submit, wait for the end, return the evaluation."""
    created = server.http.post("/v1/evaluations", json={"source": source, "dataset": DATASET, **fields})
    assert created.status_code == 202, created.text
    evaluation = created.json()
    while evaluation["state"] in {"queued", "running"}:
        evaluation = server.http.get(f"/v1/evaluations/{evaluation['id']}", params={"wait": 30}).json()
    return evaluation


@pytest.fixture(scope="session")
def lemur_source() -> str:
    """A network of the LEMUR data set."""
    with zipfile.ZipFile(lemur_wheel()) as archive:
        return archive.read("ab/nn/nn/AlexNet.py").decode()


def test_a_baseline_gets_a_score(server):
    evaluation = evaluate(server, (NETWORKS / "residual.py").read_text())
    assert evaluation["state"] == "succeeded", evaluation
    assert evaluation["measurement"]["accuracy"] > 0.5
    assert evaluation["measurement"]["evaluated_images"] == 1000
    assert evaluation["measurement"]["cpu_seconds"] > 0.01
    assert evaluation["isolation"]["tier"] == "namespaces"
    assert "standard_split_may_be_memorised" in evaluation["flags"]


def test_a_lemur_network_gets_a_score_with_its_own_training(server, lemur_source):
    evaluation = evaluate(
        server,
        lemur_source,
        hyperparameters={"lr": 0.01, "momentum": 0.9, "dropout": 0.2, "batch": 64, "transform": "norm_64"},
    )
    assert evaluation["state"] == "succeeded", evaluation["failure"]
    assert evaluation["measurement"]["accuracy"] > 0.1


def test_a_source_that_breaks_in_training_gets_a_precise_failure(server):
    broken = LINEAR.replace("return self.layers(x)", "return self.layers(x).view(3, 7)")
    evaluation = evaluate(server, broken)
    assert evaluation["state"] == "failed"
    assert evaluation["failure"]["reason"] == "train_error"
    assert evaluation["failure"]["location"] == "line 9"
    assert evaluation["failure"]["remedy"]


def test_equal_seeds_give_equal_scores_and_a_repeated_request_is_answered_from_the_record(server):
    first = evaluate(server, LINEAR, seed=7, reuse=False)
    second = evaluate(server, LINEAR, seed=7, reuse=False)
    assert first["id"] != second["id"]
    assert first["measurement"]["accuracy"] == second["measurement"]["accuracy"]
    again = evaluate(server, LINEAR, seed=7)
    assert again["measurement"]["accuracy"] == first["measurement"]["accuracy"]


def test_strict_integrity_redraws_the_split(server):
    evaluation = evaluate(server, LINEAR, integrity="strict")
    assert evaluation["state"] == "succeeded", evaluation
    assert "standard_split_may_be_memorised" not in evaluation["flags"]


FORGERIES = {
    "prints a fake score": """
print('{"accuracy": 1.0}', flush=True)
""",
    "patches torch": """
import time, torch
torch.nn.functional.cross_entropy = lambda *a, **k: torch.zeros((), requires_grad=True)
torch.Tensor.argmax = lambda *a, **k: torch.zeros(1)
time.time = time.perf_counter = time.process_time = lambda: 0.0
""",
}


@pytest.mark.parametrize("prefix", FORGERIES.values(), ids=FORGERIES.keys())
def test_forging_gains_nothing(server, prefix):
    honest = evaluate(server, LINEAR)["measurement"]["accuracy"]
    forged = evaluate(server, prefix + LINEAR)
    if forged["state"] == "succeeded":
        assert forged["measurement"]["accuracy"] <= honest
        assert forged["measurement"]["cpu_seconds"] > 0.01


def test_leaving_early_with_exit_code_zero_is_a_failure(server):
    evaluation = evaluate(server, "import os\nos._exit(0)\n" + LINEAR)
    assert evaluation["state"] == "failed"
    assert evaluation["measurement"] is None


BAD_REQUESTS = {
    "no Net": ({"source": "x = 1\n"}, "source"),
    "syntax error": ({"source": "class Net(:\n"}, "source"),
    "delta that does not fit": (
        {"baseline": "plain-cnn", "delta": "--- a\n+++ b\n@@ -1 +1 @@\n-not there\n+new\n"},
        "delta",
    ),
    "unknown dataset": ({"source": LINEAR, "dataset": "imagined"}, "dataset"),
    "negative epochs": ({"source": LINEAR, "epochs": -1}, "epochs"),
    "endless limit": ({"source": LINEAR, "limits": {"wall_seconds": 1e99}}, "limits.wall_seconds"),
    "unknown field": ({"source": LINEAR, "privileged": True}, "privileged"),
}


@pytest.mark.parametrize(("body", "field"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_bad_input_names_the_field_and_the_remedy_and_changes_nothing(server, body, field):
    before = server.http.get("/v1/evaluations").json()
    answer = server.http.post("/v1/evaluations", json={"dataset": DATASET, **body})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["field"] == field
    assert problem["remedy"]
    assert server.http.get("/v1/evaluations").json() == before


def test_a_ten_megabyte_body_is_refused(server):
    answer = server.http.post("/v1/evaluations", json={"source": "#" * 10_000_000, "dataset": DATASET})
    assert answer.status_code == 413
    assert answer.json()["field"] == "body"
    assert answer.json()["remedy"]


def test_the_command_line_says_the_same_with_its_exit_codes(server, tmp_path):
    good, bad, broken = tmp_path / "good.py", tmp_path / "bad.py", tmp_path / "broken.py"
    good.write_text(LINEAR)
    bad.write_text("class Net(:\n")
    broken.write_text(LINEAR.replace("self.layers(x)", "self.layers(x).view(3, 7)"))
    assert server.cli("evaluate", str(good), "--dataset", DATASET, "--json").returncode == 0
    assert server.cli("evaluate", str(broken), "--dataset", DATASET, "--json").returncode == 1
    refused = server.cli("evaluate", str(bad), "--dataset", DATASET)
    assert refused.returncode == 2
    assert "line 1" in refused.stderr
