"""What an endpoint may send: so much and no more, as it is, from where it was asked, and until it is cut.

A server that is broken or hostile may send an endless stream, one line without an end, a compressed bomb,
or one byte a minute. The SDK bounds none of it: its reader keeps what has no line end yet, and its time-outs
begin anew with every byte. Headers are bounded by h11 (100 KiB).
"""

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import httpx2

MAX_STREAM_BYTES = 64 * 1024 * 1024
"""Of a streamed answer. Every token comes in an event of some 300 bytes, and thoughts come with it."""
MAX_EVENT_BYTES = 1024 * 1024
"""Of one event of a stream, which is what a reader keeps at a time."""
MAX_BODY_BYTES = 4 * 1024 * 1024
"""Of an answer in one piece; as JSON, MAX_ANSWER_BYTES may grow sixfold."""
MAX_ERROR_BYTES = 64 * 1024
"""Of an error's body; what comes after is not read."""

REDIRECT_TARGET = "redirect_target"
"""The extension of a response that says where it wanted to send us. As a header it would be acted upon."""

_SENT_HEADERS = {"host", "accept", "content-type", "content-length", "authorization", "user-agent"}
"""The SDK would add what it knows of this machine and of other accounts."""
_KEPT_HEADERS = {"content-type", "retry-after"}
_BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r")


class ResponseUnusable(httpx2.TransportError):
    """What the endpoint sends is larger than allowed, or in a form that is not read."""


class BoundedTransport(httpx2.BaseTransport):
    """For one request at a time, which `cut` ends from another thread, whatever it waits for."""

    def __init__(self, inner: httpx2.BaseTransport, *, sends_key: bool) -> None:
        self._inner = inner
        self._headers = _SENT_HEADERS if sends_key else _SENT_HEADERS - {"authorization"}
        self._connection: Any = None
        self._lock = threading.Lock()
        self._is_cut = False

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it with the headers that it needs; raise ResponseUnusable for an answer that is not read."""
        headers = [(name, value) for name, value in request.headers.items() if name.lower() in self._headers]
        sent = httpx2.Request(
            request.method,
            request.url,
            headers=[*headers, ("accept-encoding", "identity"), ("connection", "close")],
            stream=request.stream,
            extensions={**request.extensions, "trace": self._trace},
        )
        response = self._inner.handle_request(sent)
        try:
            body = _bounded(response)
        except ResponseUnusable:
            response.close()
            raise
        return httpx2.Response(
            response.status_code,
            headers=_kept_headers(response),
            stream=BoundedStream(response, body),
            extensions={REDIRECT_TARGET: response.headers.get("location", "")},
        )

    def cut(self) -> None:
        """End the connection now: whoever waits for it wakes up with an error."""
        with self._lock:
            self._is_cut = True
            self._shut_down()

    def close(self) -> None:
        """Give the connection back."""
        self._inner.close()

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Learn of the connection as soon as there is one (httpcore's `trace` extension)."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            with self._lock:
                self._connection = info["return_value"]
                if self._is_cut:
                    self._shut_down()

    def _shut_down(self) -> None:
        if self._connection is not None:
            # Closing would not wake a thread that reads; a TLS socket's `shutdown` lets it read on in clear.
            with suppress(OSError, ValueError):
                socket.socket.shutdown(self._connection.get_extra_info("socket"), socket.SHUT_RDWR)


class BoundedStream(httpx2.SyncByteStream):
    """A response's body, bounded; closing it closes the response."""

    def __init__(self, response: httpx2.Response, body: Iterable[bytes]) -> None:
        self._response = response
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield from self._body

    def close(self) -> None:
        """End the exchange, read to its end or not."""
        self._response.close()


def media_type(headers: httpx2.Headers) -> str:
    """The content type without its parameters, bounded."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()[:80]


def _kept_headers(response: httpx2.Response) -> dict[str, str]:
    kept = {name: response.headers[name][:200] for name in _KEPT_HEADERS if name in response.headers}
    # Without its charset: some of Python's codecs are quadratic.
    return {**kept, "content-type": media_type(response.headers)}


def _bounded(response: httpx2.Response) -> Iterator[bytes]:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", ""}:
        raise ResponseUnusable("a compressed answer, which was not asked for")
    body = response.stream
    assert isinstance(body, httpx2.SyncByteStream)
    if not response.is_success:
        return _first_bytes(body, MAX_ERROR_BYTES)
    if media_type(response.headers) == "text/event-stream":
        return _events_within(body)
    return _at_most(body, MAX_BODY_BYTES)


def _first_bytes(body: Iterable[bytes], limit: int) -> Iterator[bytes]:
    left = limit
    for chunk in body:
        yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return


def _at_most(body: Iterable[bytes], limit: int) -> Iterator[bytes]:
    left = limit
    for chunk in body:
        left -= len(chunk)
        if left < 0:
            raise ResponseUnusable(f"an answer of more than {limit} bytes")
        yield chunk


def _events_within(body: Iterable[bytes]) -> Iterator[bytes]:
    open_bytes, before = 0, b""
    for chunk in _at_most(body, MAX_STREAM_BYTES):
        seen = before + chunk
        ends = [at + len(blank) for blank in _BLANK_LINES if (at := seen.rfind(blank)) >= 0]
        open_bytes = len(seen) - max(ends) if ends else open_bytes + len(chunk)
        if open_bytes > MAX_EVENT_BYTES:
            raise ResponseUnusable(f"an event of more than {MAX_EVENT_BYTES} bytes")
        # A blank line may fall between two chunks.
        before = seen[-3:]
        yield chunk
