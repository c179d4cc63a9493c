"""Calls that attack the protocol."""

import httpx
import pytest
from api_target import WAITING, Target, refused

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

ID = "ev_00000000000000000000"
CALLS: dict[str, tuple[str, str, dict[str, str], int, str]] = {
    "an id that climbs": ("GET", "/v1/evaluations/..%2f..%2fetc%2fpasswd", {}, 404, ""),
    "an id with a NUL": ("GET", "/v1/evaluations/ev_%00", {}, 404, "evaluation_unknown"),
    "an id as SQL": ("GET", "/v1/evaluations/x'%20OR%20'1'='1", {}, 404, "evaluation_unknown"),
    "an id as a template": ("GET", "/v1/evaluations/%7B%7B7*7%7D%7D", {}, 404, "evaluation_unknown"),
    "an id that splits the answer": ("GET", "/v1/evaluations/x%0d%0aset-cookie:%20a=b", {}, 404, ""),
    "HTML as a path": ("GET", "/v1/%3Cscript%3Ealert(1)%3C/script%3E", {}, 404, "not_found"),
    "a page that climbs": ("GET", "/docs/..%2f..%2f..%2fetc%2fpasswd", {}, 404, "not_found"),
    "a report that climbs": ("GET", "/v1/searches/..%2f..%2fx/report", {}, 404, "not_found"),
    "the agents' door": ("GET", "/internal/v1/agents/a/next", {}, 401, "service_token_required"),
    "the agents' door, disguised": ("GET", "/%69nternal/v1/agents/a/next", {}, 401, "service_token_required"),
    "the agents' door, doubled": ("GET", "//internal/v1/agents/a/next", {}, 404, "not_found"),
    "the agents' door, round the corner": ("GET", "/v1/..%2finternal/v1/agents/a/next", {}, 404, "not_found"),
    "a claim without a token": (
        "POST",
        "/internal/v1/attempts/at_0:claim",
        {},
        401,
        "service_token_required",
    ),
    "a cursor as SQL": ("GET", "/v1/evaluations?cursor=ev_0'%20OR%201=1--", {}, 422, "invalid_request"),
    "a cursor of ten thousand letters": ("GET", f"/v1/evaluations?cursor=ev_{'f' * 10_000}", {}, 422, ""),
    "a cursor of another kind": ("GET", "/v1/searches?cursor=ev_00", {}, 422, "invalid_request"),
    "a page without end": ("GET", "/v1/evaluations?limit=1000000000", {}, 422, "invalid_request"),
    "a page of minus one": ("GET", "/v1/evaluations?limit=-1", {}, 422, "invalid_request"),
    "a state that is none": ("GET", "/v1/evaluations?state=succeeded'--", {}, 422, "invalid_request"),
    "a tag without end": ("GET", f"/v1/evaluations?tag={'a' * 5000}", {}, 422, "invalid_request"),
    "an endless wait": ("GET", f"/v1/evaluations/{ID}?wait=1e308", {}, 422, "invalid_request"),
    "a wait of NaN": ("GET", f"/v1/evaluations/{ID}?wait=nan", {}, 422, "invalid_request"),
    "a foreign host": ("GET", "/v1/evaluations", {"host": "evil.example"}, 421, "host_not_allowed"),
    "a name that was bound again": (
        "POST",
        "/v1/evaluations",
        {"host": "evil.example:80"},
        421,
        "host_not_allowed",
    ),
    "a foreign page": (
        "POST",
        "/v1/evaluations",
        {"origin": "https://evil.example"},
        403,
        "cross_origin_refused",
    ),
    "a page without an origin": (
        "DELETE",
        f"/v1/evaluations/{ID}",
        {"origin": "null"},
        403,
        "cross_origin_refused",
    ),
    "a preflight": (
        "OPTIONS",
        "/v1/evaluations",
        {"origin": "https://evil.example", "access-control-request-method": "POST"},
        405,
        "method_not_allowed",
    ),
    "TRACE": ("TRACE", "/v1/evaluations", {}, 405, "method_not_allowed"),
    "a made-up method": ("PROPFIND", "/v1/evaluations", {}, 405, "method_not_allowed"),
    "a wrong key": (
        "GET",
        "/v1/evaluations",
        {"authorization": "Bearer dn_wrong"},
        401,
        "api_key_not_in_force",
    ),
    "a key as SQL": (
        "GET",
        "/v1/evaluations",
        {"authorization": "Bearer ' OR 1=1--"},
        401,
        "api_key_not_in_force",
    ),
    "an event id as SQL": (
        "GET",
        f"/v1/evaluations/{ID}/events",
        {"last-event-id": "0 OR 1=1"},
        422,
        "invalid_request",
    ),
}


@pytest.mark.parametrize(("method", "path", "headers", "status", "code"), CALLS.values(), ids=CALLS.keys())
def test_a_call_that_attacks_the_protocol_is_refused(
    target: Target, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    before = target.stored()
    url = httpx.URL(target.http.base_url, raw_path=path.encode())
    answer = target.http.request(method, url, headers=headers)
    assert "access-control-allow-origin" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert "<script>alert" not in answer.text or "json" in answer.headers["content-type"]
    refused(target, answer, status, code or answer.json()["code"])
    assert target.stored() == before


def test_a_method_in_a_header_is_no_method(target: Target) -> None:
    made = target.submit(**WAITING)
    headers = {"x-http-method-override": "DELETE", "x-method-override": "DELETE"}
    read = target.http.get(f"/v1/evaluations/{made}", headers=headers, params={"_method": "DELETE"})
    assert (read.status_code, read.json()["state"] in {"queued", "running"}) == (200, True)
    target.cancel(made)
