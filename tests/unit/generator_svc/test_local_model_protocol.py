"""The generator's side of a model's process, with small programs in its place that misbehave."""

import json
import sys
import textwrap
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from model_folders import add_model_folder, write_adapter_folder

from contracts.chats import ChatMessage
from generator_svc.held_up import HeldUp
from generator_svc.language_models.departure import ASKER_LEFT
from generator_svc.language_models.local import LocalLimits, LocalModels
from generator_svc.language_models.local.protocol import LineInvalid, read_event
from generator_svc.language_models.model_store import MANIFEST
from generator_svc.language_models.port import ChatRequest, Sampling

READY = 'say(event="ready", device="cpu", dtype="float32")'
ANSWER = """
    def answer(call, request, **fields):
        told = {"text": f"answer {request['key']}", "finish_reason": "stop", "prompt_tokens": 3}
        told |= {"completion_tokens": 2, "seconds": 0.1, **fields}
        say(event="answered", call=call["call"], key=request["key"], **told)
"""
OBEDIENT = f"""
    {READY}
    for call in calls():
        for request in call["requests"]:
            answer(call, request)
        say(event="ended", call=call["call"])
"""


def program(tmp_path: Path, body: str) -> tuple[str, str]:
    """The command of a program that speaks the protocol as `body` says."""
    head = """
    import json, os, sys, time
    with open(os.path.join(sys.argv[1], "starts"), "a") as starts:
        starts.write(f"{os.getpid()}\\n")
    def say(**told):
        print(json.dumps(told), flush=True)
    def calls():
        for line in sys.stdin:
            yield json.loads(line)
    """
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(head) + textwrap.dedent(ANSWER) + textwrap.dedent(body))
    return sys.executable, str(path)


@pytest.fixture
def models(tmp_path):
    """Makes LocalModels whose process is the program of the given body."""
    made = []

    def make(body: str, **limits) -> LocalModels:
        add_model_folder(tmp_path)
        made.append(LocalModels(tmp_path, LocalLimits(**limits), program(tmp_path, body)))
        return made[-1]

    yield make
    for models in made:
        models.close()


def requests(count: int) -> list[ChatRequest]:
    return [ChatRequest(key, (ChatMessage("user", "Improve it."),), 7 + key) for key in range(count)]


def ask(models: LocalModels, count: int = 2, name: str = "small", adapter: str | None = None):
    return list(models.model(name, adapter).answers(requests(count), Sampling(max_tokens=5)))


def starts(tmp_path: Path, name: str = "small") -> list[int]:
    return [int(line) for line in (tmp_path / "models" / name / "starts").read_text().split()]


def held_up(models: LocalModels, **options):
    with pytest.raises(HeldUp) as held:
        ask(models, **options)
    assert held.value.blocked.remedy
    return held.value.blocked


def test_answers_come_with_all_that_is_needed_to_ask_again(models):
    answers = ask(models(OBEDIENT))
    assert [answer.text for answer in answers] == ["answer 0", "answer 1"]
    assert answers[1].sampling == {"temperature": 0.35, "top_p": 0.9, "top_k": 50, "max_tokens": 5, "seed": 8}
    assert (answers[0].model, answers[0].adapter) == ("tests/small", None)
    assert (answers[0].prompt_tokens, answers[0].completion_tokens, answers[0].cost_usd) == (3, 2, None)


def test_more_than_eight_requests_go_in_several_calls(models):
    assert sorted(answer.key for answer in ask(models(OBEDIENT), 19)) == list(range(19))


def test_one_process_serves_call_after_call(models, tmp_path):
    used = models(OBEDIENT)
    ask(used)
    ask(used)
    assert len(starts(tmp_path)) == 1


def test_another_model_takes_the_place_in_memory(models, tmp_path):
    used = models(OBEDIENT)
    add_model_folder(tmp_path, "other")
    ask(used)
    ask(used, name="other")
    (first,), (second,) = starts(tmp_path), starts(tmp_path, "other")
    assert not Path(f"/proc/{first}").exists()
    assert Path(f"/proc/{second}").exists()


def test_a_model_that_nobody_uses_gives_its_memory_back(models, tmp_path):
    used = models(OBEDIENT, idle_seconds=0.2)
    ask(used)
    (pid,) = starts(tmp_path)
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.02)
    assert len(ask(used)) == 2
    assert len(starts(tmp_path)) == 2


def test_who_unloads_a_model_finds_its_memory_free(models, tmp_path):
    used = models(OBEDIENT)
    ask(used)
    used.unload()
    assert not Path(f"/proc/{starts(tmp_path)[0]}").exists()


def test_an_answer_can_be_asked_for_while_others_are_read(models):
    model = models(OBEDIENT).model("small")
    texts = []
    for answer in model.answers(requests(3), Sampling()):
        texts += [answer.text, *(inner.text for inner in model.answers(requests(1), Sampling()))]
    assert texts == ["answer 0", "answer 0", "answer 1", "answer 0", "answer 2", "answer 0"]


def test_calls_of_several_threads_all_get_their_own_answers(models):
    used, found = models(OBEDIENT), {}

    def search(number: int) -> None:
        found[number] = [answer.key for answer in ask(used, number)]

    threads = [threading.Thread(target=search, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: list(range(number)) for number in range(1, 9)}


def test_a_call_that_is_left_is_cancelled_and_the_next_one_served(models):
    body = f"""
    {READY}
    for call in calls():
        if "cancel" in call:
            say(event="ended", call=call["cancel"])
            continue
        answer(call, call["requests"][0])
        if len(call["requests"]) == 1:
            say(event="ended", call=call["call"])
    """
    used = models(body)
    answers = used.model("small").answers(requests(3), Sampling())
    assert next(answers).text == "answer 0"
    answers.close()
    assert [answer.text for answer in ask(used, 1)] == ["answer 0"]


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


def test_the_process_gets_no_key_and_no_address(models, monkeypatch, tmp_path):
    for name in ("DELTANAS_LLM_API_KEY", "DELTANAS_SERVICE_TOKEN_SHA256", "HF_TOKEN", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "secret")
    body = f"""
    {READY}
    for call in calls():
        answer(call, call["requests"][0], text=json.dumps(dict(os.environ)))
        say(event="ended", call=call["call"])
    """
    (answer,) = ask(models(body, threads=3), 1)
    environment = json.loads(answer.text)
    assert "secret" not in answer.text
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["OMP_NUM_THREADS"] == "3"


def test_closing_waits_for_no_call(models, tmp_path):
    used = models(f"{READY}\nfor call in calls():\n    time.sleep(600)")
    held = []

    def search() -> None:
        with pytest.raises(HeldUp) as raised:
            ask(used)
        held.append(raised.value.blocked.code)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    while not (tmp_path / "models" / "small" / "starts").exists():
        time.sleep(0.01)
    used.close()
    for thread in threads:
        thread.join()
    assert held == ["model_failed"] * 3
    assert not Path(f"/proc/{starts(tmp_path)[0]}").exists()


def test_an_asker_who_left_waits_no_longer(models):
    used = models(f"{READY}\nfor call in calls():\n    time.sleep(600)")
    left = threading.Event()
    token = ASKER_LEFT.set(left)
    try:
        threading.Timer(0.1, left.set).start()
        assert ask(used) == []
    finally:
        ASKER_LEFT.reset(token)


def test_an_unknown_model_is_told_with_the_known_ones(models):
    blocked = held_up(models(OBEDIENT), name="large")
    assert (blocked.code, blocked.retryable) == ("model_unknown", False)
    assert "small" in blocked.message
    assert "deltanas models add" in blocked.remedy


def test_a_damaged_model_is_not_loadable(models, tmp_path):
    used = models(OBEDIENT)
    (tmp_path / "models" / "small" / MANIFEST).write_text("{}")
    assert held_up(used).code == "model_not_loadable"


def change_manifest(home: Path, **changes) -> None:
    path = home / "models" / "small" / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_model_larger_than_the_memory_is_refused_before_anything_starts(models, tmp_path):
    used = models(OBEDIENT)
    change_manifest(tmp_path, parameters=10**15)
    blocked = held_up(used)
    assert (blocked.code, blocked.retryable) == ("out_of_memory", False)
    assert not (tmp_path / "models" / "small" / "starts").exists()


def test_memory_that_others_use_just_now_is_waited_for(models, tmp_path, monkeypatch):
    monkeypatch.setattr("generator_svc.language_models.local.models.free_memory", lambda: 1024)
    blocked = held_up(models(OBEDIENT))
    assert (blocked.code, blocked.retryable) == ("out_of_memory", True)
    assert blocked.retry_after_seconds


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_four_bits_without_the_library_are_refused_by_its_name(models, tmp_path):
    used = models(OBEDIENT)
    change_manifest(tmp_path, load_in_4bit=True)
    blocked = held_up(used)
    assert blocked.code == "model_not_loadable"
    assert "bitsandbytes" in blocked.message
    assert "deltanas[nf4]" in blocked.remedy


def test_an_adapter_that_fits_is_asked_for_by_its_id(models, tmp_path):
    used = models(OBEDIENT)
    write_adapter_folder(tmp_path, "a1", used.find("small", None))
    used.model("small", "a1").check()
    assert ask(used, adapter="a1")[0].adapter == "a1"


@pytest.mark.parametrize("adapter", ["absent", "../models/small", "", "x" * 200])
def test_an_unknown_adapter_is_refused(models, adapter):
    assert held_up(models(OBEDIENT), adapter=adapter).code == "adapter_unknown"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"width": 32}, "takes 16 numbers"),
        ({"base_model_name_or_path": "somebody/else"}, "somebody/else"),
        ({"peft_type": "PREFIX_TUNING"}, "LoRA alone"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"megatron_config": {"core": "os"}}, "megatron_config"),
        ({"use_dora": True}, "use_dora"),
    ],
)
def test_an_adapter_of_another_kind_or_model_is_refused(models, tmp_path, options, why):
    used = models(OBEDIENT)
    write_adapter_folder(tmp_path, "a1", used.find("small", None), **options)
    blocked = held_up(used, adapter="a1")
    assert (blocked.code, blocked.retryable) == ("adapter_mismatch", False)
    assert why in blocked.message


def test_the_digest_of_an_adapters_base_decides(models, tmp_path):
    used = models(OBEDIENT)
    base = used.find("small", None)
    folder = write_adapter_folder(tmp_path, "a1", base, base_model_name_or_path="/tmp/where/it/was/trained")
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({"base_weights_sha256": base.manifest.weights_sha256}))
    used.model("small", "a1").check()
    manifest.write_text(json.dumps({"base_weights_sha256": "0" * 64}))
    assert held_up(used, adapter="a1").code == "adapter_mismatch"


def answered(**changes) -> bytes:
    told = {"event": "answered", "call": 1, "key": 0, "text": "a", "finish_reason": "stop"}
    return json.dumps(
        {**told, "prompt_tokens": 1, "completion_tokens": 1, "seconds": 0.5, **changes}
    ).encode()


def test_an_answer_as_it_should_be_is_read():
    assert read_event(answered()).text == "a"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"event": "exec"}',
        b'{"event": "ended", "call": "1"}',
        b"\xff\xfe",
        b'{"event"',
        b"[" * 100_000,
        answered(seconds=float("nan")),
        answered(seconds=-1),
        answered(prompt_tokens=10**12),
        answered(finish_reason="<script>"),
    ],
)
def test_a_line_that_is_none_of_ours_is_refused(line):
    with pytest.raises(LineInvalid):
        read_event(line)
