"""What a guest says instead of its answers: malformed, surplus, too early or too late, it earns nothing."""

import time

import numpy as np
import pytest
from attempt_scene import CLASSES, header, honest, reason_of, right_answers, trained
from fakes import ScriptedSandbox

from contracts.failures import FailureReason
from contracts.guest_wire import FrameKind

pytestmark = pytest.mark.slow


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
def test_a_malformed_or_surplus_answer_is_an_invalid_result(run_guest, sent: list[bytes]) -> None:
    assert reason_of(run_guest(answers(*sent))) is FailureReason.INVALID_RESULT


def test_answers_before_the_question_are_an_invalid_result(run_guest) -> None:
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

    assert reason_of(run_guest(script)) is FailureReason.INVALID_RESULT


def test_bytes_after_the_last_answer_are_an_invalid_result(run_guest) -> None:
    def script(guest: ScriptedSandbox) -> None:
        honest(guest)
        guest.say_bytes(b"one more thing")

    def late(guest: ScriptedSandbox) -> None:
        guest.leave = lambda *_: time.sleep(0.2)  # type: ignore[method-assign]
        script(guest)

    assert reason_of(run_guest(late)) is FailureReason.INVALID_RESULT


@pytest.mark.parametrize("claims", [b"[]", b"{", b"[" * 4000, b'{"a":' * 600])
def test_claims_that_are_no_object_are_an_invalid_result(run_guest, claims: bytes) -> None:
    assert reason_of(run_guest(lambda guest: trained(guest, claims))) is FailureReason.INVALID_RESULT


def test_logits_that_are_not_finite_have_their_own_reason(run_guest) -> None:
    outcome = run_guest(lambda guest: honest(guest, lambda images: right_answers(images) - np.float32("inf")))

    assert reason_of(outcome) is FailureReason.NON_FINITE


@pytest.mark.parametrize("code", [0, 1])
def test_an_early_end_is_never_a_success(run_guest, code: int) -> None:
    def script(guest: ScriptedSandbox) -> None:
        trained(guest)
        guest.hear()
        guest.leave(code)

    expected = FailureReason.PREDICT_ERROR if code else FailureReason.INVALID_RESULT
    assert reason_of(run_guest(script)) is expected


def test_what_a_guest_said_last_is_heard_although_it_has_ended(run_guest) -> None:
    def script(guest: ScriptedSandbox) -> None:
        guest.hear()
        guest.say(FrameKind.READY)
        guest.say(
            FrameKind.FAILED, b'{"reason": "build_error", "message": "no such layer", "location": "line 4"}'
        )
        guest.leave(1)

    outcome = run_guest(script)

    assert reason_of(outcome) is FailureReason.BUILD_ERROR
    assert (outcome.failure.message, outcome.failure.location) == ("no such layer", "line 4")
