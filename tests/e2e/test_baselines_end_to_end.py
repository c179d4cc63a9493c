"""LEMUR's networks from the wheel to a search: imported, browsed, tried in real sandboxes, built upon."""

import json

import pytest
from lemur_networks import Recorded, network, wheel_of
from lemur_package import lemur_wheel
from live_server import DATASET

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(900)]

FEATURES = """\
nn.Conv2d(in_shape[1], WIDTH, 3, stride=4),
nn.ReLU(),
nn.AdaptiveAvgPool2d(2),
nn.Flatten(),
"""


def convolved(width: int, outputs: int) -> str:
    """A network of so many channels, whose head expects so many inputs."""
    return network(FEATURES.replace("WIDTH", str(width)), f"nn.Linear({outputs}, out_shape[0])")


SOURCES = {
    "Small": convolved(4, 16),
    "Wide": convolved(32, 128),
    "Misfit": convolved(4, 17),
    "Broken": "def broken(:\n",
}
"""One is no Python, of one the layers do not fit."""


def tiny_wheel(folder):
    return wheel_of(folder, {name: Recorded(source, 0.91) for name, source in SOURCES.items()})


def answered(ended, code: int = 0) -> dict:
    """The JSON of a command that ended with `code`."""
    assert ended.returncode == code, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def imported(server, tmp_path_factory) -> dict:
    wheel = tiny_wheel(tmp_path_factory.mktemp("wheel"))
    return answered(server.cli("baselines", "import", "lemur", "--wheel", str(wheel), "--json"))


@pytest.fixture(scope="module")
def smoked(server, imported) -> dict:
    assert imported["state"] == "succeeded"
    return answered(server.cli("baselines", "smoke", "--dataset", DATASET, "--json"))


def test_a_wheel_is_imported_with_what_it_records_and_what_it_refuses(server, imported):
    assert (imported["progress"]["stored"], sum(imported["progress"]["refused"].values())) == (3, 1)
    listed = answered(server.cli("baselines", "list", "--dataset", "mnist", "--json"))["items"]
    assert [item["name"] for item in listed] == ["lemur/Misfit", "lemur/Small", "lemur/Wide"]
    shown = server.cli("baselines", "show", "lemur/Small")
    assert shown.stdout == SOURCES["Small"]
    assert "MIT" in shown.stderr


def test_a_second_import_changes_nothing(server, imported, tmp_path):
    before = answered(server.cli("baselines", "list", "--origin", "lemur", "--json"))
    wheel = tiny_wheel(tmp_path)
    again = answered(server.cli("baselines", "import", "lemur", "--wheel", str(wheel), "--json"))
    assert (again["progress"]["stored"], again["progress"]["unchanged"]) == (0, 3)
    assert answered(server.cli("baselines", "list", "--origin", "lemur", "--json")) == before


def test_what_is_no_wheel_is_refused_and_leaves_nothing(server, imported, tmp_path):
    before = answered(server.cli("baselines", "list", "--origin", "lemur", "--json"))
    file = tmp_path / "no.whl"
    file.write_bytes(b"PK\x03\x04 and then nothing of the kind")
    refused = answered(server.cli("baselines", "import", "lemur", "--wheel", str(file), "--json"), code=2)
    assert refused["state"] == "failed"
    assert refused["failure"]["code"].startswith("wheel_")
    assert answered(server.cli("baselines", "list", "--origin", "lemur", "--json")) == before


def test_networks_are_tried_in_sandboxes_and_counted_by_reason(server, smoked):
    progress = smoked["progress"]
    assert (smoked["state"], progress["passed"], progress["failed"]) == ("succeeded", 2, 1), smoked
    assert smoked["pass_rate"] == pytest.approx(2 / 3)
    assert [failure["networks"] for failure in smoked["failures"]] == [1]
    assert smoked["failures"][0]["reason"] == "train_error"
    usable = answered(server.cli("baselines", "list", "--usable-on", DATASET, "--origin", "lemur", "--json"))
    parameters = {item["name"]: item["parameters"] for item in usable["items"]}
    assert parameters == {"lemur/Small": 4 * 9 + 4 + 16 * 10 + 10, "lemur/Wide": 32 * 9 + 32 + 128 * 10 + 10}


def test_a_second_smoke_run_is_answered_from_the_record(server, smoked):
    again = answered(server.cli("baselines", "smoke", "--dataset", DATASET, "--json"))
    assert again["progress"]["reused"] == 3
    assert (again["pass_rate"], again["failures"]) == (smoked["pass_rate"], smoked["failures"])


def test_an_imported_network_is_evaluated_with_its_recorded_hyperparameters(server, imported):
    words = ("--baseline", "lemur/Small", "--dataset", DATASET, "--train-images", "600")
    evaluation = answered(server.cli("evaluate", *words, "--json"))
    assert evaluation["state"] == "succeeded", evaluation["failure"]
    assert evaluation["request"]["hyperparameters"]["lr"] == 0.05
    assert evaluation["measurement"]["evaluated_images"] == 1000


def test_a_search_starts_from_imported_networks_that_passed_and_from_no_others(server, smoked):
    body = {"dataset": DATASET, "baselines": ["lemur/Misfit"]}
    refused = server.http.post("/v1/searches", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "baseline_not_usable")
    body = {
        "dataset": DATASET,
        "baselines": ["lemur/Small", "lemur/Wide"],
        "cycles": 1,
        "candidates_per_cycle": 2,
        "train_images": 300,
        "final_seeds": 1,
    }
    accepted = server.http.post("/v1/searches", json=body)
    assert accepted.status_code == 202, accepted.text
    search = server.finished_search(accepted.json()["id"])
    assert search["state"] == "succeeded", search["failure"]
    cycles = server.http.get(f"/v1/searches/{search['id']}/candidates").json()["items"]
    assert {c["name"] for c in cycles if c["cycle"] == 0} == {"lemur/Small", "lemur/Wide"}


@pytest.mark.full
def test_the_whole_of_lemur_is_imported_browsed_and_sampled(server, smoked):
    wheel = lemur_wheel()
    words = ("baselines", "import", "lemur", "--wheel", str(wheel), "--json")
    first = answered(server.cli(*words, seconds=800))
    assert first["state"] == "succeeded"
    assert first["progress"]["stored"] >= 10_000
    assert first["progress"]["read"] == first["progress"]["total"] == 10_482
    filters = ("--dataset", "cifar-10", "--family", "resnet", "--accuracy-at-least", "0.5", "--limit", "20")
    best = answered(server.cli("baselines", "list", *filters, "--json"))["items"]
    accuracies = [item["results"][0]["first_epoch_accuracy"] for item in best]
    assert accuracies == sorted(accuracies, reverse=True)
    assert all(accuracy >= 0.5 for accuracy in accuracies)
    sample = ("--recorded-on", "mnist", "--name-contains", "alt-nn1", "--limit", "4")
    run = answered(server.cli("baselines", "smoke", "--dataset", DATASET, *sample, "--json", seconds=800))
    assert run["progress"]["passed"] + run["progress"]["failed"] == 4
