"""A model's process whose libraries fail at one prompt, at all of them, or run out of memory."""

import contextlib
import io
import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from fakes import FakeInbox, PowerCut
from tiny_language_model import add_tiny_model

from generator_svc.language_models.local.weights import decoding
from generator_svc.language_models.local.weights.serving import serve

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

POISON = "class Net(torch.nn.Module): " * 9


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return add_tiny_model(tmp_path_factory.mktemp("home"))


@pytest.fixture
def heard(stored, monkeypatch):
    """What a process says to calls, after which it is ended or has ended itself."""

    def breaking_at(error: Exception, longest: int):
        whole = decoding.prefill

        def prefill(model, prompt):
            if len(prompt) > longest:
                raise error
            return whole(model, prompt)

        monkeypatch.setattr(decoding, "prefill", prefill)

    def hear(*calls: dict, error: Exception, longest: int = 40) -> list[dict]:
        breaking_at(error, longest)
        out = io.BytesIO()
        said = []
        out.close = lambda: said.append(out.getvalue())
        with contextlib.suppress(PowerCut):
            serve(stored.folder, FakeInbox(*calls), out)
        return [json.loads(line) for line in said[0].splitlines()]

    return hear


def call(number: int, *texts: str) -> dict:
    requests = [
        {"key": key, "seed": key, "messages": [{"role": "user", "content": text}]}
        for key, text in enumerate(texts)
    ]
    sampling = {"temperature": 1.0, "top_p": 1.0, "top_k": None, "max_tokens": 5, "adapter": None}
    return {"call": number, "requests": requests, "seconds": 60.0, **sampling}


def test_a_prompt_that_breaks_the_libraries_costs_itself_alone(heard, capfd):
    events = heard(call(1, "One.", POISON, "Two."), call(2, "Three."), error=KeyError("secret prompt"))
    answered = {(event["call"], event["key"]): event for event in events if event["event"] == "answered"}
    assert answered.keys() == {(1, 0), (1, 1), (1, 2), (2, 0)}
    broken = {key for key, event in answered.items() if event["finish_reason"] == "generation_failed"}
    assert broken == {(1, 1)}
    assert answered[1, 1]["text"] == ""
    assert [event["call"] for event in events if event["event"] == "ended"] == [1, 2]
    told = capfd.readouterr().err
    assert "KeyError" in told
    assert "secret" not in told


def test_a_model_that_breaks_at_every_prompt_is_told_of_and_answers_nothing(heard):
    events = heard(call(1, "One.", "Two."), call(2, "Three."), error=KeyError("broken"), longest=0)
    assert [event["event"] for event in events] == ["ready", "failed"]
    assert (events[1]["code"], events[1]["lasting"]) == ("model_failed", True)
    assert "KeyError" in events[1]["message"]


def test_a_lone_prompt_breaks_the_model_only_where_that_has_written_nothing(heard):
    alone = heard(call(1, POISON), error=KeyError("broken"))
    later = heard(call(1, "One."), call(2, POISON), error=KeyError("broken"))
    assert alone[-1]["code"] == "model_failed"
    assert later[-2]["finish_reason"] == "generation_failed"


def test_memory_that_runs_out_at_one_prompt_is_told_as_that(heard):
    events = heard(call(1, "One.", POISON), error=MemoryError("no room"))
    assert (events[-1]["event"], events[-1]["code"]) == ("failed", "out_of_memory")
