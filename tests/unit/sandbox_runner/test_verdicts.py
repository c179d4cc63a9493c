import json

import pytest

from contracts.failures import FailureReason, MemoryResource, TimeoutPhase
from contracts.measurements import Limits
from sandbox_runner.phases import Phase
from sandbox_runner.sandboxes.port import Exit, Usage
from sandbox_runner.stops import Stop, StopKind
from sandbox_runner.verdicts import failure_of

CLEAN = Usage(1.0, 1000, 0, 0)
EXITED = Stop(StopKind.EXITED)


def judge(stop=EXITED, phase=Phase.TRAINING, usage=CLEAN, ended=None):
    return failure_of(stop, phase, usage, ended, Limits())


def says(**document):
    return Stop(StopKind.FAILED, payload=json.dumps(document).encode())


def test_the_kernels_count_outranks_everything() -> None:
    out_of_memory = Usage(1.0, 1000, 1, 5)

    for stop in (says(reason="train_error", message="x"), Stop(StopKind.WALL_TIMEOUT), EXITED):
        failure = judge(stop, usage=out_of_memory, ended=Exit(0, None))
        assert failure.reason is FailureReason.OUT_OF_MEMORY
        assert failure.resource is MemoryResource.HOST


def test_a_refused_fork_explains_a_failure() -> None:
    failure = judge(Stop(StopKind.WALL_TIMEOUT), usage=Usage(1.0, 1000, 0, 3))

    assert failure.reason is FailureReason.PIDS_LIMIT


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (Phase.BUILDING, TimeoutPhase.STARTUP),
        (Phase.TRAINING, TimeoutPhase.TRAIN),
        (Phase.PREDICTING, TimeoutPhase.PREDICT),
        (Phase.FINISHING, TimeoutPhase.PREDICT),
    ],
)
def test_a_spent_cpu_budget_is_a_timeout_of_the_phase(phase: Phase, expected: TimeoutPhase) -> None:
    failure = judge(Stop(StopKind.PHASE_TIMEOUT, "budget"), phase)

    assert (failure.reason, failure.phase) == (FailureReason.TIMEOUT, expected)


def test_whatever_happens_before_the_candidates_first_line_is_the_platforms_fault() -> None:
    late = Stop(StopKind.PHASE_TIMEOUT, "late")

    assert judge(late, Phase.BUILDING).phase is TimeoutPhase.STARTUP
    for stop, usage in ((late, CLEAN), (Stop(StopKind.MEMORY), Usage(1.0, 1000, 1, 0)), (EXITED, CLEAN)):
        assert judge(stop, Phase.STARTING, usage).reason is FailureReason.INFRASTRUCTURE


@pytest.mark.parametrize("kind", [StopKind.EXITED, StopKind.MALFORMED, StopKind.FAILED])
def test_before_the_candidates_first_line_every_failure_is_the_platforms(kind: StopKind) -> None:
    assert judge(Stop(kind), Phase.STARTING, ended=Exit(1, None)).reason is FailureReason.INFRASTRUCTURE


@pytest.mark.parametrize("reason", ["infrastructure", "timeout", "policy_violation", "made_up", 7, None])
def test_a_guest_cannot_choose_a_reason_that_is_not_its_own_to_give(reason: object) -> None:
    assert judge(says(reason=reason, message="m")).reason is FailureReason.TRAIN_ERROR


@pytest.mark.parametrize("reason", ["build_error", "train_error", "predict_error"])
def test_the_host_knows_the_phase_better_than_the_guest(reason: str) -> None:
    assert judge(says(reason=reason, message="m"), Phase.PREDICTING).reason is FailureReason.PREDICT_ERROR


def test_a_guests_own_word_is_bounded_and_escaped() -> None:
    failure = judge(says(reason="non_finite", message="\x1b[2J" * 5000, location="line 3\r" * 100))

    assert failure.reason is FailureReason.NON_FINITE
    assert len(failure.message) <= 2000
    assert failure.message.startswith("\\x1b[2J")
    assert failure.location is not None
    assert len(failure.location) <= 200
    assert failure.location.startswith("line 3\\x0d")


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"\xff", b"[" * 10_000, b'{"reason": 1}', b"null"])
def test_an_unreadable_failure_is_an_invalid_result(payload: bytes) -> None:
    assert judge(Stop(StopKind.FAILED, payload=payload)).reason is FailureReason.INVALID_RESULT


@pytest.mark.parametrize(
    ("ended", "reason", "words"),
    [
        (Exit(0, None), FailureReason.INVALID_RESULT, "before its answer"),
        (Exit(3, None), FailureReason.TRAIN_ERROR, "code 3"),
        (Exit(None, 11), FailureReason.SIGNALLED, "SIGSEGV"),
        (Exit(None, 40), FailureReason.SIGNALLED, "signal 40"),
    ],
)
def test_a_process_that_ends_early_never_succeeds(ended: Exit, reason: FailureReason, words: str) -> None:
    failure = judge(ended=ended)

    assert failure.reason is reason
    assert words in failure.message
    assert failure.remedy
