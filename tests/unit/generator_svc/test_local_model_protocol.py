"""The generator's side of a model's process: calls, answers, lines, and who is served when."""

import json
import threading
import time
from pathlib import Path

import pytest
from local_model_program import OBEDIENT, READY, ask, requests, starts
from model_folders import add_model_folder
from processes import until

from contracts.proposals import ModelWeights
from generator_svc.held_up import HeldUp
from generator_svc.language_models.departure import ASKER_LEFT
from generator_svc.language_models.local.protocol import LineInvalid, read_event
from generator_svc.language_models.port import Sampling


def test_answers_come_with_all_that_is_needed_to_ask_again(models):
    answers = ask(models(OBEDIENT))
    assert [answer.text for answer in answers] == ["answer 0", "answer 1"]
    assert answers[1].sampling == {"temperature": 0.35, "top_p": 0.9, "top_k": 50, "max_tokens": 5, "seed": 8}
    assert (answers[0].model, answers[0].adapter) == ("tests/small", None)
    assert (answers[0].prompt_tokens, answers[0].completion_tokens, answers[0].cost_usd) == (3, 2, None)


def test_an_answer_names_the_weights_and_the_numbers_that_it_was_computed_with(models, tmp_path):
    used = models(OBEDIENT)
    digest = used.find("small", None).manifest.weights_sha256
    # The second call finds the process ready.
    for _ in range(2):
        assert {answer.weights for answer in ask(used)} == {ModelWeights(digest, "float32", "cpu")}


def test_weights_that_are_held_in_four_bits_are_told_as_that(models, tmp_path, monkeypatch):
    used = models(OBEDIENT)
    monkeypatch.setattr("generator_svc.language_models.local.models.find_spec", lambda _name: True)
    manifest = tmp_path / "models" / "small" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"load_in_4bit": True}))
    assert ask(used)[0].weights.dtype == "nf4/float32"


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


def test_a_model_that_is_answering_is_put_away_once_it_has_and_not_again(models, tmp_path, monkeypatch):
    unload_seconds = "generator_svc.language_models.local.models._UNLOAD_SECONDS"
    monkeypatch.setattr(unload_seconds, 0.05)
    body = f"""
    {READY}
    for call in calls():
        while not os.path.exists(os.path.join(sys.argv[1], "go")):
            time.sleep(0.01)
        for request in call["requests"]:
            answer(call, request)
        say(event="ended", call=call["call"])
    """
    used = models(body)
    asking, later = (threading.Thread(target=ask, args=(used,)) for _ in range(2))
    asking.start()
    until(lambda: (tmp_path / "models" / "small" / "starts").exists(), 20, "the process")
    assert not used.unload()
    later.start()
    assert [used.unload() for _ in range(3)] == [False] * 3
    (tmp_path / "models" / "small" / "go").touch()
    asking.join()
    later.join()
    # Who asks again waits for the same moment: the later call's model is not put away as well.
    ask(used)
    first, second = starts(tmp_path)
    assert not Path(f"/proc/{first}").exists()
    monkeypatch.setattr(unload_seconds, 20.0)
    assert used.unload()
    assert not Path(f"/proc/{second}").exists()


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
