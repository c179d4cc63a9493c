import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event, Timer
from types import SimpleNamespace

import numpy as np
import pytest
from attempt_scene import (
    CLASSES,
    EVALUATION_IMAGES,
    header,
    honest,
    make_library,
    make_spec,
    right_answers,
    trained,
)
from fakes import ScriptedBackend, ScriptedSandbox

from contracts.failures import FailureReason, TimeoutPhase
from contracts.guest_wire import FrameKind
from contracts.jobs import AttemptOutcome
from contracts.measurements import Limits
from contracts.names import AttemptKind, Integrity, ScoredOn
from sandbox_runner import attempt, conversation
from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.datasets.library import Library
from sandbox_runner.gpus import Gpus
from sandbox_runner.metering import Meter
from sandbox_runner.sandboxes.port import Usage
from sandbox_runner.starts import Starts

pytestmark = pytest.mark.slow

NO_GPUS = Gpus(())


class OneGpu(Gpus):
    """Lends a GPU that answers, or does not answer any more, once `wait` has been called."""

    def __init__(self, answers: bool = True, wait: Callable[[], None] = lambda: None) -> None:
        self._answers = answers
        self._wait = wait

    @contextmanager
    def lend(self, device: str, cancelled: Event) -> Iterator[SimpleNamespace]:
        self._wait()
        yield SimpleNamespace(uuid="GPU-a", used_bytes=lambda: 0, answers=lambda: self._answers)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return make_library(tmp_path_factory.mktemp("home"))


def open_pipes() -> int:
    """Pipes and selectors of this process. Files may stay mapped while a logged traceback is kept."""
    links = [f"/proc/self/fd/{descriptor}" for descriptor in os.listdir("/proc/self/fd")]
    targets = [os.readlink(link) for link in links if os.path.islink(link)]
    return sum(target.startswith(("pipe:", "anon_inode:")) for target in targets)


@pytest.fixture
def run(library: Library):
    backends: list[ScriptedBackend] = []

    def run_script(
        script, cancelled: Event | None = None, broken: str = "", gpus: Gpus = NO_GPUS, **changes
    ) -> AttemptOutcome:
        backend = ScriptedBackend(script, broken)
        backends.append(backend)
        bench = Bench(Starts(backend, 0), library, "digest", gpus)
        return run_attempt(make_spec(**changes), bench, cancelled or Event(), lambda _: None)

    before = open_pipes()
    yield run_script
    assert all(sandbox.closed for backend in backends for sandbox in backend.sandboxes)
    assert open_pipes() == before


def reason_of(outcome: AttemptOutcome) -> FailureReason:
    assert outcome.measurement is None
    assert outcome.failure is not None
    return outcome.failure.reason


def test_right_answers_earn_a_full_score_with_all_that_was_measured(run) -> None:
    def script(guest: ScriptedSandbox) -> None:
        guest.print(b"epoch 1\n")

        def answer(images: np.ndarray) -> np.ndarray:
            guest.accounting = Usage(2.5, 4096, 0, 0)
            return right_answers(images)

        honest(guest, answer)

    outcome = run(script)

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


@pytest.mark.slow
def test_the_job_holds_nothing_about_the_evaluation(run) -> None:
    jobs = []

    def script(guest: ScriptedSandbox) -> None:
        jobs.append(json.loads(guest.hear()[1]))
        guest.leave(1)

    run(script)

    assert jobs[0]["seed"] == 5
    assert jobs[0]["contract"] == "plain"
    text = json.dumps(jobs[0])
    assert not any(word in text for word in ("evaluation", "shuffle", "split", str(EVALUATION_IMAGES)))


def test_images_come_in_a_secret_order_in_batches_of_at_most_256(run) -> None:
    batches = []

    def remember(images: np.ndarray) -> np.ndarray:
        batches.append(images[:, 0, 0, 0].copy())
        return right_answers(images)

    run(lambda guest: honest(guest, remember), shuffle_key="one")
    first = np.concatenate(batches)
    batches.clear()
    run(lambda guest: honest(guest, remember), shuffle_key="two")

    assert [len(batch) for batch in batches] == [256, EVALUATION_IMAGES - 256]
    assert (first != np.arange(EVALUATION_IMAGES) % CLASSES).any()
    assert (first != np.concatenate(batches)).any()


def test_within_a_search_each_half_is_scored(run) -> None:
    measured = run(honest, scored_on=ScoredOn.SELECTION_HALF, integrity=Integrity.STRICT).measurement

    assert measured is not None
    assert measured.audit_accuracy == 1.0
    assert measured.evaluated_images + measured.audit_images == EVALUATION_IMAGES


def test_a_smoke_run_asks_once_and_scores_nothing(run) -> None:
    asked = []

    def script(guest: ScriptedSandbox) -> None:
        honest(guest, lambda images: (asked.append(len(images)), right_answers(images))[1])

    outcome = run(script, kind=AttemptKind.SMOKE)

    assert (outcome.measurement, outcome.failure, asked) == (None, None, [4])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def broken(", FailureReason.SYNTAX_ERROR),
        ("import torch", FailureReason.CONTRACT_VIOLATION),
        (f"class Net(object):\n    x = '{'a' * 5000}'", FailureReason.POLICY_VIOLATION),
    ],
)
def test_a_source_that_breaks_the_rules_reaches_no_sandbox(run, source: str, reason: FailureReason) -> None:
    assert reason_of(run(lambda _: pytest.fail("launched"), source=source)) is reason


def test_a_sandbox_that_cannot_start_is_the_platforms_failure(run) -> None:
    outcome = run(honest, broken="no cgroups")

    assert reason_of(outcome) is FailureReason.INFRASTRUCTURE
    assert "no cgroups" in outcome.failure.message


def test_an_unknown_dataset_is_the_platforms_failure(run) -> None:
    assert reason_of(run(honest, dataset="unheard-of")) is FailureReason.INFRASTRUCTURE


def answers(*sent: bytes):
    """A guest that, asked the first time, sends these bytes, and then waits."""

    def script(guest: ScriptedSandbox) -> None:
        trained(guest)
        guest.hear()
        for content in sent:
            guest.say_bytes(content)
        guest.hear()

    return script


FULL_ANSWER = header(FrameKind.LOGITS, 256 * CLASSES * 4) + bytes(256 * CLASSES * 4)


@pytest.mark.parametrize(
    "sent",
    [
        [header(FrameKind.LOGITS, 256 * CLASSES * 4 - 4)],
        [header(FrameKind.LOGITS, 2**32 - 1)],
        [header(FrameKind.TRAINED, 2) + b"{}"],
        [header(99, 0)],
        [b"accuracy: 1.0\n"],
        [FULL_ANSWER + b"x"],
        [FULL_ANSWER + FULL_ANSWER],
    ],
    ids=["short", "huge", "wrong kind", "unknown kind", "text", "one byte more", "twice"],
)
def test_a_malformed_or_surplus_answer_is_an_invalid_result(run, sent: list[bytes]) -> None:
    assert reason_of(run(answers(*sent))) is FailureReason.INVALID_RESULT


def test_answers_before_the_question_are_an_invalid_result(run) -> None:
    def script(guest: ScriptedSandbox) -> None:
        guest.hear()
        guest.say_bytes(
            header(FrameKind.READY, 0)
            + header(FrameKind.BUILT, 0)
            + header(FrameKind.TRAINED, 2)
            + b"{}"
            + FULL_ANSWER
        )
        guest.hear()

    assert reason_of(run(script)) is FailureReason.INVALID_RESULT


def test_bytes_after_the_last_answer_are_an_invalid_result(run) -> None:
    def script(guest: ScriptedSandbox) -> None:
        honest(guest)
        guest.say_bytes(b"one more thing")

    def late(guest: ScriptedSandbox) -> None:
        guest.leave = lambda *_: time.sleep(0.2)  # type: ignore[method-assign]
        script(guest)

    assert reason_of(run(late)) is FailureReason.INVALID_RESULT


def test_a_guest_that_does_not_leave_keeps_its_score_and_is_killed(run, monkeypatch) -> None:
    monkeypatch.setattr(conversation, "FINISH_GRACE_SECONDS", 0.2)

    def script(guest: ScriptedSandbox) -> None:
        guest.leave = lambda *_: None  # type: ignore[method-assign]
        honest(guest)

    outcome = run(script)

    assert outcome.measurement is not None
    assert outcome.measurement.accuracy == 1.0


@pytest.mark.parametrize("claims", [b"[]", b"{", b"[" * 4000, b'{"a":' * 600])
def test_claims_that_are_no_object_are_an_invalid_result(run, claims: bytes) -> None:
    assert reason_of(run(lambda guest: trained(guest, claims))) is FailureReason.INVALID_RESULT


def test_absurd_claims_are_left_out(run) -> None:
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
    measured = run(script).measurement

    assert measured is not None
    assert measured.accuracy == pytest.approx(1 / CLASSES)
    assert (measured.claimed_train_seconds, measured.claimed_parameters, measured.claimed_train_loss) == (
        None,
    ) * 3


def test_logits_that_are_not_finite_have_their_own_reason(run) -> None:
    outcome = run(lambda guest: honest(guest, lambda images: right_answers(images) - np.float32("inf")))

    assert reason_of(outcome) is FailureReason.NON_FINITE


@pytest.mark.parametrize("code", [0, 1])
def test_an_early_end_is_never_a_success(run, code: int) -> None:
    def script(guest: ScriptedSandbox) -> None:
        trained(guest)
        guest.hear()
        guest.leave(code)

    expected = FailureReason.PREDICT_ERROR if code else FailureReason.INVALID_RESULT
    assert reason_of(run(script)) is expected


def test_what_a_guest_said_last_is_heard_although_it_has_ended(run) -> None:
    def script(guest: ScriptedSandbox) -> None:
        guest.hear()
        guest.say(FrameKind.READY)
        guest.say(
            FrameKind.FAILED, b'{"reason": "build_error", "message": "no such layer", "location": "line 4"}'
        )
        guest.leave(1)

    outcome = run(script)

    assert reason_of(outcome) is FailureReason.BUILD_ERROR
    assert (outcome.failure.message, outcome.failure.location) == ("no such layer", "line 4")


LIMITS = Limits(wall_seconds=30, startup_seconds=30)


@pytest.mark.parametrize(
    ("limits", "frames", "phase"),
    [
        (replace(LIMITS, startup_seconds=0.3), 1, TimeoutPhase.STARTUP),
        (replace(LIMITS, wall_seconds=0.3), 3, TimeoutPhase.WALL),
        (replace(LIMITS, predict_batch_seconds=0.3), 3, TimeoutPhase.PREDICT),
    ],
)
def test_silence_ends_within_a_second_of_its_limit(
    run, limits: Limits, frames: int, phase: TimeoutPhase
) -> None:
    def script(guest: ScriptedSandbox) -> None:
        guest.hear()
        ready, built, done = (
            header(FrameKind.READY, 0),
            header(FrameKind.BUILT, 0),
            header(FrameKind.TRAINED, 2),
        )
        guest.say_bytes(b"".join([ready, built, done + b"{}"][:frames]))
        guest.killed.wait(10)

    begin = time.monotonic()
    outcome = run(script, limits=limits)

    assert reason_of(outcome) is FailureReason.TIMEOUT
    assert outcome.failure.phase is phase
    assert time.monotonic() - begin < 1.3


def test_a_spent_cpu_budget_ends_the_training(run) -> None:
    def script(guest: ScriptedSandbox) -> None:
        guest.hear()
        guest.say_bytes(header(FrameKind.READY, 0) + header(FrameKind.BUILT, 0))
        time.sleep(0.15)
        guest.accounting = Usage(901.0, 0, 0, 0)
        guest.killed.wait(10)

    outcome = run(script)

    assert (reason_of(outcome), outcome.failure.phase) == (FailureReason.TIMEOUT, TimeoutPhase.TRAIN)


def test_endless_output_is_cut_off_and_its_ends_are_kept(run) -> None:
    def script(guest: ScriptedSandbox) -> None:
        trained(guest)
        while not guest.killed.is_set():
            guest.print(b"x" * 1000)

    outcome = run(script, limits=Limits(output_bytes=200_000))

    assert reason_of(outcome) is FailureReason.OUTPUT_LIMIT
    assert len(outcome.log) < 70_000


def test_a_cancelled_attempt_is_killed_at_once(run) -> None:
    cancelled = Event()
    Timer(0.2, cancelled.set).start()

    begin = time.monotonic()
    outcome = run(lambda guest: (trained(guest), guest.killed.wait(10)), cancelled)

    assert reason_of(outcome) is FailureReason.INFRASTRUCTURE
    assert time.monotonic() - begin < 1.2


def test_a_killed_child_spoils_an_attempt_that_ended_well(run) -> None:
    def script(guest: ScriptedSandbox) -> None:
        honest(guest)
        guest.accounting = Usage(1.0, 0, 1, 0)

    def before_the_end(guest: ScriptedSandbox) -> None:
        guest.leave = lambda *_: setattr(guest, "accounting", Usage(1.0, 0, 1, 0))  # type: ignore[method-assign]
        script(guest)

    assert reason_of(run(before_the_end)) is FailureReason.OUT_OF_MEMORY


def test_a_broken_accounting_is_the_platforms_failure(run) -> None:
    def script(guest: ScriptedSandbox) -> None:
        def usage() -> Usage:
            raise OSError("the cgroup is gone")

        guest.usage = usage  # type: ignore[method-assign]
        trained(guest)

    outcome = run(script)

    assert reason_of(outcome) is FailureReason.INFRASTRUCTURE
    assert "the cgroup is gone" in outcome.failure.message


def test_the_data_is_the_training_files_alone(library: Library, tmp_path: Path) -> None:
    seen = []

    def script(guest: ScriptedSandbox) -> None:
        kind, job = guest.hear()
        seen.append((kind, json.loads(job)["data"], sorted(path.name for path in guest.data.iterdir())))
        guest.leave(1)

    backend = ScriptedBackend(script)
    run_attempt(make_spec(), Bench(Starts(backend, 0), library, "digest"), Event(), lambda _: None)

    [(kind, data, files)] = seen
    assert kind == FrameKind.JOB
    assert files == ["train_images.bin", "train_labels.bin"]
    assert [data["train_images"], data["train_labels"]] == [f"/data/{name}" for name in files]
    assert not backend.sandboxes[0].data.exists()
    assert backend.specs[0].name == "at-1-1"


def test_to_wait_for_a_gpu_is_no_part_of_the_start(run, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]

    def wait_for_others() -> None:
        now[0] += 500

    monkeypatch.setattr(attempt, "Meter", partial(Meter, clock=lambda: now[0]))
    outcome = run(honest, device="cuda", gpus=OneGpu(wait=wait_for_others))

    assert outcome.measurement is not None
    assert outcome.measurement.startup_seconds < 500


@pytest.mark.parametrize(
    ("answers", "reason"), [(True, FailureReason.TRAIN_ERROR), (False, FailureReason.INFRASTRUCTURE)]
)
def test_a_failure_on_a_gpu_that_does_not_answer_any_more_is_the_platforms(
    run, answers: bool, reason: FailureReason
) -> None:
    def script(guest: ScriptedSandbox) -> None:
        guest.hear()
        guest.say(FrameKind.READY)
        guest.say(FrameKind.BUILT)
        guest.say(FrameKind.FAILED, b'{"reason": "train_error", "message": "CUDA error: unknown"}')

    assert reason_of(run(script, device="cuda", gpus=OneGpu(answers))) is reason
