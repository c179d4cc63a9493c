"""A fidelity study on real MNIST in real sandboxes, killed in the middle and taken up again."""

import json
import os
import signal
import subprocess
import time
import zipfile

import pytest
from live_server import DELTANAS, Server

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.full, pytest.mark.timeout(600)]

NETWORK = """\
import torch
from torch import nn


def supported_hyperparameters():
    return {"lr"}


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.pool = nn.AvgPool2d(POOL)
        self.head = nn.Linear((in_shape[2] // POOL) ** 2, out_shape[0])

    def forward(self, x):
        return self.head(self.pool(x).flatten(1))

    def train_setup(self, prm):
        self.criteria = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"])

    def learn(self, train_data):
        for inputs, labels in train_data:
            self.optimizer.zero_grad()
            loss = self.criteria(self(inputs), labels)
            loss.backward()
            self.optimizer.step()
"""
POOLED = {"Fine": (1, 0.9), "Medium": (7, 0.6), "Coarse": (14, 0.3)}
"""The larger the pool, the less is seen: name → pool, recorded accuracy."""


def wheel_of_mnist(file):
    """In LEMUR's layout: three networks that run, one whose layers do not fit, one whose images are large."""
    members = {
        "nn_dataset-9.8.dist-info/METADATA": "Metadata-Version: 2.4\nName: nn-dataset\nVersion: 9.8\n\n",
        "nn_dataset-9.8.dist-info/licenses/LICENSE": "MIT License\n\nCopyright (c) 2024- Some One\n",
    }
    networks = {
        name: (NETWORK.replace("POOL", str(pool)), best, "norm") for name, (pool, best) in POOLED.items()
    }
    networks["Misfit"] = NETWORK.replace("POOL", "4").replace("// 4", "// 3"), 0.5, "norm"
    networks["Large"] = NETWORK.replace("POOL", "2"), 0.5, "norm_128"
    for name, (source, accuracy, transform) in networks.items():
        row = {
            "accuracy": accuracy,
            "duration": 5,
            "uid": "x",
            "lr": 0.1,
            "batch": 64,
            "transform": transform,
        }
        members[f"ab/nn/nn/{name}.py"] = source
        members[f"ab/nn/stat/train/img-classification_mnist_acc_{name}/1.json"] = json.dumps([row])
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """A server of its own: no other test's networks are recorded in its catalogue."""
    home = tmp_path_factory.mktemp("home")
    server = Server(home)
    server.start()
    try:
        wheel = wheel_of_mnist(home / "nn_dataset-9.8-py3-none-any.whl")
        for words in (
            ("datasets", "prepare", "mnist"),
            ("baselines", "import", "lemur", "--wheel", str(wheel)),
        ):
            done = server.cli(*words)
            assert done.returncode == 0, done.stderr
        yield server
    finally:
        server.stop()


def accepted(server) -> list[dict]:
    return server.http.get("/v1/evaluations").json()["items"]


def test_a_study_survives_the_death_of_its_command_and_of_its_server(mnist, tmp_path):
    study = ("baselines", "fidelity", "--dataset", "mnist", "--train-images", "3000", "--cpu-seconds", "60")
    command = subprocess.Popen([DELTANAS, *study], env=mnist.environment, stderr=subprocess.DEVNULL)
    while not accepted(mnist):
        assert command.poll() is None
        time.sleep(0.1)
    os.kill(command.pid, signal.SIGKILL)
    command.wait()
    mnist.stop(signal.SIGKILL)
    mnist.start()
    picture = tmp_path / "fidelity.svg"
    done = mnist.cli(*study, "--figure", str(picture), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["catalogue"] == {"recorded": 5, "fitting": 4, "excluded": {"transform_too_large": 1}}
    rows = {row["name"].removeprefix("lemur/"): row for row in report["networks"]}
    assert rows["Misfit"]["failure"]["reason"] == "train_error"
    assert report["runs"]["share_that_ran"] == 0.75
    measured = [rows[name]["accuracy"] for name in POOLED]
    assert measured == sorted(measured, reverse=True)
    assert report["agreement"]["spearman"] == pytest.approx(1)
    assert picture.read_text().count("<circle") == 3
    assert len(accepted(mnist)) == 4, "nothing is asked for twice"
    assert len(report["environments"]) == 1
