"""Bodies that attack the parser."""

import gzip
import json
import pickle

import pytest
from api_target import GOOD, Target, refused
from live_server import DATASET

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

BODIES: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "a gzip bomb": (gzip.compress(b" " * 20_000_000), {"content-encoding": "gzip"}, 415, "compressed_body"),
    "a bomb in brotli": (b"\xcb\xff\x3f", {"content-encoding": "br"}, 415, "compressed_body"),
    "two codings": (b"x", {"content-encoding": "identity, gzip"}, 415, "compressed_body"),
    "lists in lists": (b'{"source":' + b"[" * 200_000, {}, 400, "malformed_body"),
    "objects in objects": (b'{"a":' * 50_000, {}, 400, "malformed_body"),
    "closed lists in lists": (b"[" * 900 + b"]" * 900, {}, 422, "invalid_request"),
    "a hundred thousand keys": (
        json.dumps({f"k{i}": i for i in range(30_000)}).encode(),
        {},
        422,
        "invalid_request",
    ),
    "more than is taken": (json.dumps(GOOD | {"x": "y" * 600_000}).encode(), {}, 413, "body_too_large"),
    "the number NaN": (json.dumps(GOOD | {"epochs": float("nan")}).encode(), {}, 422, "invalid_request"),
    "a number beyond floats": (
        json.dumps(GOOD)[:-1].encode() + b', "limits": {"wall_seconds": 1e999}}',
        {},
        422,
        "invalid_request",
    ),
    "a pickle": (pickle.dumps(GOOD), {}, 400, "malformed_body"),
    "a form": (
        b"source=x&dataset=y",
        {"content-type": "application/x-www-form-urlencoded"},
        415,
        "unsupported_media_type",
    ),
    "XML with an entity": (
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        {"content-type": "application/xml"},
        415,
        "unsupported_media_type",
    ),
    "half a surrogate": (
        b'{"dataset": "' + DATASET.encode() + b'", "source": "\\ud800"}',
        {},
        422,
        "invalid_request",
    ),
    "the same key twice, good and bad": (
        json.dumps(GOOD)[:-1].encode() + b', "dataset": "../etc"}',
        {},
        422,
        "invalid_request",
    ),
}


@pytest.mark.parametrize(("body", "headers", "status", "code"), BODIES.values(), ids=BODIES.keys())
def test_a_body_that_attacks_the_parser_is_refused(
    target: Target, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    before = target.stored()
    headers = {"content-type": "application/json", **headers}
    refused(target, target.http.post("/v1/evaluations", content=body, headers=headers), status, code)
    assert target.stored() == before
