"""From a wheel of networks to files that a language model is fine-tuned on, with real services in between."""

import hashlib
import json
from dataclasses import replace

import pytest
from lemur_networks import Recorded, network, wheel_of
from live_server import Server

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(600)]

RESNET = """\
nn.Conv2d(in_shape[1], WIDTH, 3, stride=2, padding=1),
nn.BatchNorm2d(WIDTH),
nn.ACTIVATION(),
nn.Conv2d(WIDTH, 2 * WIDTH, 3, stride=2, padding=1),
nn.BatchNorm2d(2 * WIDTH),
nn.ACTIVATION(),
nn.AdaptiveAvgPool2d(2),
"""
VGG = """\
*[
    layer
    for depth in range(4)
    for layer in (nn.LazyConv2d(WIDTH << depth, 3, padding=1), nn.ACTIVATION(), nn.MaxPool2d(2))
],
nn.Dropout2d(0.2),
nn.LazyConv2d(WIDTH, kernel_size=1),
nn.AdaptiveAvgPool2d(2),
"""
DPN = """\
nn.Unfold(kernel_size=4, stride=4),
nn.Flatten(start_dim=2),
nn.LazyLinear(WIDTH),
nn.ACTIVATION(),
nn.LayerNorm([WIDTH]),
nn.Unflatten(2, (1, WIDTH)),
nn.Dropout(p=0.4),
nn.AdaptiveAvgPool2d(2),
"""


def recorded(features: str, width: int, activation: str, accuracy: float, lr: float = 0.05) -> Recorded:
    source = network(features.replace("WIDTH", str(width)).replace("ACTIVATION", activation))
    return Recorded(source, accuracy, "cifar-10", lr)


OTHERWISE_TRAINED = "ResNet-4"
NETWORKS = {
    "ResNet-1": recorded(RESNET, 8, "ReLU", 0.30),
    "ResNet-2": recorded(RESNET, 12, "ReLU", 0.35),
    "ResNet-3": recorded(RESNET, 16, "ReLU", 0.40),
    OTHERWISE_TRAINED: recorded(RESNET, 16, "GELU", 0.45, lr=0.5),
    "VGG-1": recorded(VGG, 24, "ReLU", 0.32),
    "VGG-2": recorded(VGG, 24, "SiLU", 0.36),
    "VGG-3": recorded(VGG, 32, "SiLU", 0.34),
    "DPN-1": recorded(DPN, 40, "ReLU", 0.20),
    "DPN-2": recorded(DPN, 40, "Tanh", 0.25),
}
NETWORKS["ResNet-5"] = replace(
    NETWORKS["ResNet-3"], source="# ResNet-3 once more\n" + NETWORKS["ResNet-3"].source, accuracy=0.60
)
"""Ten networks of three families; one is a copy, one was trained with another learning rate."""


def answered(ended, code: int = 0) -> dict:
    """The JSON of a command that ended with `code`."""
    assert ended.returncode == code, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def own_server(tmp_path_factory):
    """A server of its own: what it imports is nobody else's."""
    running = Server(tmp_path_factory.mktemp("home-of-pairs"))
    running.start()
    yield running
    running.stop()


OPTIONS = ("--at-least", "0.65", "--validation-share", "0.3", "--mutation-pairs", "6")
WORDS = ("pairs", "make", "--dataset", "cifar-10", *OPTIONS)


@pytest.fixture(scope="module")
def made(own_server, tmp_path_factory):
    """The folder that was written, and what the command said. Before the import there is nothing to make."""
    folder = tmp_path_factory.mktemp("pairs")
    refused = own_server.cli(*WORDS, "--output", str(folder))
    assert refused.returncode == 2
    assert "deltanas baselines import lemur" in refused.stderr
    assert list(folder.iterdir()) == []
    file = wheel_of(folder.parent, NETWORKS)
    answered(own_server.cli("baselines", "import", "lemur", "--wheel", str(file), "--json"))
    return folder, answered(own_server.cli(*WORDS, "--output", str(folder), "--json"))


def pairs_in(folder, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / name).read_text().split("\n")[:-1]]


def all_pairs(folder) -> list[dict]:
    return pairs_in(folder, "train.jsonl") + pairs_in(folder, "validation.jsonl")


def test_every_delta_leads_from_its_baseline_to_a_better_network(own_server, made):
    folder, manifest = made
    assert sum(counts["lemur"] for counts in manifest["pairs"].values()) == 7
    for pair in all_pairs(folder):
        metadata = pair["metadata"]
        answer = pair["messages"][-1]["content"]
        body = {"baseline": metadata["baseline"]["name"], "delta": answer}
        applied = own_server.http.post("/v1/deltas:apply", json=body).json()
        assert applied["status"] == "applied", applied["message"]
        assert applied["confidence"] == 1.0
        assert applied["canonical_delta"] in answer
        assert 5 <= metadata["delta_lines"] <= 60
        if pair["kind"] == "lemur":
            target = metadata["target"]
            assert applied["source"] == NETWORKS[target["name"].removeprefix("lemur/")].source
            better = target["first_epoch_accuracy"] - metadata["baseline"]["first_epoch_accuracy"]
            assert better == pytest.approx(metadata["gain"])
            assert better >= 0.005


def test_no_copy_no_other_hyperparameters_and_no_family_in_both_splits(made):
    folder, manifest = made
    assert manifest["networks"] == {"recorded": 10, "copies": 1, "not_comparable": 0}
    families = {}
    for name in ("train.jsonl", "validation.jsonl"):
        found = pairs_in(folder, name)
        ends = [end for p in found for end in (p["metadata"]["baseline"], p["metadata"]["target"]) if end]
        assert "lemur/ResNet-5" not in {end["name"] for end in ends}
        families[name] = {end["family"] for end in ends}
        compared = [p for p in found if p["kind"] == "lemur"]
        assert compared, name
        for pair in compared:
            ends = (pair["metadata"]["baseline"], pair["metadata"]["target"])
            assert ends[0]["hyperparameters"] == ends[1]["hyperparameters"]
            assert f"lemur/{OTHERWISE_TRAINED}" not in {end["name"] for end in ends}
    assert not families["train.jsonl"] & families["validation.jsonl"]


def test_mutations_come_on_top_in_both_splits(made):
    _, manifest = made
    assert sum(counts["mutation"] for counts in manifest["pairs"].values()) == 6
    assert manifest["pairs"]["validation"]["mutation"] > 0


def test_the_manifest_tells_what_the_files_hold_and_where_it_is_from(made):
    folder, manifest = made
    for name, file in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["pairs"] == len(pairs_in(folder, name))
    assert [package["version"] for package in manifest["packages"]] == ["9.9"]
    assert manifest["packages"][0]["licence"] == "MIT"
    assert json.loads((folder / "manifest.json").read_text())["files"] == manifest["files"]


def test_made_again_the_files_are_the_same_to_the_byte(own_server, made, tmp_path):
    folder, _ = made
    answered(own_server.cli(*WORDS, "--output", str(tmp_path), "--json"))
    for name in ("train.jsonl", "validation.jsonl", "manifest.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
