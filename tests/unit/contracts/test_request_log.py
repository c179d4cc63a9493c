"""Every request has a name, and its line in the log."""

import json
import logging

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from contracts.log_context import note
from contracts.request_log import LogRequests
from contracts.service_logs import LineFormatter

logger = logging.getLogger("gateway.test_request_log")


class Lines(logging.Handler):
    """The log as a service writes it, line by line."""

    def __init__(self):
        super().__init__()
        self.setFormatter(LineFormatter("gateway", "json", {}))
        self.made = []

    def emit(self, record):
        self.made.append(json.loads(self.format(record)))


@pytest.fixture
def lines():
    handler = Lines()
    loggers = [logging.getLogger("contracts"), logging.getLogger("gateway")]
    before = [made.level for made in loggers]
    for made in loggers:
        made.addHandler(handler)
        made.setLevel(logging.INFO)
    yield handler.made
    for made, level in zip(loggers, before, strict=True):
        made.removeHandler(handler)
        made.setLevel(level)


@pytest.fixture
def served():
    return []


@pytest.fixture
def http(served):
    app = FastAPI()

    @app.get("/v1/evaluations/{evaluation_id}")
    def read(evaluation_id: str):
        note(tenant="blue")
        logger.warning("looking")
        return {}

    @app.get("/broken")
    def broken():
        raise RuntimeError("inside")

    @app.get("/healthz")
    def health():
        return {}

    app.add_middleware(LogRequests, observe=served.append)
    return TestClient(app, raise_server_exceptions=False)


def test_what_a_handler_logs_bears_the_name_of_its_request(http, lines):
    answer = http.get("/v1/evaluations/ev_1", headers={"x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
    inner, outer = lines
    assert (inner["event"], inner["request_id"], inner["tenant"]) == ("looking", "mine", "blue")
    assert outer["event"] == "GET /v1/evaluations/ev_1"
    assert (outer["status"], outer["evaluation_id"], outer["tenant"]) == (200, "ev_1", "blue")


@pytest.mark.parametrize("path", ["/broken", "/nothing", "/v1/evaluations/a/b"])
def test_the_name_on_an_error_is_found_in_the_log(http, lines, path):
    answer = http.get(path, headers={"x-request-id": "find-me"})
    assert answer.status_code >= 400
    assert {made["request_id"] for made in lines} == {"find-me"}
    assert [made["status"] for made in lines if "status" in made] == [answer.status_code]


def test_an_error_is_told_with_its_trace(http, lines):
    http.get("/broken")
    assert any("RuntimeError: inside" in made.get("trace", "") for made in lines)


def test_what_machines_ask_all_the_time_is_not_written_down(http, lines):
    http.get("/healthz")
    assert lines == []


def test_what_is_measured_has_no_word_of_the_callers(http, served):
    http.get("/v1/evaluations/ev_1?wait=3")
    http.request("BREW", "/x" * 100)
    http.get("/broken")
    assert [(one.route, one.method, one.status, one.waited) for one in served] == [
        ("/v1/evaluations/{evaluation_id}", "GET", "2xx", True),
        ("none", "other", "4xx", False),
        ("/broken", "GET", "5xx", False),
    ]
