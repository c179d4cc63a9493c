"""The parts of asking an endpoint that need none: caps, waits, parameters, what a refusal means, proxies."""

import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator_svc.held_up import HeldUp
from generator_svc.language_models.admission import Admission
from generator_svc.language_models.answer_reading import AnswerReading
from generator_svc.language_models.endpoint_failures import Meaning, meaning_of, refusal
from generator_svc.language_models.endpoints import Endpoint
from generator_svc.language_models.exchange import proxy_for
from generator_svc.language_models.port import MAX_ANSWER_BYTES, Sampling
from generator_svc.language_models.rate_caps import RateCaps
from generator_svc.language_models.request_dialect import Dialect, parameters
from generator_svc.language_models.retries import Backoff, Patience, parse_retry_after

# --- caps ---------------------------------------------------------------------------------------------------


@given(
    requests=st.integers(1, 5) | st.none(),
    tokens=st.integers(1, 500) | st.none(),
    came=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 200)), max_size=30),
)
def test_no_minute_holds_more_than_its_caps_and_nobody_is_overtaken(requests, tokens, came):
    caps, now, left = RateCaps(requests, tokens), 1000.0, []
    for pause, wanted in came:
        now += pause
        booking = caps.book(wanted, now)
        assert booking.leaves_at >= now
        left.append((booking.leaves_at, wanted))
    assert [moment for moment, _ in left] == sorted(moment for moment, _ in left)
    for moment, _ in left:
        minute = [wanted for other, wanted in left if moment - 60 < other <= moment]
        assert requests is None or len(minute) <= requests
        assert tokens is None or sum(minute) <= tokens or len(minute) == 1


def test_request_leaves_at_once_where_there_is_room():
    caps = RateCaps(2, None)
    assert [caps.book(1, 5.0).leaves_at for _ in range(3)] == [5.0, 5.0, 65.0]
    assert caps.book(1, 200.0).leaves_at == 200.0


def test_tokens_that_were_not_used_are_free_for_others():
    caps = RateCaps(None, 100)
    first = caps.book(90, 0.0)
    first.tokens = 10
    assert caps.book(90, 1.0).leaves_at == 1.0
    assert caps.book(1, 2.0).leaves_at == 60.0


def test_withdrawn_request_leaves_its_place():
    caps = RateCaps(1, None)
    caps.withdraw(caps.book(1, 0.0))
    assert caps.book(1, 0.0).leaves_at == 0.0


def test_pause_that_the_endpoint_asked_for_holds_for_all():
    caps = RateCaps(None, None)
    caps.hold_off(30.0)
    assert caps.book(1, 10.0).leaves_at == 30.0
    assert [caps.pause_seconds(now) for now in (10.0, 30.0, 99.0)] == [20.0, 0.0, 0.0]


def test_pause_that_the_endpoint_asked_for_is_not_told_as_the_operators_own_caps():
    admission = Admission(Endpoint(name="default", base_url="http://llm:8000/v1", model="m"))
    admission.hold_off(60)
    with pytest.raises(HeldUp) as caught, admission.entered(1, 10.0, threading.Event()):
        pass
    blocked = caught.value.blocked
    assert (blocked.code, blocked.retryable) == ("rate_limited", True)
    assert "llm:8000) asked for a pause" in blocked.message
    assert 49 < blocked.retry_after_seconds <= 50


# --- waits --------------------------------------------------------------------------------------------------


@given(st.integers(1, 10_000))
def test_waits_grow_and_stay_bounded(failures):
    assert 0.25 <= Backoff().wait_seconds(failures) <= 20


def test_patience_ends():
    patience = Patience(10.0, Backoff(2.0, 2.0))
    waits = []
    while (wait := patience.next_wait(None)) is not None:
        waits.append(wait)
        patience.spend(0.5)
    assert 4 <= len(waits) <= 8
    assert sum(waits) <= 10
    assert Patience(10.0, Backoff()).next_wait(5.0) == 5.0
    assert Patience(10.0, Backoff()).next_wait(11.0) is None


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("1e300", 86400.0),
        ("inf", 86400.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("9" * 100, None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 99 Nov 2026 11:00:00 GMT", None),
        ("Sun, 22 Nov 99999999999999999999 11:00:00 GMT", None),
        ("Sun, 22 Nov 2026 11:00:00 +99999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(written, seconds):
    assert parse_retry_after(written, datetime(2026, 11, 22, 12, tzinfo=UTC)) == seconds


# --- what a refusal means -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        # OpenAI
        (400, {"error": {"message": "…", "code": "context_length_exceeded"}}, Meaning.PROMPT_TOO_LONG),
        (404, {"error": {"message": "…", "code": "model_not_found"}}, Meaning.MODEL),
        (429, {"error": {"message": "…", "type": "insufficient_quota"}}, Meaning.QUOTA),
        (400, {"error": {"message": "Unsupported parameter: 'max_tokens'"}}, Meaning.REFUSED),
        # vLLM
        (
            400,
            {
                "error": {
                    "message": "You passed 1015 input tokens and requested 10 output tokens. However, the "
                    "model's context length is only 1024 tokens. (parameter=input_tokens, value=1015)",
                    "param": "input_tokens",
                    "code": 400,
                }
            },
            Meaning.PROMPT_TOO_LONG,
        ),
        (404, {"error": {"message": "The model `x` does not exist.", "code": 404}}, Meaning.MODEL),
        # llama.cpp
        (
            400,
            {"error": {"code": 400, "message": "…", "type": "exceed_context_size_error"}},
            Meaning.PROMPT_TOO_LONG,
        ),
        (503, {"error": {"message": "Loading model", "type": "unavailable_error"}}, Meaning.TRY_AGAIN),
        # Ollama
        (404, {"error": {"message": "model 'x' not found"}}, Meaning.MODEL),
        # others
        (402, {"error": {"message": "Insufficient Balance"}}, Meaning.QUOTA),
        (413, "Request Entity Too Large", Meaning.PROMPT_TOO_LONG),
        (400, {"error": {"code": "content_filter"}}, Meaning.FILTERED),
        (405, "Method Not Allowed", Meaning.NOT_THERE),
        (529, {"type": "error", "error": {"type": "overloaded_error"}}, Meaning.TRY_AGAIN),
    ],
)
def test_refusals_are_understood_in_the_words_of_each_server(status, body, meaning):
    assert meaning_of(refusal(status, body, None)) is meaning


@given(st.text(max_size=50), st.text(max_size=50))
def test_words_of_an_endpoint_are_one_bounded_line_without_the_key(before, after):
    key = "sk-0123456789abcdef"
    padded = before * 200 + key + after * 200
    said = refusal(400, {"error": padded}, key)
    assert key not in said.words
    assert len(said.words) <= 4096
    assert said.words.isprintable()


def test_key_that_is_cut_is_struck_out_all_the_same():
    key = "sk-0123456789abcdef"
    assert "sk-0" not in refusal(400, "x" * 4090 + key, key).words


# --- parameters ---------------------------------------------------------------------------------------------


def test_parameter_is_left_out_only_when_it_is_refused_by_name():
    sent = parameters(Sampling(), 1, {}, Dialect())
    unnamed = refusal(400, {"error": {"message": "something is wrong"}}, None)
    assert Dialect().after(unnamed, sent) is None
    assert Dialect().after(refusal(500, "top_k", None), sent) is None
    named = Dialect().after(refusal(400, {"error": {"message": "?", "param": "seed"}}, None), sent)
    assert named is not None
    assert "seed" not in parameters(Sampling(), 2, {}, named)
    assert named.after(refusal(400, {"error": {"message": "?", "param": "seed"}}, None), sent) is None


def test_value_that_is_refused_is_not_left_out_of_the_requests_of_others():
    hot = Sampling(temperature=1.9)
    refused = refusal(400, {"error": {"message": "temperature must be at most 1"}}, None)
    named = Dialect().after(refused, parameters(hot, 1, {}, Dialect()))
    assert named is not None
    assert "temperature" not in parameters(hot, 1, {}, named)
    assert parameters(Sampling(), 1, {}, named)["temperature"] == 0.35


def test_limit_of_tokens_is_renamed_and_never_left_out():
    sent = parameters(Sampling(max_tokens=9), 1, {}, Dialect())
    assert Dialect().after(refusal(400, "max_tokens is too large", None), sent) is None
    renamed = Dialect().after(refusal(400, "use max_completion_tokens", None), sent)
    assert renamed is not None
    assert parameters(Sampling(max_tokens=9), 1, {}, renamed)["max_completion_tokens"] == 9


# --- reading ------------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "content", "type", "text", "usage", "prompt_tokens", "finish_reason"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(_JSON, max_size=5))
def test_events_of_any_form_are_read_or_passed_over(events):
    reading = AnswerReading()
    for event in events:
        reading.add(event)
    assert isinstance(reading.text(None), str)
    assert reading.prompt_tokens is None or reading.prompt_tokens >= 0


def test_answer_in_parts_is_read_without_its_thoughts():
    reading = AnswerReading()
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    parts = [thought, {"type": "text", "text": "a"}, {"type": "text", "text": 1}, "x", None]
    reading.add({"choices": [{"delta": {"content": parts}}]})
    reading.add({"choices": [{"delta": {"content": "b"}}]})
    assert (reading.text(None), reading.size) == ("ab", 2)


def test_text_is_cut_at_a_whole_character():
    reading = AnswerReading()
    reading.add({"choices": [{"delta": {"content": "x" + "é" * MAX_ANSWER_BYTES}}]})
    assert reading.is_too_long
    assert len(reading.text(None).encode()) == MAX_ANSWER_BYTES - 1


# --- proxies ------------------------------------------------------------------------------------------------


def test_proxy_is_that_of_the_process_and_never_for_this_machine(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "llm.intern,10.0.0.2")
    assert proxy_for("https://api.example.com/v1") == "http://proxy.example:3128"
    assert proxy_for("http://api.example.com/v1") is None
    assert proxy_for("https://llm.intern:8443/v1") is None
    assert proxy_for("https://10.0.0.2/v1") is None
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example:1080")
    assert proxy_for("http://api.example.com/v1") == "socks5://proxy.example:1080"
    for here in ("http://127.0.0.1:8000/v1", "http://localhost/v1", "http://[::1]:8000/v1"):
        assert proxy_for(here) is None
