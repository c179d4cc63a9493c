"""Smoke runs in real sandboxes, of networks that we know and of networks out of LEMUR."""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from lemur_package import lemur_wheel
from sample_attempts import make_attempt
from sample_networks import CONVOLUTIONAL, LEARNS_BY_ITSELF

from contracts.failures import FailureReason
from contracts.jobs import AttemptOutcome, BaselineNetwork, NetworkImportLine
from contracts.names import AttemptKind
from gateway.domain.evaluation import SMOKE_LIMITS
from generator_svc.seeds.lemur import read_wheel
from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.datasets.library import Library
from sandbox_runner.datasets.pack import write_pack
from sandbox_runner.datasets.raw import ImageSet, RawDataset
from sandbox_runner.python_environment import environment_digest
from sandbox_runner.sandboxes.choice import built_in, probe_all, strongest
from sandbox_runner.starts import Starts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SAMPLE = 40
PASSING_SHARE = 0.73
"""182 of 250 drawn at random built and learnt a batch on a current torch."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    home = tmp_path_factory.mktemp("home")
    home.chmod(0o755)
    generator = np.random.default_rng(3)

    def part(count: int) -> ImageSet:
        images = generator.integers(0, 256, (count, 3, 32, 32)).astype(np.uint8)
        return ImageSet.from_arrays(images, np.arange(count) % 10)

    folder = home / "datasets" / "noise"
    folder.parent.mkdir()
    write_pack(folder, "noise", RawDataset((3, 32, 32), tuple("abcdefghij"), part(60), part(60), "a test"))
    probed = probe_all(built_in(home))
    yield Bench(Starts(strongest(probed), 0), Library(home), environment_digest())
    for one in probed:
        one.backend.close()


@pytest.fixture(scope="module")
def lines() -> list[NetworkImportLine]:
    """Every line of the real wheel."""
    return list(read_wheel(lemur_wheel()))


def smoke(bench: Bench, name: str, source: str, **changes) -> AttemptOutcome:
    spec = make_attempt(
        f"at_{name}", source=source, dataset="noise", kind=AttemptKind.SMOKE, limits=SMOKE_LIMITS, **changes
    )
    return run_attempt(spec, bench, Event(), lambda _: None)


@pytest.mark.sandbox
@pytest.mark.parametrize(
    "source",
    [
        pytest.param(CONVOLUTIONAL, id="plain"),
        pytest.param(LEARNS_BY_ITSELF, id="lemur", marks=pytest.mark.full),
    ],
)
def test_a_sound_network_comes_through_without_a_score(bench: Bench, source: str) -> None:
    outcome = smoke(bench, "sound", source)
    assert (outcome.failure, outcome.measurement) == (None, None), outcome.log
    assert outcome.smoke is not None
    assert outcome.smoke.answered_images == 4
    assert outcome.smoke.claimed_parameters
    assert outcome.smoke.cpu_seconds > 0


@pytest.mark.sandbox
def test_a_network_that_fails_in_its_second_batch_is_found_out(bench: Bench) -> None:
    fails = CONVOLUTIONAL.replace(
        "    def forward(self, images):\n",
        "    seen = 0\n\n    def forward(self, images):\n"
        "        self.seen += self.training\n"
        "        assert self.seen < 2, 'the second batch'\n",
    )
    assert fails != CONVOLUTIONAL
    outcome = smoke(bench, "second", fails)
    assert (outcome.smoke, outcome.measurement) == (None, None)
    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.TRAIN_ERROR


@pytest.mark.full
def test_the_real_wheel_is_read_whole(lines: list[NetworkImportLine]) -> None:
    summary = lines[-1].summary
    assert summary is not None
    assert lines[0].total == summary.networks + sum(summary.refused.values())
    assert summary.networks >= 10_000
    assert (summary.wheel.verified, summary.wheel.version) == (True, "2.1.2")
    networks = [line.network for line in lines if line.network is not None]
    measured = Counter(result.dataset for network in networks for result in network.results)
    assert set(measured) == {"cifar-10", "cifar-100", "mnist", "svhn", "imagenette", "celeba-gender"}
    assert min(measured.values()) > 1500
    assert all(network.licence.startswith("MIT") and "Copyright" in network.licence for network in networks)


@pytest.mark.full
@pytest.mark.sandbox
def test_as_many_of_lemurs_networks_come_through_as_can_be_expected(
    bench: Bench, lines: list[NetworkImportLine]
) -> None:
    networks = [line.network for line in lines if line.network is not None]
    drawn = random.Random(11).sample(networks, SAMPLE)

    def reason_of(place: int, network: BaselineNetwork) -> str:
        given = network.hyperparameters_on("cifar-10")
        outcome = smoke(bench, f"lemur-{place}", network.source, hyperparameters=given)
        return "passed" if outcome.failure is None else str(outcome.failure.reason)

    with ThreadPoolExecutor(2) as pool:
        reasons = Counter(pool.map(reason_of, range(SAMPLE), drawn))
    print(dict(reasons))
    assert reasons["infrastructure"] == 0
    assert reasons["passed"] >= PASSING_SHARE * SAMPLE, reasons
