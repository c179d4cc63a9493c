import httpx
import pytest

from gateway.infra.generator_client import GeneratorClient


def reasons_of(answer):
    transport = httpx.MockTransport(answer)
    return GeneratorClient("http://127.0.0.1:1", None, transport).readiness_problems()


def test_a_service_that_is_ready_has_no_reasons():
    assert reasons_of(lambda _request: httpx.Response(200, json={"status": "ok", "reasons": []})) == []


def test_the_reasons_of_a_service_are_passed_on_as_sentences():
    document = {"status": "unready", "reasons": ["bubblewrap is missing", "no cgroup"]}
    assert reasons_of(lambda _request: httpx.Response(503, json=document)) == [
        "the generator is not ready: bubblewrap is missing",
        "the generator is not ready: no cgroup",
    ]


@pytest.mark.parametrize("content", [b"<html>", b"null", b"[]", b'{"reasons": {}}', b'{"reasons": []}'])
def test_an_answer_without_reasons_is_told_by_its_status(content):
    told = reasons_of(lambda _request: httpx.Response(502, content=content))
    assert told == ["the generator is not ready: it answered 502"]


def test_a_service_that_is_away_is_told_apart_from_one_that_is_not_ready():
    def nobody(_request):
        raise httpx.ConnectError("refused")

    assert reasons_of(nobody) == ["the generator cannot be reached (ConnectError)"]
