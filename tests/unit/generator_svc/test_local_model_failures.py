"""A model's process that dies, hangs, grows or talks nonsense, with small programs in its place."""

from pathlib import Path

import pytest
from local_model_program import READY, ask, held_up, requests, starts

from generator_svc.held_up import HeldUp
from generator_svc.language_models.local import worker_process
from generator_svc.language_models.port import Sampling

DEATHS = {
    "killed mid-answer": "answer(call, call['requests'][0]); os.kill(os.getpid(), 9)",
    "gone without a word": "sys.exit(3)",
    "garbage": "print('Segmentation fault'); sys.stdout.flush(); time.sleep(60)",
    "an answer to nobody": "answer(call, {'key': 77}); time.sleep(60)",
    "an answer twice": "answer(call, call['requests'][0]); answer(call, call['requests'][0]); time.sleep(60)",
    "an end too early": "say(event='ended', call=call['call']); time.sleep(60)",
    "an answer too long": "answer(call, call['requests'][0], text='x' * 200_000); time.sleep(60)",
    "numbers that are none": "answer(call, call['requests'][0], prompt_tokens='many'); time.sleep(60)",
    "deep nesting": "print('[' * 100_000); sys.stdout.flush(); time.sleep(60)",
}


@pytest.mark.parametrize("deed", DEATHS.values(), ids=DEATHS.keys())
def test_a_process_that_fails_is_ended_and_started_anew(models, tmp_path, deed):
    body = f"""
    {READY}
    for number, call in enumerate(calls()):
        if len(open(os.path.join(sys.argv[1], "starts")).readlines()) == 1:
            {deed}
        for request in call["requests"]:
            answer(call, request)
        say(event="ended", call=call["call"])
    """
    used = models(body)
    blocked = held_up(used)
    assert (blocked.code, blocked.retryable) == ("model_failed", True)
    assert "small" in blocked.message
    assert not Path(f"/proc/{starts(tmp_path)[0]}").exists()
    assert len(ask(used)) == 2


def test_answers_before_a_death_stand(models):
    body = f"""
    {READY}
    for call in calls():
        answer(call, call["requests"][0])
        os.kill(os.getpid(), 9)
    """
    answers = models(body).model("small").answers(requests(2), Sampling())
    assert next(answers).text == "answer 0"
    with pytest.raises(HeldUp, match="signal 9"):
        next(answers)


def test_a_process_that_grows_beyond_its_memory_is_ended(models, tmp_path, monkeypatch):
    monkeypatch.setattr("generator_svc.language_models.local.models._LIBRARIES_BYTES", 0)
    body = f"""
    {READY}
    for call in calls():
        hoard = [b"x" * 1_000_000 for _ in range(90)]
        time.sleep(60)
    """
    blocked = held_up(models(body, memory_bytes=60_000_000))
    assert (blocked.code, blocked.retryable) == ("out_of_memory", False)
    assert not Path(f"/proc/{starts(tmp_path)[0]}").exists()


def test_a_call_that_takes_too_long_is_ended(models):
    blocked = held_up(models(f"{READY}\nfor call in calls():\n    time.sleep(60)", call_seconds=0.2))
    assert (blocked.code, blocked.retryable) == ("model_failed", True)
    assert "time" in blocked.message


def test_a_process_that_never_gets_ready_is_ended(models):
    blocked = held_up(models("    time.sleep(60)", load_seconds=0.3))
    assert (blocked.code, blocked.retryable) == ("model_failed", True)


@pytest.mark.parametrize(
    ("code", "retryable"), [("out_of_memory", False), ("model_not_loadable", False), ("model_failed", True)]
)
def test_what_the_process_says_of_its_failure_is_passed_on(models, code, retryable):
    body = f"    say(event='failed', code='{code}', message='such is life', lasting=True)"
    blocked = held_up(models(body))
    assert (blocked.code, blocked.retryable) == (code, retryable)
    assert "such is life" in blocked.message


def test_a_failure_that_does_not_last_leaves_the_process_alone(models, tmp_path):
    body = f"""
    {READY}
    for call in calls():
        say(event="failed", code="adapter_mismatch", message="not mine", lasting=False)
    """
    used = models(body)
    assert held_up(used).code == "adapter_mismatch"
    assert held_up(used).code == "adapter_mismatch"
    assert len(starts(tmp_path)) == 1


def test_a_process_that_the_kernel_killed_for_memory_is_told_as_that_and_tried_again(models, monkeypatch):
    body = f"""
    {READY}
    for call in calls():
        os.kill(os.getpid(), 9)
    """
    kills = iter(range(100))
    monkeypatch.setattr(worker_process, "kernel_kills", lambda: next(kills))
    blocked = held_up(models(body))
    assert (blocked.code, blocked.retryable) == ("out_of_memory", True)
    assert "kernel killed" in blocked.message
    assert "memory" in blocked.message
