"""A real vLLM beside us: it serves what fine-tunes write as it is, and proposers ask it as any endpoint."""

import pytest
from openai_server_process import vllm_serve
from processes import until
from sample_chats import body, chat
from smollm2_model import NAME, smollm2_home

from contracts.chats import ChatMessage
from generator_svc.fine_tuning.desk import FineTuneDesk
from generator_svc.fine_tuning.limits import FineTuneLimits
from generator_svc.held_up import HeldUp
from generator_svc.language_models.endpoint_models import EndpointModels
from generator_svc.language_models.endpoints import Endpoint
from generator_svc.language_models.port import ChatRequest, Sampling

pytestmark = [pytest.mark.full, pytest.mark.slow, pytest.mark.timeout(1800)]

TRAINING = {
    "model": NAME,
    "preset": "cpu",
    "rank": 32,
    "learning_rate": 0.001,
    "max_steps": 4,
    "accumulation": 1,
}
LEARNT = [("train", chat(width)) for width in range(33, 37)] + [("validation", chat(60))]
QUESTION = chat(48)[:-1]
TOKENS = 24


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """SmolLM2 with one adapter, `learnt`, that the fine-tune service has trained."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").symlink_to(smollm2_home() / "models")
    desk = FineTuneDesk(home, FineTuneLimits(threads=2))
    desk.start()
    try:
        with desk.intake() as intake:
            intake.write(body(TRAINING, *LEARNT))
            desk.accept("learnt", intake)
        until(lambda: desk.status("learnt").state.is_terminal, 600, "an adapter")
        ended = desk.status("learnt")
    finally:
        desk.stop()
    assert ended.result is not None, ended
    assert ended.result.use == "learnt"
    return home


@pytest.fixture(scope="module")
def server(home, tmp_path_factory):
    folders = {"learnt": home / "adapters" / "learnt"}
    process = vllm_serve(home / "models" / NAME, folders, tmp_path_factory.mktemp("server") / "home")
    process.start()
    yield process
    process.kill()


def asked(server, model: str, requests: list[ChatRequest], sampling: Sampling, parallel: int = 1) -> dict:
    models = ("base", "learnt", "unheard-of")
    settings = {"model": "base", "models": models, "parallel": parallel, "patience_seconds": 20.0}
    endpoint = Endpoint(name="vllm", base_url=server.base_url, **settings)
    chosen = EndpointModels({"vllm": endpoint}).choose(model=model)
    return {answer.key: answer for answer in chosen.answers(requests, sampling)}


def with_peft(home, adapter: str | None) -> str:
    """What the weights themselves go on with, in float32, without any server."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = home / "models" / NAME
    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, home / "adapters" / adapter)
    turns = [{"role": message.role, "content": message.content} for message in QUESTION]
    prompt = words.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    written = model.eval().generate(**prompt, max_new_tokens=TOKENS, do_sample=False)
    return words.decode(written[0][prompt["input_ids"].shape[1] :], skip_special_tokens=True)


def test_vllm_serves_an_adapter_as_it_was_written(home, server):
    surest = Sampling(temperature=0.0, top_p=1.0, top_k=None, max_tokens=TOKENS)
    said = {
        name: asked(server, name, [ChatRequest(0, QUESTION, 1)], surest)[0].text
        for name in ("base", "learnt")
    }
    assert said == {"base": with_peft(home, None), "learnt": with_peft(home, "learnt")}
    assert said["base"] != said["learnt"]


def test_slots_are_answered_at_once_and_a_seed_repeats_its_answer(server):
    words = (ChatMessage("user", "Write a word."),)
    requests = [ChatRequest(key, words, seed) for key, seed in enumerate((7, 7, 8, 9))]
    answers = asked(server, "base", requests, Sampling(temperature=1.5, max_tokens=12), parallel=4)
    assert sorted(answers) == [0, 1, 2, 3]
    for answer in answers.values():
        assert answer.finish_reason in {"stop", "length"}
        assert 0 < answer.completion_tokens <= 12
        assert answer.prompt_tokens > 5
        # vLLM takes all that we send, `top_k` too.
        sent = {"temperature": 1.5, "top_p": 0.9, "top_k": 50, "max_tokens": 12}
        assert answer.sampling == {**sent, "seed": requests[answer.key].seed}
    assert answers[0].text == answers[1].text
    assert len({answers[0].text, answers[2].text, answers[3].text}) == 3


def test_a_prompt_beyond_its_context_costs_one_slot_and_names_why(server):
    long = ChatRequest(0, (ChatMessage("user", "again and " * 4_000),), 1)
    answers = asked(server, "learnt", [long, ChatRequest(1, QUESTION, 1)], Sampling(max_tokens=2))
    assert answers[0].finish_reason == "prompt_too_long"
    assert answers[1].completion_tokens == 2


def test_a_model_that_it_does_not_serve_is_told_by_name(server):
    with pytest.raises(HeldUp) as caught:
        asked(server, "unheard-of", [ChatRequest(0, QUESTION, 1)], Sampling(max_tokens=2))
    assert (caught.value.blocked.code, caught.value.blocked.retryable) == ("model_unknown", False)
