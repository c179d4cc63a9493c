"""How an attempt ends before its time: by its limits, cancelled, or because the platform failed."""

import time
from dataclasses import replace
from threading import Event, Timer

import pytest
from attempt_scene import OneGpu, header, honest, reason_of, trained
from fakes import ScriptedSandbox

from contracts.failures import FailureReason, TimeoutPhase
from contracts.guest_wire import FrameKind
from contracts.measurements import Limits
from sandbox_runner.sandboxes.port import Usage

pytestmark = pytest.mark.slow


def test_a_sandbox_that_cannot_start_is_the_platforms_failure(run_guest) -> None:
    outcome = run_guest(honest, broken="no cgroups")

    assert reason_of(outcome) is FailureReason.INFRASTRUCTURE
    assert "no cgroups" in outcome.failure.message


def test_an_unknown_dataset_is_the_platforms_failure(run_guest) -> None:
    assert reason_of(run_guest(honest, dataset="unheard-of")) is FailureReason.INFRASTRUCTURE


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
    run_guest, limits: Limits, frames: int, phase: TimeoutPhase
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
    outcome = run_guest(script, limits=limits)

    assert reason_of(outcome) is FailureReason.TIMEOUT
    assert outcome.failure.phase is phase
    assert time.monotonic() - begin < 1.3


def test_a_spent_cpu_budget_ends_the_training(run_guest) -> None:
    def script(guest: ScriptedSandbox) -> None:
        guest.hear()
        guest.say_bytes(header(FrameKind.READY, 0) + header(FrameKind.BUILT, 0))
        time.sleep(0.15)
        guest.accounting = Usage(901.0, 0, 0, 0)
        guest.killed.wait(10)

    outcome = run_guest(script)

    assert (reason_of(outcome), outcome.failure.phase) == (FailureReason.TIMEOUT, TimeoutPhase.TRAIN)


def test_endless_output_is_cut_off_and_its_ends_are_kept(run_guest) -> None:
    def script(guest: ScriptedSandbox) -> None:
        trained(guest)
        while not guest.killed.is_set():
            guest.print(b"x" * 1000)

    outcome = run_guest(script, limits=Limits(output_bytes=200_000))

    assert reason_of(outcome) is FailureReason.OUTPUT_LIMIT
    assert len(outcome.log) < 70_000


def test_a_cancelled_attempt_is_killed_at_once(run_guest) -> None:
    cancelled = Event()
    Timer(0.2, cancelled.set).start()

    begin = time.monotonic()
    outcome = run_guest(lambda guest: (trained(guest), guest.killed.wait(10)), cancelled)

    assert reason_of(outcome) is FailureReason.INFRASTRUCTURE
    assert time.monotonic() - begin < 1.2


def test_a_killed_child_spoils_an_attempt_that_ended_well(run_guest) -> None:
    def script(guest: ScriptedSandbox) -> None:
        honest(guest)
        guest.accounting = Usage(1.0, 0, 1, 0)

    def before_the_end(guest: ScriptedSandbox) -> None:
        guest.leave = lambda *_: setattr(guest, "accounting", Usage(1.0, 0, 1, 0))  # type: ignore[method-assign]
        script(guest)

    assert reason_of(run_guest(before_the_end)) is FailureReason.OUT_OF_MEMORY


def test_a_broken_accounting_is_the_platforms_failure(run_guest) -> None:
    def script(guest: ScriptedSandbox) -> None:
        def usage() -> Usage:
            raise OSError("the cgroup is gone")

        guest.usage = usage  # type: ignore[method-assign]
        trained(guest)

    outcome = run_guest(script)

    assert reason_of(outcome) is FailureReason.INFRASTRUCTURE
    assert "the cgroup is gone" in outcome.failure.message


@pytest.mark.parametrize(
    ("answers", "reason"), [(True, FailureReason.TRAIN_ERROR), (False, FailureReason.INFRASTRUCTURE)]
)
def test_a_failure_on_a_gpu_that_does_not_answer_any_more_is_the_platforms(
    run_guest, answers: bool, reason: FailureReason
) -> None:
    def script(guest: ScriptedSandbox) -> None:
        guest.hear()
        guest.say(FrameKind.READY)
        guest.say(FrameKind.BUILT)
        guest.say(FrameKind.FAILED, b'{"reason": "train_error", "message": "CUDA error: unknown"}')

    assert reason_of(run_guest(script, device="cuda", gpus=OneGpu(answers))) is reason
