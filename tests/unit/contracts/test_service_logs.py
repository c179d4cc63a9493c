"""What a log line may and may not be, whatever is quoted in it."""

import json
import logging
import threading

import pytest

from contracts.log_context import log_context, note, request_headers
from contracts.log_lines import MAX_EVENT_CHARACTERS, readable
from contracts.service_logs import LineFormatter

SECRET = "s3cret-of-the-family"
ENVIRONMENT = {
    "DELTANAS_SERVICE_TOKEN": SECRET, "HOME": "/home/x", "DELTANAS_BROKER_URL": "redis://:broker-pass@q/0"
}  # fmt: skip
HOSTILE = '\x1b[2J\x7f\r\n{"level": "ERROR", "tenant": "root"}\u2028\u202e\udcff tenant=root'


def line(message, form="json", *arguments, **extra):
    record = logging.LogRecord("gateway.app", logging.WARNING, "f.py", 1, message, arguments, None)
    record.__dict__.update(extra)
    return LineFormatter("gateway", form, ENVIRONMENT).format(record)


def test_a_record_says_what_it_is_about():
    with log_context(request_id="r1", search_id="se_1"):
        note(tenant="blue")
        made = json.loads(line("%d left", "json", 3, details={"status": 200}))
    assert made.pop("time").endswith("Z")
    assert made == {
        "level": "WARNING", "service": "gateway", "logger": "gateway.app", "event": "3 left",
        "request_id": "r1", "search_id": "se_1", "tenant": "blue", "status": 200,
    }  # fmt: skip


def test_a_context_ends_with_its_block_and_is_not_another_threads():
    seen = []
    with log_context(request_id="r1"):
        with log_context(attempt_id="at_1"):
            assert json.loads(line("x"))["attempt_id"] == "at_1"
        other = threading.Thread(target=lambda: seen.append(json.loads(line("x"))))
        other.start()
        other.join()
        assert "attempt_id" not in json.loads(line("x"))
        assert request_headers() == {"x-request-id": "r1"}
    assert "request_id" not in seen[0]
    assert request_headers() == {}


@pytest.mark.parametrize("form", ["json", "text"])
def test_hostile_text_stays_within_its_line_and_its_field(form):
    with log_context(request_id="r1"):
        made = line("candidate %s", form, HOSTILE, details={"path": HOSTILE})
    assert made.splitlines() == [made]
    assert made.isascii()
    assert made.isprintable()
    if form == "json":
        told = json.loads(made)
        assert (told["level"], told["event"], "tenant" in told) == ("WARNING", f"candidate {HOSTILE}", False)
    else:
        assert " request_id=r1 " in made.partition(": candidate")[0]
        assert "tenant=root" not in made.partition(": candidate")[0].partition("path=")[0]


def test_details_never_replace_what_a_record_is():
    assert json.loads(line("x", details={"level": "DEBUG", "event": "y"}))["level"] == "WARNING"


def test_a_line_is_bounded_and_has_both_ends_of_what_it_tells():
    told = json.loads(line("began " + "x" * 10_000_000 + " ended"))["event"]
    assert len(told) <= MAX_EVENT_CHARACTERS + 1
    assert told.startswith("began x")
    assert told.endswith("x ended")


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(
    "told",
    [
        SECRET,
        "Authorization: Bearer abcDEF123456.token",
        "postgresql+psycopg://farm:hunter22@db/deltanas",
        "cannot reach redis://:hunter22@queue:6379",
        "the password is broker-pass",
        "dn_0123456789abcdefABCDEF",
        "x" * (MAX_EVENT_CHARACTERS - 5) + SECRET,
        "x" * (MAX_EVENT_CHARACTERS // 2 - 5) + SECRET + "x" * 3 * MAX_EVENT_CHARACTERS,
        "x" * 3 * MAX_EVENT_CHARACTERS + SECRET + "x" * (MAX_EVENT_CHARACTERS // 2 - 5),
    ],
)
def test_secrets_are_blotted_out(told, form):
    made = line("%s", form, told, details={"value": told})
    for part in (SECRET, SECRET[:8], "abcDEF123456", "hunter22", "0123456789abcdef", "broker-pass"):
        assert part not in made


def test_the_trace_of_an_error_is_kept_whole_in_json_and_marked_in_text():
    try:
        raise ValueError(f"first\n2026-01-01T00:00:00Z ERROR gateway x: forged {SECRET}")
    except ValueError as error:
        trace = (ValueError, error, error.__traceback__)
    told = json.loads(line("broke", exc_info=trace))["trace"]
    assert "ValueError: first" in told
    assert SECRET not in told
    first, *others = line("broke", "text", exc_info=trace).splitlines()
    assert first.endswith(": broke")
    assert others
    assert all(other.startswith("    | ") for other in others)


def test_a_persons_view_of_a_log_is_text():
    with log_context(request_id="r1"):
        shown = readable(line("it broke"))
    assert shown.endswith("WARNING gateway gateway.app request_id=r1: it broke")
    assert readable("plain \x1b[2J words") == "plain \\x1b[2J words"
    assert readable("[1, 2]") == "[1, 2]"


def test_a_trace_that_comes_as_a_message_is_told_by_its_last_line():
    told = "Traceback (most recent call last):\n  File f.py\nOSError: no such file\n"
    made = json.loads(line(told))
    assert (made["event"], made["trace"]) == ("OSError: no such file", told)
    assert json.loads(line("one\ntwo"))["event"] == "one\ntwo"
