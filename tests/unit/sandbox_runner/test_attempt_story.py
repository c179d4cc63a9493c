"""An attempt between scripted guests and a real data set: what an honest one earns, and what it is told."""

import json
from functools import partial
from threading import Event

import numpy as np
import pytest
from attempt_scene import (
    CLASSES,
    EVALUATION_IMAGES,
    OneGpu,
    header,
    honest,
    make_spec,
    reason_of,
    right_answers,
)
from fakes import ScriptedBackend, ScriptedSandbox

from contracts.failures import FailureReason
from contracts.guest_wire import FrameKind
from contracts.names import AttemptKind, Integrity, ScoredOn
from sandbox_runner import attempt, conversation
from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.datasets.library import Library
from sandbox_runner.metering import Meter
from sandbox_runner.sandboxes.port import Usage
from sandbox_runner.starts import Starts

pytestmark = pytest.mark.slow


def test_right_answers_earn_a_full_score_with_all_that_was_measured(run_guest) -> None:
    def script(guest: ScriptedSandbox) -> None:
        guest.print(b"epoch 1\n")

        def answer(images: np.ndarray) -> np.ndarray:
            guest.accounting = Usage(2.5, 4096, 0, 0)
            return right_answers(images)

        honest(guest, answer)

    outcome = run_guest(script)

    assert outcome.failure is None
    measured = outcome.measurement
    assert measured is not None
    assert (measured.accuracy, measured.evaluated_images) == (1.0, EVALUATION_IMAGES)
    assert (measured.cpu_seconds, measured.peak_memory_bytes) == (2.5, 4096)
    assert measured.startup_seconds > 0
    assert measured.wall_seconds > 0
    assert (measured.claimed_train_seconds, measured.claimed_parameters) == (1.5, 7)
    assert outcome.log == "epoch 1\n"
    assert outcome.flags == ("standard_split_may_be_memorised",)
    assert outcome.provenance is not None
    assert outcome.provenance.environment_digest == "digest"


def test_the_job_holds_nothing_about_the_evaluation(run_guest) -> None:
    jobs = []

    def script(guest: ScriptedSandbox) -> None:
        jobs.append(json.loads(guest.hear()[1]))
        guest.leave(1)

    run_guest(script)

    assert jobs[0]["seed"] == 5
    assert jobs[0]["contract"] == "plain"
    text = json.dumps(jobs[0])
    assert not any(word in text for word in ("evaluation", "shuffle", "split", str(EVALUATION_IMAGES)))


def test_images_come_in_a_secret_order_in_batches_of_at_most_256(run_guest) -> None:
    batches = []

    def remember(images: np.ndarray) -> np.ndarray:
        batches.append(images[:, 0, 0, 0].copy())
        return right_answers(images)

    run_guest(lambda guest: honest(guest, remember), shuffle_key="one")
    first = np.concatenate(batches)
    batches.clear()
    run_guest(lambda guest: honest(guest, remember), shuffle_key="two")

    assert [len(batch) for batch in batches] == [256, EVALUATION_IMAGES - 256]
    assert (first != np.arange(EVALUATION_IMAGES) % CLASSES).any()
    assert (first != np.concatenate(batches)).any()


def test_within_a_search_each_half_is_scored(run_guest) -> None:
    measured = run_guest(honest, scored_on=ScoredOn.SELECTION_HALF, integrity=Integrity.STRICT).measurement

    assert measured is not None
    assert measured.audit_accuracy == 1.0
    assert measured.evaluated_images + measured.audit_images == EVALUATION_IMAGES


def test_a_smoke_run_asks_once_and_scores_nothing(run_guest) -> None:
    asked = []

    def script(guest: ScriptedSandbox) -> None:
        honest(guest, lambda images: (asked.append(len(images)), right_answers(images))[1])

    outcome = run_guest(script, kind=AttemptKind.SMOKE)

    assert (outcome.measurement, outcome.failure, asked) == (None, None, [4])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def broken(", FailureReason.SYNTAX_ERROR),
        ("import torch", FailureReason.CONTRACT_VIOLATION),
        (f"class Net(object):\n    x = '{'a' * 5000}'", FailureReason.POLICY_VIOLATION),
    ],
)
def test_a_source_that_breaks_the_rules_reaches_no_sandbox(
    run_guest, source: str, reason: FailureReason
) -> None:
    assert reason_of(run_guest(lambda _: pytest.fail("launched"), source=source)) is reason


def test_the_data_is_the_training_files_alone(stripes: Library) -> None:
    seen = []

    def script(guest: ScriptedSandbox) -> None:
        kind, job = guest.hear()
        seen.append((kind, json.loads(job)["data"], sorted(path.name for path in guest.data.iterdir())))
        guest.leave(1)

    backend = ScriptedBackend(script)
    run_attempt(make_spec(), Bench(Starts(backend, 0), stripes, "digest"), Event(), lambda _: None)

    [(kind, data, files)] = seen
    assert kind == FrameKind.JOB
    assert files == ["train_images.bin", "train_labels.bin"]
    assert [data["train_images"], data["train_labels"]] == [f"/data/{name}" for name in files]
    assert not backend.sandboxes[0].data.exists()
    assert backend.specs[0].name == "at-1-1"


def test_to_wait_for_a_gpu_is_no_part_of_the_start(run_guest, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]

    def wait_for_others() -> None:
        now[0] += 500

    monkeypatch.setattr(attempt, "Meter", partial(Meter, clock=lambda: now[0]))
    outcome = run_guest(honest, device="cuda", gpus=OneGpu(wait=wait_for_others))

    assert outcome.measurement is not None
    assert outcome.measurement.startup_seconds < 500


def test_a_guest_that_does_not_leave_keeps_its_score_and_is_killed(run_guest, monkeypatch) -> None:
    monkeypatch.setattr(conversation, "FINISH_GRACE_SECONDS", 0.2)

    def script(guest: ScriptedSandbox) -> None:
        guest.leave = lambda *_: None  # type: ignore[method-assign]
        honest(guest)

    outcome = run_guest(script)

    assert outcome.measurement is not None
    assert outcome.measurement.accuracy == 1.0


def test_absurd_claims_are_left_out(run_guest) -> None:
    def script(guest: ScriptedSandbox) -> None:
        lies = b'{"train_seconds": NaN, "parameters": -1, "train_loss": 1e999}'
        guest.hear()
        guest.say_bytes(header(FrameKind.READY, 0) + header(FrameKind.BUILT, 0))
        guest.say(FrameKind.TRAINED, lies)
        while guest.hear()[0] == FrameKind.BATCH:
            count = 256 if not answered else EVALUATION_IMAGES - 256
            answered.append(count)
            guest.say(FrameKind.LOGITS, bytes(count * CLASSES * 4))
        guest.leave(0)

    answered: list[int] = []
    measured = run_guest(script).measurement

    assert measured is not None
    assert measured.accuracy == pytest.approx(1 / CLASSES)
    assert (measured.claimed_train_seconds, measured.claimed_parameters, measured.claimed_train_loss) == (
        None,
    ) * 3
