"""Local models in their real process: a tiny one through every accident, and SmolLM2 as it came."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from smollm2_model import NAME, smollm2_home
from tiny_language_model import add_tiny_model, write_tiny_adapter

from contracts.chats import ChatMessage
from generator_svc.held_up import HeldUp
from generator_svc.language_models.local import LocalLimits, LocalModels
from generator_svc.language_models.port import ChatRequest, Sampling
from generator_svc.prompts import delta_prompt
from generator_svc.seeds import baseline_networks

pytestmark = pytest.mark.slow

SAMPLING = Sampling(temperature=1.0, top_p=0.95, max_tokens=24)
ENDLESS = Sampling(temperature=1.0, top_p=1.0, top_k=None, max_tokens=100_000)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    base = add_tiny_model(home)
    write_tiny_adapter(home, "first", base, seed=1)
    write_tiny_adapter(home, "second", base, seed=2)
    return home


@pytest.fixture(scope="module")
def models(home):
    models = LocalModels(home, LocalLimits(threads=1))
    yield models
    models.close()


def requests(count: int, words: str = "Improve the network below.") -> list[ChatRequest]:
    return [ChatRequest(key, (ChatMessage("user", words),), 40 + key) for key in range(count)]


def ask(models: LocalModels, adapter: str | None = None, count: int = 3) -> list[str]:
    answers = models.model("tiny", adapter).answers(requests(count), SAMPLING)
    return [answer.text for answer in sorted(answers, key=lambda answer: answer.key)]


def children(parent: int) -> list[int]:
    """The processes that hold models, of one parent."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = status.read_text().splitlines()
            arguments = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if f"PPid:\t{parent}" in lines and b"local.weights" in arguments:
            found.append(int(status.parent.name))
    return found


def wait_until_gone(pid: int) -> None:
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.05)


def test_adapters_are_taken_up_by_the_running_process(models):
    plain = ask(models)
    (pid,) = children(os.getpid())
    first, second = ask(models, "first"), ask(models, "second")
    assert len({*plain, *first, *second}) == 9
    assert ask(models) == plain
    assert ask(models, "first") == first
    assert children(os.getpid()) == [pid]


def test_a_request_alone_is_answered_as_among_others(models):
    assert ask(models, count=1) == ask(models, count=8)[:1]


def test_a_process_killed_while_it_writes_is_told_of_and_started_anew(models):
    before = ask(models)
    (pid,) = children(os.getpid())
    killing = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
    killing.start()
    with pytest.raises(HeldUp) as held:
        list(models.model("tiny").answers(requests(8), ENDLESS))
    assert (held.value.blocked.code, held.value.blocked.retryable) == ("model_failed", True)
    assert ask(models) == before
    assert children(os.getpid()) != [pid]


def test_a_model_that_is_held_in_4_bits_answers_and_says_so(tmp_path):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install 'deltanas[nf4]'")
    base = add_tiny_model(tmp_path, load_in_4bit=True)
    write_tiny_adapter(tmp_path, "first", base, seed=1)
    models = LocalModels(tmp_path, LocalLimits(threads=1))
    try:
        answers = list(models.model("tiny").answers(requests(3), SAMPLING))
        assert [answer.completion_tokens > 0 for answer in answers] == [True] * 3
        assert {answer.weights.dtype for answer in answers} <= {"nf4/float32", "nf4/bfloat16"}
        assert ask(models) == ask(models) != ask(models, "first")
    finally:
        models.close()


def test_an_answer_that_nobody_waits_for_is_broken_off(models):
    ask(models)
    answers = models.model("tiny").answers([*requests(1), *requests(8)[1:]], ENDLESS)
    next(answers)
    answers.close()
    assert len(ask(models)) == 3


def test_a_prompt_longer_than_the_context_is_an_answer_of_its_own(models):
    (answer,) = models.model("tiny").answers(requests(1, "long " * 600), SAMPLING)
    assert (answer.text, answer.finish_reason) == ("", "prompt_too_long")


def test_the_process_dies_with_whoever_started_it(home):
    body = f"""
    import sys
    from pathlib import Path
    from contracts.chats import ChatMessage
    from generator_svc.language_models.local import LocalModels
    from generator_svc.language_models.port import ChatRequest, Sampling
    model = LocalModels(Path({str(home)!r})).model("tiny")
    list(model.answers([ChatRequest(0, (ChatMessage("user", "Hello."),), 1)], Sampling(max_tokens=3)))
    print("answered", flush=True)
    sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(body)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout.readline() == b"answered\n"
        (pid,) = children(starter.pid)
        starter.kill()
        wait_until_gone(pid)


def test_weights_that_are_damaged_are_not_loadable(tmp_path):
    stored = add_tiny_model(tmp_path)
    weights = stored.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-64])
    models = LocalModels(tmp_path, LocalLimits(threads=1))
    try:
        with pytest.raises(HeldUp) as held:
            ask(models)
    finally:
        models.close()
    assert (held.value.blocked.code, held.value.blocked.retryable) == ("model_not_loadable", False)


@pytest.mark.full
def test_a_real_model_answers_a_real_prompt():
    models = LocalModels(smollm2_home(), LocalLimits(threads=1))
    baseline = next(iter(baseline_networks().values()))
    prompt = delta_prompt(baseline.source, "fashion-mnist", 0.85)
    sampling = Sampling(temperature=1.2, max_tokens=24)
    try:
        model = models.model(NAME)
        asked = [ChatRequest(key, prompt, 40 + key) for key in range(3)]
        answers = {answer.key: answer for answer in model.answers(asked, sampling)}
        (alone,) = model.answers(asked[1:2], sampling)
        question = ChatMessage("user", "What is the capital of France?")
        (capital,) = model.answers([ChatRequest(0, (question,), 1)], Sampling(temperature=0.0))
    finally:
        models.close()
    assert len({answer.text for answer in answers.values()}) == 3
    assert alone.text == answers[1].text
    assert "Paris" in capital.text
    assert capital.finish_reason == "stop"
    assert answers[0].model == "HuggingFaceTB/SmolLM2-135M-Instruct"
