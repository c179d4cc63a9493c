"""Our side of OpenAI's chat interface against a server that is not ours, with real weights behind it."""

import json

import pytest
from openai_server_process import transformers_serve
from smollm2_model import smollm2_home

from contracts.chats import ChatMessage
from generator_svc.held_up import HeldUp
from generator_svc.language_models.endpoint_models import EndpointModels
from generator_svc.language_models.endpoints import Endpoint
from generator_svc.language_models.port import ChatRequest, Sampling

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    model = smollm2_home() / "models" / "smollm2"
    process = transformers_serve(model, tmp_path_factory.mktemp("server") / "home")
    process.start()
    yield process
    process.kill()


def model_of(server, model=None, **settings):
    usual = {"name": "local", "model": server.model, "models": (server.model, "other"), "parallel": 2}
    endpoint = Endpoint(base_url=server.base_url, **{**usual, "patience_seconds": 20.0, **settings})
    return EndpointModels({"local": endpoint}).choose(model=model)


def request(key: int, words: str, seed: int) -> ChatRequest:
    return ChatRequest(key, (ChatMessage("user", words),), seed)


def test_slots_are_answered_by_real_weights_and_their_tokens_counted(server):
    model = model_of(
        server, usd_per_million_prompt_tokens=1.0, usd_per_million_completion_tokens=2.0, timeout_seconds=300
    )
    model.check()
    asked = [request(key, "Say hello in five words.", key) for key in range(3)]
    given = list(model.answers(asked, Sampling(temperature=0.7, max_tokens=12)))
    assert {answer.key for answer in given} == {0, 1, 2}
    for answer in given:
        assert answer.text.strip()
        assert answer.finish_reason in {"stop", "length"}
        assert 0 < answer.completion_tokens <= 12
        assert answer.prompt_tokens > 5
        assert answer.cost_usd == pytest.approx((answer.prompt_tokens + 2 * answer.completion_tokens) / 1e6)
        # This server refuses what it does not know.
        assert answer.sampling == {"temperature": 0.7, "top_p": 0.9, "max_tokens": 12, "seed": answer.key}


def test_a_seed_repeats_its_answer_and_another_gives_another(server):
    # This server draws answers only where a model's own settings, or an endpoint's `extra`, say so.
    draws = {"generation_config": json.dumps({"do_sample": True})}
    model = model_of(server, parallel=1, timeout_seconds=300, extra=draws)
    asked = [request(0, "Write a word.", 1), request(1, "Write a word.", 1), request(2, "Write a word.", 2)]
    said = {
        answer.key: answer.text for answer in model.answers(asked, Sampling(temperature=1.5, max_tokens=12))
    }
    assert said[0] == said[1] != said[2]


def test_a_model_that_goes_on_and_on_is_cut_in_time_and_the_server_is_free_again(server):
    story = request(0, "Tell me a very long story of a dragon.", 3)
    (answer,) = model_of(server, timeout_seconds=5).answers([story], Sampling(max_tokens=4096))
    assert answer.finish_reason == "timeout"
    assert answer.text.strip()
    (short,) = model_of(server, timeout_seconds=300).answers([story], Sampling(max_tokens=2))
    assert (short.finish_reason, short.completion_tokens) == ("length", 2)


def test_a_model_that_is_not_served_is_told_by_name(server):
    with pytest.raises(HeldUp) as caught:
        list(model_of(server, "other").answers([request(0, "Hello.", 1)], Sampling(max_tokens=2)))
    assert (caught.value.blocked.code, caught.value.blocked.retryable) == ("model_unknown", False)


@pytest.mark.full
def test_a_server_that_dies_in_the_middle_holds_up_and_after_its_return_answers(server):
    model = model_of(server, patience_seconds=2.0, timeout_seconds=300)
    quick, long = request(0, "Hi.", 1), request(1, "Tell me a very long story of a dragon.", 2)
    (before,) = model.answers([quick], Sampling(max_tokens=2))
    assert before.key == 0
    answers = model_of(server, patience_seconds=2.0, parallel=1).answers(
        [quick, long], Sampling(max_tokens=400)
    )
    assert next(answers).key == 0
    server.kill()
    with pytest.raises(HeldUp) as caught:
        next(answers)
    assert caught.value.blocked.code in {"endpoint_failed", "endpoint_unreachable"}
    assert caught.value.blocked.retryable
    server.start()
    (after,) = model.answers([quick], Sampling(max_tokens=2))
    assert after.text == before.text
