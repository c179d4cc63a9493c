"""A fidelity study on real MNIST in real sandboxes, killed in the middle and taken up again."""

import json
import os
import signal
import subprocess
import time

import pytest
from lemur_networks import Recorded, network, wheel_of
from live_server import DELTANAS, Server

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.full, pytest.mark.timeout(600)]

POOLED = {"Fine": (1, 0.9), "Medium": (7, 0.6), "Coarse": (14, 0.3)}
"""The larger the pool, the less is seen: name → pool, recorded accuracy."""


def pooled(pool: int, assumed: int, accuracy: float, transform: str = "norm") -> Recorded:
    """One layer on pooled pixels, as many as there were if the pool had the size that is assumed."""
    head = f"nn.Linear((in_shape[2] // {assumed}) ** 2, out_shape[0])"
    source = network(f"nn.AvgPool2d({pool}),\nnn.Flatten(),", head)
    return Recorded(source, accuracy, lr=0.1, batch=64, transform=transform)


NETWORKS = {name: pooled(pool, pool, accuracy) for name, (pool, accuracy) in POOLED.items()} | {
    "Misfit": pooled(4, 3, 0.5),
    "Large": pooled(2, 2, 0.5, "norm_128"),
}
"""Three that run, one whose layers do not fit, one whose images are large."""


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """A server of its own: no other test's networks are recorded in its catalogue."""
    home = tmp_path_factory.mktemp("home")
    server = Server(home)
    server.start()
    try:
        wheel = wheel_of(home, NETWORKS, version="9.8")
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
