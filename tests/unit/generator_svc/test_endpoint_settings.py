"""How the operator names endpoints, and what of it anybody may see."""

import json

import pytest

from generator_svc import __main__ as generator_main
from generator_svc.config import GeneratorSettings
from generator_svc.held_up import HeldUp
from generator_svc.language_models.endpoint_models import EndpointModels
from generator_svc.language_models.endpoints import EndpointsInvalid, read_endpoints

KEY = "sk-0123456789abcdef"
ONE = {"DELTANAS_LLM_BASE_URL": "http://127.0.0.1:8000/v1", "DELTANAS_LLM_MODEL": "qwen"}


def several(**endpoints) -> dict[str, str]:
    return {"DELTANAS_LLM_ENDPOINTS": json.dumps(endpoints)}


def test_nothing_set_names_no_endpoint():
    assert read_endpoints({"PATH": "/bin"}) == {}


def test_three_variables_make_the_default_endpoint():
    endpoint = read_endpoints({**ONE, "DELTANAS_LLM_API_KEY": KEY + "\n"})["default"]
    assert (endpoint.base_url, endpoint.model, endpoint.models) == (
        "http://127.0.0.1:8000/v1",
        "qwen",
        ("qwen",),
    )
    assert endpoint.key == KEY
    assert endpoint.parallel == 8


def test_several_endpoints_have_settings_and_keys_of_their_own():
    written = several(
        **{
            "open-ai": {
                "base_url": "https://api.example.com/v1",
                "model": "big",
                "models": ["small", "big"],
                "usd_per_million_prompt_tokens": 1,
                "usd_per_million_completion_tokens": 2.5,
                "requests_per_minute": 30,
                "extra": {"top_k": None},
            },
            "local": {"base_url": "http://10.0.0.2:8000/v1", "model": "qwen", "parallel": 32},
        }
    )
    endpoints = read_endpoints({**written, **ONE, "DELTANAS_LLM_API_KEY_OPEN_AI": KEY})
    assert endpoints["open-ai"].models == ("big", "small")
    assert (endpoints["open-ai"].key, endpoints["local"].key, endpoints["default"].key) == (KEY, None, None)
    assert endpoints["local"].parallel == 32


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({"DELTANAS_LLM_BASE_URL": "http://h/v1"}, "DELTANAS_LLM_MODEL"),
        ({"DELTANAS_LLM_MODEL": "qwen"}, "DELTANAS_LLM_BASE_URL"),
        ({**ONE, "DELTANAS_LLM_BASE_URL": "127.0.0.1:8000"}, "DELTANAS_LLM_BASE_URL: must be"),
        ({**ONE, "DELTANAS_LLM_BASE_URL": "ftp://h/v1"}, "DELTANAS_LLM_BASE_URL"),
        ({**ONE, "DELTANAS_LLM_BASE_URL": "http://h:x/v1"}, "DELTANAS_LLM_BASE_URL"),
        ({**ONE, "DELTANAS_LLM_BASE_URL": f"http://me:{KEY}@h/v1"}, "credentials"),
        ({**ONE, "DELTANAS_LLM_BASE_URL": f"http://h/v1?key={KEY}"}, "query"),
        ({**ONE, "DELTANAS_LLM_API_KEY": f"{KEY} and\nmore"}, "DELTANAS_LLM_API_KEY"),
        ({**ONE, "DELTANAS_LLM_MODEL": "two words"}, "DELTANAS_LLM_MODEL: "),
        ({"DELTANAS_LLM_ENDPOINTS": "{"}, "not JSON"),
        ({"DELTANAS_LLM_ENDPOINTS": "[" * 100_000}, "not JSON"),
        ({"DELTANAS_LLM_ENDPOINTS": "[]"}, "object"),
        (several(Upper={"base_url": "http://h", "model": "m"}), "Upper"),
        (several(a={"base_url": "http://h"}), "endpoint 'a', model: "),
        (several(a={"base_url": "h", "model": "m"}), "endpoint 'a', base_url: "),
        (several(a={"base_url": "http://h", "model": "m", "api_key": KEY}), "DELTANAS_LLM_API_KEY_A"),
        (several(a={"base_url": "http://h", "model": "m", "key": KEY}), "DELTANAS_LLM_API_KEY_"),
        (several(a={"base_url": "http://h", "model": "m", "parallel": 0}), "parallel"),
        (several(a={"base_url": "http://h", "model": "m", "extra": {"messages": []}}), "messages"),
        (
            several(a={"base_url": "http://h", "model": "m", "extra": {"api_key": KEY}}),
            "'api_key' looks like",
        ),
        (
            several(a={"base_url": "http://h", "model": "m", "extra": {"x": [{"Authorization": KEY}]}}),
            "DELTANAS_LLM_API_KEY_A",
        ),
        (several(a={"base_url": "http://h", "model": "m", "usd_per_million_prompt_tokens": 1}), "both"),
        (
            several(a={"base_url": "http://h", "model": "m", "usd_per_million_prompt_tokens": 1e300}),
            "1000000",
        ),
        (several(a={"base_url": "http://h", "model": "m", "extra": {"x": "y" * 2001}}), "'x' is longer"),
        (several(a={"base_url": "http://h", "model": "m", "extra": {"x": ["y"] * 500}}), "'x' is longer"),
        (several(a={"base_url": "http://h", "model": "m", "extra": {"x" * 61: 1}}), "60 characters"),
        (
            several(a={"base_url": "http://h", "model": "m", "extra": {f"x{n}": n for n in range(25)}}),
            "at most 24",
        ),
        ({**several(default={"base_url": "http://h", "model": "m"}), **ONE}, "both name"),
    ],
)
def test_settings_that_cannot_be_used_are_named_without_a_key(environment, names):
    with pytest.raises(EndpointsInvalid, match=names) as caught:
        read_endpoints(environment)
    assert KEY not in str(caught.value)


def test_service_with_settings_that_cannot_be_used_says_what_to_mend_and_ends(monkeypatch, capsys):
    monkeypatch.setattr(generator_main, "set_up_logs", lambda _service: None)
    monkeypatch.setenv("DELTANAS_SERVICE_TOKEN_SHA256", "0" * 64)
    monkeypatch.setenv("DELTANAS_LLM_MODEL", "qwen")
    monkeypatch.delenv("DELTANAS_LLM_BASE_URL", raising=False)
    assert generator_main.main() == 2
    said = capsys.readouterr().err
    assert said.startswith("DELTANAS_LLM_MODEL is set but DELTANAS_LLM_BASE_URL is not")
    assert said.count("\n") == 1


def test_no_text_of_the_settings_holds_a_key(monkeypatch):
    for name, value in {**ONE, "DELTANAS_LLM_API_KEY": KEY}.items():
        monkeypatch.setenv(name, value)
    settings = GeneratorSettings(service_token_sha256="0" * 64)
    endpoints = settings.endpoints()
    assert endpoints["default"].key == KEY
    for shown in (repr(settings), str(settings), repr(endpoints), str(endpoints["default"])):
        assert KEY not in shown


@pytest.mark.parametrize(
    ("environment", "asked", "code", "remedy"),
    [
        ({}, {}, "endpoint_unknown", "DELTANAS_LLM_BASE_URL"),
        (ONE, {"endpoint": "other"}, "endpoint_unknown", "default"),
        (ONE, {"model": "gpt"}, "model_unknown", "qwen"),
        (ONE, {"adapter": "mine"}, "adapter_unknown", "model's name"),
    ],
)
def test_what_the_operator_did_not_name_is_not_asked_for(environment, asked, code, remedy):
    with pytest.raises(HeldUp) as caught:
        EndpointModels(read_endpoints(environment)).choose(**asked)
    blocked = caught.value.blocked
    assert (blocked.code, blocked.retryable) == (code, False)
    assert remedy in blocked.remedy


def test_one_model_is_chosen_once_and_by_default_of_the_default_endpoint():
    written = several(first={"base_url": "http://h", "model": "m"})
    models = EndpointModels(read_endpoints({**written, **ONE}))
    assert models.choose() is models.choose("default", "qwen")
    assert models.choose("first") is not models.choose()
