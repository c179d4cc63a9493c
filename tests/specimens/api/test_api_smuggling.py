"""Bytes on the wire that two readers would read in two ways."""

import json
import socket

import httpx
import pytest
from api_target import GOOD, Target

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


def _raw(head: str, body: bytes = b"") -> bytes:
    return head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body


SMUGGLED = b"POST /v1/evaluations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
SMUGGLED += b"Content-Length: %d\r\n\r\n" % len(json.dumps(GOOD)) + json.dumps(GOOD).encode()
POST = "POST /v1/deltas:apply HTTP/1.1\nHost: 127.0.0.1\nContent-Type: application/json\n"
BYTES_ON_THE_WIRE: dict[str, tuple[bytes, set[int]]] = {
    "a length and chunks": (
        _raw(f"{POST}Content-Length: 5\nTransfer-Encoding: chunked", b"0\r\n\r\n" + SMUGGLED),
        {400},
    ),
    "two lengths": (
        _raw(f"{POST}Content-Length: 2\nContent-Length: {2 + len(SMUGGLED)}", b"{}" + SMUGGLED),
        {400},
    ),
    "a coding that hides the chunks": (
        _raw(f"{POST}Transfer-Encoding: xchunked", b"0\r\n\r\n" + SMUGGLED),
        {400, 411, 415, 422, 501},
    ),
    "a negative length": (_raw(f"{POST}Content-Length: -1", SMUGGLED), {400, 413}),
    "a length in another script": (_raw(f"{POST}Content-Length: \xb2", SMUGGLED), {400, 413}),
    "a length beyond numbers": (_raw(f"{POST}Content-Length: {'9' * 400}", b"{}"), {400, 413}),
    "a chunk that lies": (_raw(f"{POST}Transfer-Encoding: chunked", b"-1\r\n" + SMUGGLED), {400}),
    "a folded header": (
        _raw(f"{POST}X-A: b\n Transfer-Encoding: chunked\nContent-Length: 2", b"{}"),
        {400, 422},
    ),
    "a space before the colon": (_raw(f"{POST}Content-Length : 2", b"{}"), {400, 422}),
    "a NUL in a header": (_raw("GET /healthz HTTP/1.1\nHost: 127.0.0.1\nX-A: a\0b"), {400}),
    "two hosts": (_raw("GET /v1/evaluations HTTP/1.1\nHost: 127.0.0.1\nHost: evil.example"), {400, 421}),
    "no host": (_raw("GET /v1/evaluations HTTP/1.1\nX-A: b"), {400, 421}),
    "a whole address as the target": (
        _raw("GET http://evil.example/v1/evaluations HTTP/1.1\nHost: evil.example"),
        {400, 404, 421},
    ),
    "a tunnel": (_raw("CONNECT 169.254.169.254:80 HTTP/1.1\nHost: 127.0.0.1"), {400, 404, 405, 421}),
    "a header of a megabyte": (
        _raw(f"GET /healthz HTTP/1.1\nHost: 127.0.0.1\nX-A: {'a' * 1_000_000}"),
        {400, 431},
    ),
    "ten thousand headers": (
        _raw("GET /healthz HTTP/1.1\nHost: 127.0.0.1\n" + "\n".join(f"X-{i}: {i}" for i in range(10_000))),
        {400, 431},
    ),
    "a WebSocket": (
        _raw(
            "GET /v1/evaluations HTTP/1.1\nHost: evil.example\nUpgrade: websocket\nConnection: Upgrade\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13"
        ),
        {400, 403, 404, 421, 426},
    ),
    "another protocol": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 421, 505}),
    "no protocol at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200, {400}),
}


@pytest.mark.parametrize(("sent", "statuses"), BYTES_ON_THE_WIRE.values(), ids=BYTES_ON_THE_WIRE.keys())
def test_bytes_that_two_readers_would_read_in_two_ways_smuggle_nothing_in(
    target: Target, sent: bytes, statuses: set[int]
) -> None:
    before = target.stored()
    received = _exchange(target.server.port, sent)
    answers = received.split(b"HTTP/1.1 ")[1:]
    assert len(answers) <= 1, received[:2000]
    if answers:
        assert int(answers[0][:3]) in statuses, received[:600]
    assert b"evil" not in received.partition(b"\r\n\r\n")[0]
    target.check(httpx.Response(200, content=received))
    assert target.stored() == before


def _exchange(port: int, sent: bytes) -> bytes:
    """What comes back on one connection until the server closes it or has nothing more to say."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            connection.sendall(sent)
            connection.settimeout(1.5)
            while chunk := connection.recv(65_536):
                received += chunk
        except OSError:
            pass
    return received
