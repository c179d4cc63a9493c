import json
import pickle

import pytest

from contracts.dispatch import (
    JSON_ENCODING,
    JSON_TYPE,
    MAX_MESSAGE_BYTES,
    TASK,
    MessageRefused,
    Resource,
    message_body,
    message_headers,
    named_attempt,
)

ATTEMPT = "at_0123456789abcdef0123456789ab"
HEADERS = message_headers(ATTEMPT)
BODY = message_body(ATTEMPT)


def named(headers=HEADERS, body=BODY, content_type=JSON_TYPE, content_encoding=JSON_ENCODING):
    return named_attempt(headers, body, content_type, content_encoding)


def test_a_message_says_which_attempt_and_nothing_else():
    assert named() == ATTEMPT
    assert named(body=BODY.decode()) == ATTEMPT
    assert json.loads(BODY)[:2] == [[ATTEMPT], {}]
    assert len(BODY) < MAX_MESSAGE_BYTES


@pytest.mark.parametrize(
    "change",
    [
        {"task": "celery.map"},
        {"task": "os.system"},
        {"id": "ev_" + "0" * 28},
        {"id": "at_1; rm -rf /"},
        {"id": ATTEMPT.upper()},
        {"id": 7},
        {"id": None},
        {"root_id": "at_" + "0" * 28},
        {"eta": "2099-01-01T00:00:00Z"},
        {"expires": 1},
        {"retries": 1},
        {"timelimit": [1, 1]},
        {"reply_to": "somewhere"},
        {"stamps": {}},
        {"group": "g"},
    ],
)
def test_a_message_with_another_header_is_refused(change):
    with pytest.raises(MessageRefused):
        named(headers=HEADERS | change)


@pytest.mark.parametrize("missing", sorted(HEADERS))
def test_a_message_without_one_of_the_headers_is_refused(missing):
    with pytest.raises(MessageRefused):
        named(headers={name: value for name, value in HEADERS.items() if name != missing})


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([[ATTEMPT, "more"], {}, {}]).encode(),
        json.dumps([[ATTEMPT], {"agent_id": "x"}, {"callbacks": None}]).encode(),
        json.dumps([[ATTEMPT], {}, {"callbacks": [{"task": TASK}], "errbacks": None}]).encode(),
        message_body("at_" + "0" * 28),
        BODY + b" ",
        b"[" * 100_000,
        b"x" * (MAX_MESSAGE_BYTES + 1),
        pickle.dumps([[ATTEMPT], {}, {}]),
        b"",
        None,
        {"args": [ATTEMPT]},
    ],
)
def test_a_message_with_another_body_is_refused(body):
    with pytest.raises(MessageRefused):
        named(body=body)


@pytest.mark.parametrize(
    "other",
    [
        {"content_type": "application/x-python-serialize", "content_encoding": "binary"},
        {"content_type": "application/x-yaml"},
        {"content_type": None},
        {"content_encoding": "base64"},
        {"headers": None},
        {"headers": [["task", TASK]]},
    ],
)
def test_a_message_of_another_kind_is_refused(other):
    with pytest.raises(MessageRefused):
        named(**other)


def test_devices_belong_to_one_resource_each():
    assert Resource.CPU.offers("cpu")
    assert not Resource.GPU.offers("cpu")
    for device in ("cuda", "cuda:0", "cuda:11"):
        assert Resource.GPU.offers(device)
        assert not Resource.CPU.offers(device)
    assert Resource.GPU.queue_of("host-1") == "sandbox_runner.gpu.host-1"
