"""What the generator makes of an endpoint that answers well, ill, late, too much, or not at all."""

import contextvars
import gzip
import socket
import threading
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processes import until
from stand_in_endpoint import (
    DONE,
    Connection,
    endless,
    event,
    head,
    refusing,
    saying,
    sending,
    sse,
    stand_in,
    usage,
)

from contracts.chats import ChatMessage
from generator_svc.held_up import HeldUp
from generator_svc.language_models import exchange, openai_compatible
from generator_svc.language_models.departure import ASKER_LEFT
from generator_svc.language_models.endpoint_models import EndpointModels
from generator_svc.language_models.endpoints import Endpoint
from generator_svc.language_models.port import MAX_ANSWER_BYTES, ChatRequest, Sampling
from generator_svc.language_models.retries import Backoff

KEY = "sk-0123456789abcdef-secret"


_BOMB = gzip.compress(b" " * 10_000_000)


@pytest.fixture
def server():
    with stand_in() as one:
        yield one


def model_at(base_url: str, **settings_of_it):
    known = {"name": "default", "model": "m", "models": ("m",), "patience_seconds": 0.3, **settings_of_it}
    endpoint = Endpoint(base_url=base_url, **known)
    return EndpointModels({endpoint.name: endpoint}, Backoff(0.01, 0.05)).choose()


def ask(model, count: int = 1, sampling: Sampling | None = None) -> list:
    return list(model.answers(requests(count), sampling or Sampling()))


def requests(count: int) -> list[ChatRequest]:
    words = (ChatMessage("system", "You write deltas."), ChatMessage("user", "Change it."))
    return [ChatRequest(key=n, messages=words, seed=2**40 + n) for n in range(count)]


def was_left(connection: Connection) -> bool:
    assert connection.ended.wait(20)
    return connection.was_left


def held_up(model, count: int = 1):
    with pytest.raises(HeldUp) as caught:
        ask(model, count)
    return caught.value.blocked


# --- what is sent and what comes back ------------------------------------------------------------------


def test_answer_says_what_was_sent_what_was_said_and_what_it_cost(server):
    server.will(saying("--- a", "\n+++ b", prompt=1000, completion=200))
    model = model_at(
        server.base_url,
        key=KEY,
        usd_per_million_prompt_tokens=2.0,
        usd_per_million_completion_tokens=10.0,
        extra={"reasoning_effort": "low"},
    )
    (answer,) = ask(model, sampling=Sampling(temperature=0.5, top_p=0.8, top_k=40, max_tokens=77))
    assert (answer.key, answer.text, answer.finish_reason) == (0, "--- a\n+++ b", "stop")
    assert (answer.prompt_tokens, answer.completion_tokens) == (1000, 200)
    assert answer.cost_usd == pytest.approx(0.004)
    assert answer.model == "default/m"
    sent = server.heard[0].body
    assert sent["messages"] == [
        {"role": "system", "content": "You write deltas."},
        {"role": "user", "content": "Change it."},
    ]
    assert (sent["model"], sent["stream"], sent["stream_options"]) == ("m", True, {"include_usage": True})
    expected = {"temperature": 0.5, "top_p": 0.8, "top_k": 40, "max_tokens": 77, "reasoning_effort": "low"}
    assert answer.sampling == {**expected, "seed": 2**40 % 2**31}
    assert {name: sent[name] for name in answer.sampling} == answer.sampling


def test_endpoint_that_does_not_stream_is_understood(server):
    document = {"choices": [{"message": {"content": "whole"}, "finish_reason": "length"}], "usage": None}
    server.will(refusing(200, document))
    (answer,) = ask(model_at(server.base_url))
    assert (answer.text, answer.finish_reason) == ("whole", "length")
    assert (answer.prompt_tokens, answer.completion_tokens, answer.cost_usd) == (None, None, None)


def test_endpoint_learns_nothing_of_this_machine_and_no_key_that_is_not_its_own(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "of-another-account")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-another-account")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-more: of-another-account")
    server.will(saying("x"))
    ask(model_at(server.base_url))
    known = {
        "host",
        "accept",
        "content-type",
        "content-length",
        "user-agent",
        "accept-encoding",
        "connection",
    }
    assert set(server.heard[0].headers) <= known
    assert "another" not in str(server.heard[0].headers)


def test_answers_are_given_as_they_arrive(server):
    release = threading.Event()

    def late_for_the_first(connection: Connection) -> None:
        if connection.body["seed"] == 2**40 % 2**31:
            release.wait(20)
        saying("x")(connection)

    server.will(late_for_the_first)
    answers = model_at(server.base_url).answers(requests(3), Sampling())
    assert {next(answers).key, next(answers).key} == {1, 2}
    release.set()
    assert [answer.key for answer in answers] == [0]


def test_no_more_requests_at_once_than_the_endpoint_may_have_from_all_searches_together(server):
    both_there = threading.Barrier(2, timeout=20)

    def in_pairs(connection: Connection) -> None:
        both_there.wait()
        saying("x")(connection)

    server.will(in_pairs)
    model = model_at(server.base_url, parallel=2)
    others: list = []
    search = threading.Thread(target=lambda: others.extend(ask(model, 4)))
    search.start()
    assert len(ask(model, 4)) == 4
    search.join(20)
    assert len(others) == 4
    assert server.most_at_once == 2


# --- answers that are too much, too slow, or hardly any ------------------------------------------------


def test_endless_answer_is_cut_and_its_connection_closed(server):
    server.will(endless(event("é" * 500), after=head()))
    (answer,) = ask(model_at(server.base_url))
    assert answer.finish_reason == "too_long"
    assert MAX_ANSWER_BYTES - 2 <= len(answer.text.encode()) <= MAX_ANSWER_BYTES
    assert answer.prompt_tokens is None
    assert was_left(server.heard[0])


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(
            endless(b"x" * 65536, after=head(kind="application/json") + b'{"choices": [{"message": "'),
            id="document",
        ),
        pytest.param(endless(b"x" * 65536, after=head() + b"data: "), id="line without an end"),
        pytest.param(endless(b"data: " + b"x" * 4000 + b"\n", after=head()), id="event without an end"),
        pytest.param(endless(b"x-more: x\r\n" * 1000, after=b"HTTP/1.1 200 OK\r\n"), id="headers"),
        pytest.param(endless(_BOMB, after=head(content_encoding="gzip")), id="gzip bomb"),
    ],
)
def test_flood_is_the_endpoints_failure_and_is_not_read_to_its_end(server, flood):
    server.will(flood)
    blocked = held_up(model_at(server.base_url, patience_seconds=0.0))
    assert (blocked.code, blocked.retryable) == ("endpoint_failed", True)
    assert was_left(server.heard[0])


def test_flood_of_small_events_is_not_read_to_its_end(server, monkeypatch):
    monkeypatch.setattr(exchange, "_MAX_EVENTS", 500)
    server.will(endless(sse(1) * 1000, after=head()))
    assert held_up(model_at(server.base_url, patience_seconds=0.0)).code == "endpoint_failed"
    assert was_left(server.heard[0])


def test_pause_whose_date_no_calendar_has_is_passed_over(server):
    server.will(
        refusing(429, "slow", retry_after="Sun, 22 Nov 99999999999999999999 11:00:00 GMT"), saying("x")
    )
    assert [answer.text for answer in ask(model_at(server.base_url))] == ["x"]


def test_answer_that_does_not_end_in_time_is_kept_as_far_as_it_came(server):
    server.will(endless(event("drip "), pause_seconds=0.05, after=head()))
    (answer,) = ask(model_at(server.base_url, timeout_seconds=0.5))
    assert answer.finish_reason == "timeout"
    assert answer.text.startswith("drip drip")
    assert was_left(server.heard[0])


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param(Connection.wait, id="silent"),
        pytest.param(endless(b"x", 0.05, after=b"HTTP/1.1 200 OK\r\nx-slow: "), id="dripping headers"),
        pytest.param(endless(b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.01), id="endless preliminaries"),
        pytest.param(endless(b": wait\n\n", 0.05, after=head()), id="comments alone"),
    ],
)
def test_endpoint_that_says_nothing_in_time_is_unreachable(server, slow):
    server.will(slow)
    blocked = held_up(model_at(server.base_url, timeout_seconds=0.3, patience_seconds=0.1))
    assert (blocked.code, blocked.retryable) == ("endpoint_unreachable", True)
    assert "0.3 seconds" in blocked.message
    assert was_left(server.heard[0])


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(
            endless(b": still here\n\n", 0.05, after=head() + event("all", finish="stop")), id="stays"
        ),
        pytest.param(
            sending(head(transfer_encoding="chunked"), b"fff\r\n" + event("all", finish="stop")), id="dies"
        ),
    ],
)
def test_answer_that_is_complete_counts_although_its_stream_does_not_end(server, end):
    server.will(end)
    (answer,) = ask(model_at(server.base_url, timeout_seconds=0.5, patience_seconds=0.0))
    assert (answer.text, answer.finish_reason) == ("all", "stop")


def test_answer_without_any_choice_is_an_answer_without_words(server):
    server.will(sending(head(), usage(5, 0), DONE))
    (answer,) = ask(model_at(server.base_url))
    assert (answer.text, answer.finish_reason, answer.prompt_tokens) == ("", "no_choice", 5)


def test_text_that_no_store_takes_is_mended(server):
    events = b'data: {"choices":[{"delta":{"content":"a\\u0000b\\ud83d"}}]}\n\n'
    events += b'data: {"choices":[{"delta":{"content":"\\ude00\\udfff"}}]}\n\n'
    server.will(sending(head(), events, event(finish="stop<script>" + "x" * 100), DONE))
    (answer,) = ask(model_at(server.base_url))
    assert answer.text == "a\ufffdb\U0001f600\ufffd"
    assert answer.finish_reason == "stopscript" + "x" * 28


# --- failures that may pass ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(refusing(500, {"error": {"message": "boom"}}), id="500"),
        pytest.param(refusing(503, "Loading model"), id="503"),
        pytest.param(refusing(429, {"error": {"message": "slow down"}}), id="429"),
        pytest.param(sending(head(), event("half")), id="dies in the middle"),
        pytest.param(sending(b""), id="hangs up"),
        pytest.param(sending(head(), b"data: {not json\n\n"), id="garbage events"),
        pytest.param(sending(head(), b"\xff\xfe\x00"), id="garbage stream"),
        pytest.param(sending(head(), sse([1, 2]), sse("x"), sse(None), DONE), id="events of another form"),
        pytest.param(sending(head(kind="application/json"), b'{"choices": [{'), id="garbage document"),
        pytest.param(sending(head(kind="application/json"), b"[" * 100_000), id="deep document"),
        pytest.param(sending(head(), sse({"error": {"message": "worker died"}})), id="error in the stream"),
        pytest.param(sending(b"\x00\x01garbage\r\n\r\n"), id="not HTTP"),
    ],
)
def test_failure_that_passes_costs_nothing_but_time(server, failure):
    server.will(failure, failure, saying("well"))
    (answer,) = ask(model_at(server.base_url, patience_seconds=200))
    assert answer.text == "well"
    assert len(server.heard) == 3


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (refusing(502, {"error": "bad gateway"}), "endpoint_failed"),
        (refusing(429, "slow down"), "rate_limited"),
        (sending(head(), b"data: half"), "endpoint_failed"),
        (sending(head(kind="application/json"), b"}{"), "endpoint_failed"),
    ],
)
def test_failure_that_lasts_holds_up_once_patience_is_over(server, failure, code):
    server.will(failure)
    blocked = held_up(model_at(server.base_url))
    assert (blocked.code, blocked.retryable) == (code, True)
    assert "default" in blocked.message
    assert blocked.remedy


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    blocked = held_up(model_at(f"http://127.0.0.1:{port}/v1"))
    assert (blocked.code, blocked.retryable) == ("endpoint_unreachable", True)
    assert f"127.0.0.1:{port}" in blocked.message


def test_retry_after_is_waited_for(server):
    times = []

    def note(connection: Connection) -> None:
        times.append(time.monotonic())
        (refusing(429, "slow down", retry_after="1") if len(times) == 1 else saying("x"))(connection)

    server.will(note)
    assert len(ask(model_at(server.base_url, patience_seconds=5))) == 1
    assert times[1] - times[0] >= 0.9


def test_retry_after_beyond_patience_is_told_at_once(server):
    server.will(refusing(429, "slow down", retry_after="3600"))
    model = model_at(server.base_url, patience_seconds=5)
    blocked = held_up(model)
    assert (blocked.code, blocked.retryable, blocked.retry_after_seconds) == ("rate_limited", True, 3600)
    assert held_up(model).retry_after_seconds > 800
    assert len(server.heard) == 1, "others are held off, too"


def test_answers_of_others_are_given_before_what_holds_one_up(server):
    def only_the_first_fails(connection: Connection) -> None:
        first = connection.body["seed"] == 2**40 % 2**31
        (refusing(500, "boom") if first else saying("well"))(connection)

    server.will(only_the_first_fails)
    answers = model_at(server.base_url, patience_seconds=0.2).answers(requests(4), Sampling())
    assert {next(answers).key for _ in range(3)} == {1, 2, 3}
    with pytest.raises(HeldUp):
        next(answers)


def test_own_caps_are_kept_and_told(server):
    server.will(saying("x"))
    model = model_at(server.base_url, requests_per_minute=2)
    assert len(ask(model, 2)) == 2
    blocked = held_up(model)
    assert blocked.code == "rate_limited"
    assert 50 < blocked.retry_after_seconds <= 60
    assert len(server.heard) == 2


def test_who_asks_may_be_less_patient_than_the_endpoint_and_never_more(server):
    server.will(refusing(500, "boom"))
    (one,) = requests(1)

    def tries(endpoint_seconds: float, asked_seconds: float | None) -> int:
        before = len(server.heard)
        model = model_at(server.base_url, patience_seconds=endpoint_seconds)
        with pytest.raises(HeldUp):
            list(model.answers([replace(one, patience_seconds=asked_seconds)], Sampling()))
        return len(server.heard) - before

    assert tries(60.0, 0.0) == 1
    assert tries(0.3, None) > 2
    assert tries(0.0, 60.0) == 1


def test_answer_that_breaks_off_again_and_again_is_not_paid_for_without_end(server):
    broken_off = sending(head(), event("half of"))
    server.will(broken_off)
    model = model_at(server.base_url, patience_seconds=0.0)
    told = [held_up(model) for _ in range(6)]
    assert [blocked.code for blocked in told] == ["endpoint_failed"] * 6
    assert [blocked.retryable for blocked in told] == [True, True, True, True, False, False]
    assert "broke off 5 answers to one prompt" in told[4].message
    assert len(server.heard) == 6
    server.will(saying("x"))
    ask(model)
    server.will(broken_off)
    assert held_up(model).retryable


PRICES = {"usd_per_million_prompt_tokens": 1000.0, "usd_per_million_completion_tokens": 10_000.0}
PROMPT_TOKENS = len("You write deltas.") // 4 + 8 + len("Change it.") // 4 + 8
"""About, of `requests`, where no endpoint counts them."""


def test_an_answer_that_is_cut_by_time_costs_what_was_sent_and_had_come(server):
    server.will(endless(event("drip "), pause_seconds=0.05, after=head()))
    (answer,) = ask(model_at(server.base_url, timeout_seconds=0.5, **PRICES))
    assert (answer.prompt_tokens, answer.tokens_estimated) == (PROMPT_TOKENS, True)
    assert answer.completion_tokens >= answer.text.count("drip") - 1 > 0
    spent = (PROMPT_TOKENS * 1000 + answer.completion_tokens * 10_000) / 1e6
    assert answer.cost_usd == pytest.approx(spent)


def test_tries_that_break_off_are_paid_for_with_the_answer_that_comes_in_the_end(server):
    broken_off = sending(head(), event("half "), event("of "), event("it"))
    server.will(broken_off, broken_off, saying("whole", prompt=30, completion=5))
    (answer,) = ask(model_at(server.base_url, **PRICES))
    assert (answer.text, answer.tokens_estimated) == ("whole", True)
    assert answer.prompt_tokens == 30 + 2 * PROMPT_TOKENS
    assert answer.completion_tokens == 5 + 2 * 3
    assert answer.cost_usd == pytest.approx((answer.prompt_tokens * 1000 + 11 * 10_000) / 1e6)
    server.will(saying("next", prompt=30, completion=5))
    (following,) = ask(model_at(server.base_url, **PRICES))
    assert (following.prompt_tokens, following.completion_tokens) == (30, 5)
    assert not following.tokens_estimated


def test_tries_of_an_earlier_call_that_broke_off_are_counted_once_somebody_answers(server):
    server.will(sending(head(), event("half of " * 10)))
    model = model_at(server.base_url, patience_seconds=0.0, **PRICES)
    assert held_up(model).retryable
    server.will(saying("whole", prompt=30, completion=5), saying("whole", prompt=30, completion=5))
    first, again = ask(model)[0], ask(model)[0]
    assert (first.prompt_tokens, first.completion_tokens) == (30 + PROMPT_TOKENS, 5 + 80 // 4)
    assert (again.prompt_tokens, again.tokens_estimated) == (30, False)


def test_usage_that_came_before_the_end_is_believed(server):
    server.will(sending(head(), event("half"), usage(40, 9)), saying("whole", prompt=30, completion=5))
    (answer,) = ask(model_at(server.base_url))
    assert (answer.prompt_tokens, answer.completion_tokens, answer.tokens_estimated) == (70, 14, False)


# --- refusals that somebody has to mend ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "document", "code"),
    [
        (401, {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "x"}}, "key_refused"),
        (403, {"detail": f"Bearer {KEY} may not"}, "key_refused"),
        (
            404,
            {"error": {"message": "The model `m` does not exist.", "type": "NotFoundError"}},
            "model_unknown",
        ),
        (400, {"detail": "Server is pinned to 'other'; requested 'm'."}, "model_unknown"),
        (404, "404 page not found", "endpoint_failed"),
        (429, {"error": {"message": "out of credit", "code": "insufficient_quota"}}, "quota_exhausted"),
        (200, {"error": {"message": "The model `m` does not exist.", "code": 404}}, "model_unknown"),
        (400, {"error": {"message": "System role not supported"}}, "endpoint_failed"),
        (307, "", "endpoint_failed"),
        (200, "<html>Sign in</html>", "endpoint_failed"),
    ],
)
def test_refusal_that_lasts_is_told_at_once_with_its_remedy_and_without_the_key(
    server, status, document, code
):
    server.will(refusing(status, document))
    blocked = held_up(model_at(server.base_url, key=KEY, patience_seconds=10))
    assert (blocked.code, blocked.retryable) == (code, False)
    assert KEY not in repr(blocked)
    assert blocked.remedy
    assert len(server.heard) == 1
    if code == "key_refused":
        assert "DELTANAS_LLM_API_KEY" in blocked.remedy
        assert "***" in blocked.message


def test_missing_key_is_told_by_the_name_of_its_variable(server):
    server.will(refusing(401, {"error": {"message": "no key"}}))
    blocked = held_up(model_at(server.base_url, name="open-ai"))
    assert (blocked.code, blocked.retryable) == ("key_missing", False)
    assert "DELTANAS_LLM_API_KEY_OPEN_AI" in blocked.remedy


def test_key_goes_nowhere_else_on_a_redirect(server):
    with stand_in() as elsewhere:
        elsewhere.will(saying("mine now"))
        server.will(refusing(307, "", location=elsewhere.base_url + "/chat/completions"))
        blocked = held_up(model_at(server.base_url, key=KEY))
        assert elsewhere.heard == []
    assert str(elsewhere.port) in blocked.message
    assert not blocked.retryable


def test_key_that_a_model_repeats_is_struck_out_of_its_answer(server):
    server.will(saying("your key is ", KEY[:9], KEY[9:], "!", finish=KEY))
    (answer,) = ask(model_at(server.base_url, key=KEY))
    assert server.heard[0].headers["authorization"] == f"Bearer {KEY}"
    assert answer.text == "your key is ***!"
    assert KEY not in repr(answer)


def test_prompt_that_is_too_long_is_an_answer_without_words(server):
    message = "This model's maximum context length is 1024 tokens. Please reduce max_tokens or the messages."
    server.will(refusing(400, {"error": {"message": message, "code": 400}}), saying("x"))
    given_answers = ask(model_at(server.base_url, parallel=1), 2)
    assert [(answer.text, answer.finish_reason) for answer in given_answers] == [
        ("", "prompt_too_long"),
        ("x", "stop"),
    ]
    assert given_answers[0].cost_usd == 0.0


# --- parameters that an endpoint does not take ---------------------------------------------------------


def test_what_an_endpoint_refuses_by_name_is_left_out_from_then_on(server):
    def strict(connection: Connection) -> None:
        body = connection.body
        if unknown := {"top_k", "stream_options"} & set(body):
            refusing(422, {"detail": f"Unexpected fields in the request: {unknown}"})(connection)
        elif "max_tokens" in body:
            words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            refusing(400, {"error": {"message": words, "param": "max_tokens"}})(connection)
        elif "temperature" in body:
            refusing(400, {"error": {"message": "Only the default is supported", "param": "temperature"}})(
                connection
            )
        else:
            saying("x")(connection)

    server.will(strict)
    model = model_at(server.base_url)
    (answer,) = ask(model)
    assert len(server.heard) == 5
    assert answer.sampling == {"top_p": 0.9, "max_completion_tokens": 1024, "seed": 2**40 % 2**31}
    ask(model)
    assert len(server.heard) == 6


def test_parameter_that_the_operator_insists_on_is_not_asked_for_again_and_again(server):
    server.will(refusing(400, {"error": {"message": "max_tokens, max_completion_tokens, top_k are wrong"}}))
    blocked = held_up(model_at(server.base_url, extra={"max_tokens": 5, "top_k": 1}))
    assert (blocked.code, blocked.retryable) == ("endpoint_failed", False)
    assert len(server.heard) < 8


def test_operator_may_leave_a_parameter_out(server):
    server.will(saying("x"))
    (answer,) = ask(model_at(server.base_url, extra={"top_k": None}))
    assert "top_k" not in server.heard[0].body
    assert "top_k" not in answer.sampling


# --- a client that leaves ------------------------------------------------------------------------------


def test_closing_early_cuts_what_is_under_way(server):
    def quick_for_the_first(connection: Connection) -> None:
        if connection.body["seed"] == 2**40 % 2**31:
            saying("x")(connection)
        else:
            endless(event("on and on "), pause_seconds=0.05, after=head())(connection)

    server.will(quick_for_the_first)
    model = model_at(server.base_url, parallel=3)
    answers = model.answers(requests(5), Sampling())
    assert next(answers).key == 0
    answers.close()
    for connection in server.heard:
        assert was_left(connection) or connection.body["seed"] == 2**40 % 2**31
    assert len(server.heard) <= 4
    server.will(saying("x"))
    assert len(ask(model, 3)) == 3


def test_asker_who_leaves_while_an_answer_is_waited_for_ends_it(server):
    server.will(endless(event("on and on "), pause_seconds=0.05, after=head()))
    left = threading.Event()
    context = contextvars.copy_context()
    context.run(ASKER_LEFT.set, left)
    given_answers: list = []
    waits = threading.Thread(
        target=context.run, args=(lambda: given_answers.extend(ask(model_at(server.base_url), 2)),)
    )
    waits.start()
    until(lambda: len(server.heard) == 2, 20, "both requests")
    left.set()
    waits.join(20)
    assert not waits.is_alive()
    assert all(was_left(connection) for connection in server.heard)
    assert given_answers == []


def test_nothing_is_sent_before_an_answer_is_asked_for(server):
    server.will(saying("x"))
    answers = model_at(server.base_url).answers(requests(2), Sampling())
    answers.close()
    assert server.heard == []


# --- check ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 405, 429, 500, 501])
def test_endpoint_that_lists_no_models_counts_as_fine(server, status):
    server.will(refusing(status, "no"))
    model_at(server.base_url).check()
    assert (server.heard[0].method, server.heard[0].path) == ("GET", "/v1/models")


def test_endpoint_that_lists_models_counts_as_fine(server):
    server.will(refusing(200, {"object": "list", "data": [{"id": "other"}, 3]}))
    model = model_at(server.base_url)
    model.check()
    assert model.listed_models() == ["other"]


@pytest.mark.parametrize(
    ("behaviour", "code", "retryable"),
    [
        (refusing(401, "no"), "key_missing", False),
        (refusing(503, "Loading model"), "endpoint_failed", True),
        (sending(head(kind="application/json"), b"}{"), "endpoint_failed", True),
        (sending(head(kind="text/html"), b"<html>"), "endpoint_failed", False),
        (refusing(302, "", location="http://127.0.0.1:9/"), "endpoint_failed", False),
    ],
)
def test_check_tells_what_is_wrong_without_a_second_try(server, behaviour, code, retryable):
    server.will(behaviour)
    with pytest.raises(HeldUp) as caught:
        model_at(server.base_url).check()
    assert (caught.value.blocked.code, caught.value.blocked.retryable) == (code, retryable)
    assert len(server.heard) == 1


def test_check_does_not_wait_for_an_endpoint_that_hangs(server, monkeypatch):
    monkeypatch.setattr(openai_compatible, "CHECK_SECONDS", 0.2)
    server.will(Connection.wait)
    with pytest.raises(HeldUp) as caught:
        model_at(server.base_url).check()
    assert (caught.value.blocked.code, caught.value.blocked.retryable) == ("endpoint_unreachable", True)


# --- anything at all -----------------------------------------------------------------------------------

_SNIPPETS = st.sampled_from(
    [
        *(
            b"data: ",
            b"\n\n",
            b"\r",
            b"event: error\n",
            b"[DONE]",
            b'{"choices":',
            b"[{}]",
            b"null",
            b"1e999",
        ),
        *(b'{"delta":{"content":', b'"\\ud800"', b"}", b"]", b'"finish_reason":"stop"', b'"usage":{"prompt_'),
        *(
            b'tokens":-1}',
            b"9" * 5000,
            b"\xff\x00",
            b'{"error":',
            b'"object":"thread.run"',
            b"event: thread.x\n",
        ),
    ]
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["text/event-stream", "application/json", "text/event-stream; charset=punycode"]),
    status=st.sampled_from([200, 201, 299, 301, 400, 404, 422, 500, 529]),
    body=st.lists(_SNIPPETS | st.binary(max_size=20), max_size=12).map(b"".join),
)
def test_whatever_comes_is_an_answer_or_a_named_failure(server, kind, status, body):
    server.will(sending(head(status, kind), body))
    told = ""
    try:
        (answer,) = ask(model_at(server.base_url, patience_seconds=0.0, key=KEY))
        assert len(answer.text.encode()) <= MAX_ANSWER_BYTES
    except HeldUp as held:
        told = held.blocked.message
    assert len(told) < 1000
    assert told.isprintable()
