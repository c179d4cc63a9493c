"""One attempt from its spec to its score, with real torch in a real sandbox."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Timer

import numpy as np
import pytest
from sample_attempts import make_attempt
from sample_networks import CONVOLUTIONAL, LEARNS_BY_ITSELF

from contracts.failures import FailureReason
from contracts.jobs import AttemptOutcome
from contracts.names import Integrity, ScoredOn
from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.datasets.library import Library
from sandbox_runner.datasets.pack import write_pack
from sandbox_runner.datasets.raw import ImageSet, RawDataset
from sandbox_runner.python_environment import environment_digest, guest_spec
from sandbox_runner.sandboxes.choice import built_in, probe_all, strongest
from sandbox_runner.sandboxes.namespaces import NamespacesBackend
from sandbox_runner.starts import Starts

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    home = tmp_path_factory.mktemp("home")
    home.chmod(0o755)
    generator = np.random.default_rng(3)

    def part(count: int) -> ImageSet:
        labels = generator.permutation(np.arange(count) % 4)
        images = generator.integers(0, 160, (count, 1, 8, 8))
        for image, label in zip(images, labels, strict=True):
            image[0, :, label * 2 : label * 2 + 2] += 60
        return ImageSet.from_arrays(images.astype(np.uint8), labels)

    folder = home / "datasets" / "columns"
    folder.parent.mkdir()
    write_pack(
        folder, "columns", RawDataset((1, 8, 8), tuple("abcd"), part(400), part(400), "made by the test")
    )
    probed = probe_all(built_in(home))
    yield Bench(Starts(strongest(probed), 0), Library(home), environment_digest())
    for one in probed:
        one.backend.close()


@pytest.fixture
def cold_bench(bench: Bench, tmp_path: Path) -> Iterator[Bench]:
    """Where every start imports torch."""
    backend = NamespacesBackend(tmp_path)
    yield replace(bench, starts=Starts(backend, 0))
    backend.close()


SPEC = make_attempt("at_integration", source=CONVOLUTIONAL, dataset="columns", epochs=2, seed=11)


def run(bench: Bench, **changes) -> AttemptOutcome:
    return run_attempt(replace(SPEC, **changes), bench, Event(), lambda _: None)


def accuracy(outcome: AttemptOutcome) -> float:
    assert outcome.failure is None, (outcome.failure, outcome.log)
    assert outcome.measurement is not None
    return outcome.measurement.accuracy


def test_equal_seeds_give_equal_scores_whatever_the_order_of_the_questions(bench: Bench) -> None:
    first = run(bench)
    again = run(bench, shuffle_key="another order")
    other = run(bench, seed=12)

    assert accuracy(first) == accuracy(again) > 0.5
    assert first.measurement is not None
    assert again.measurement is not None
    assert other.measurement is not None
    assert first.measurement.claimed_train_loss == again.measurement.claimed_train_loss
    assert first.measurement.claimed_train_loss != other.measurement.claimed_train_loss


def test_the_measurement_says_what_the_host_saw(bench: Bench) -> None:
    outcome = run(bench)
    measured = outcome.measurement

    assert measured is not None
    assert measured.startup_seconds > 0.001
    assert 0 < measured.cpu_seconds < 2 * measured.wall_seconds
    assert measured.claimed_parameters == 8 * 9 + 8 + 16 + 8 * 64 * 4 + 4
    assert outcome.provenance is not None
    assert len(outcome.provenance.dataset_hash) == 64


@pytest.mark.full
def test_cold_and_warm_starts_measure_the_same_of_a_candidate(bench: Bench, cold_bench: Bench) -> None:
    burns = CONVOLUTIONAL.replace(
        "        super().__init__()\n",
        "        super().__init__()\n"
        "        import time\n"
        "        held = [torch.ones(25 * 2**20) for _ in range(2)]\n"  # 200 MiB
        "        while time.process_time() < begin + 1.0: pass\n",
        1,
    ).replace("import torch\n", "import time, torch\nbegin = time.process_time()\n", 1)
    starts = Starts(cold_bench.starts.backend, most_waiting=1)
    starts.expect(guest_spec("expected", SPEC.limits, SPEC.threads))
    deadline = time.monotonic() + 60
    while not starts.waiting() and time.monotonic() < deadline:
        time.sleep(0.05)
    cold = run(cold_bench, source=burns)
    others = [run(replace(cold_bench, starts=starts), source=burns), run(bench, source=burns)]
    starts.close()

    assert cold.measurement is not None
    for warm in others:  # out of the pool, and, as root, forked
        assert accuracy(cold) == accuracy(warm)
        assert warm.measurement is not None
        assert warm.measurement.startup_seconds < cold.measurement.startup_seconds / 3
        assert abs(warm.measurement.peak_memory_bytes - cold.measurement.peak_memory_bytes) < 32 * 2**20
    for measured in (cold.measurement, *(one.measurement for one in others)):
        assert 1.0 <= measured.cpu_seconds < 3.0
        assert 195 * 2**20 < measured.peak_memory_bytes < 300 * 2**20


def test_a_lemur_network_trains_itself(bench: Bench) -> None:
    outcome = run(
        bench, source=LEARNS_BY_ITSELF, epochs=3, hyperparameters={"lr": 0.05, "momentum": 0.9, "batch": 32}
    )

    assert accuracy(outcome) > 0.5


def test_a_strict_split_scores_both_halves(bench: Bench) -> None:
    outcome = run(bench, integrity=Integrity.STRICT, scored_on=ScoredOn.SELECTION_HALF)

    assert accuracy(outcome) > 0.4
    assert outcome.measurement is not None
    assert outcome.measurement.audit_accuracy is not None
    assert (outcome.measurement.evaluated_images, outcome.measurement.audit_images) == (200, 200)
    assert outcome.flags == ()


def test_a_failure_names_the_line(bench: Bench) -> None:
    source = CONVOLUTIONAL.replace("return self.layers(images)", "return self.layers(images[:, :, :5])")
    failure = run(bench, source=source).failure

    assert failure is not None
    assert failure.reason is FailureReason.TRAIN_ERROR
    assert (
        failure.location
        == f"line {source.splitlines().index('        return self.layers(images[:, :, :5])') + 1}"
    )
    assert "mat1 and mat2" in failure.message


def test_a_cancelled_attempt_ends_while_torch_is_still_importing(cold_bench: Bench) -> None:
    cancelled = Event()
    Timer(0.5, cancelled.set).start()
    outcome = run_attempt(SPEC, cold_bench, cancelled, lambda _: None)

    assert outcome.measurement is None
    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.INFRASTRUCTURE


def test_gains_nothing_by_a_fake_score_a_patched_torch_or_an_early_exit(bench: Bench) -> None:
    honest = accuracy(run(bench))
    fake = json.dumps({"accuracy": 1.0})
    patched = "import torch, sys\ntorch.Tensor.argmax = lambda self, *a, **k: torch.zeros(len(self)).long()\n"

    assert accuracy(run(bench, source=f"print('{fake}')\n" + CONVOLUTIONAL)) == honest
    assert accuracy(run(bench, source=patched + CONVOLUTIONAL)) == honest
    for code in ("import os\nos._exit(0)\n", "import sys\nsys.exit(0)\n"):
        outcome = run(bench, source=code + CONVOLUTIONAL)
        assert outcome.measurement is None
        assert outcome.failure is not None
        assert outcome.failure.reason in {FailureReason.INVALID_RESULT, FailureReason.BUILD_ERROR}


def test_the_dataset_folder_keeps_the_evaluation_to_its_owner(bench: Bench) -> None:
    folder = Path(bench.library.folder) / "columns"

    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.glob("evaluation_*"))
