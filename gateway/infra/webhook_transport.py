"""Sends one message to one receiver, who may mean harm: to the gateway's network, its time or its memory.

The host is looked up once, every address is checked, and the connection goes to one of the very addresses
that were checked; TLS still asks for a certificate of the host's name. So an answer of the name service
that changes a moment later (DNS rebinding) changes nothing. Redirects are answers like others, proxies of
the environment are not asked, nothing is decompressed. One deadline binds the whole exchange, however the
receiver spreads its bytes, and so does one limit on what is read.
"""

import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpcore
from httpcore import SOCKET_OPTION

from gateway.domain.webhook_targets import (
    HOST_REFUSED,
    HOST_REMEDY,
    HostRefused,
    TargetRefused,
    TargetRules,
    WebhookTarget,
    checked_addresses,
    checked_target,
)
from gateway.domain.webhooks import HOST_NOT_FOUND, TryOutcome

TOTAL_SECONDS = 20.0
"""For one try, from the look-up to the last byte read; the specification recommends 15 to 30."""
MAX_RECEIVED_BYTES = 64 * 1024
MAX_EXCERPT_BYTES = 1024
MAX_EXCERPT_CHARACTERS = 300
EXCERPT_SECONDS = 2.0
"""The status is all that counts; so long the body may take to say why."""
MAX_ADDRESSES_TRIED = 3

Resolve = Callable[[str, int], Sequence[str]]

logger = logging.getLogger(__name__)


class LookupFailed(Exception):
    """The name service knows no address of the host, or does not answer."""


class _OutOfTime(Exception):
    """The deadline of the exchange has passed."""


class _TooMuch(Exception):
    """The receiver has sent more than an answer may have before its body."""


def system_addresses(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says. Raises LookupFailed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise LookupFailed(f"{host} cannot be found: {error}") from error
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def trusting(authorities: Path | None) -> ssl.SSLContext:
    """What the system trusts, and the authorities of a PEM file beside it."""
    context = ssl.create_default_context()
    if authorities is not None:
        context.load_verify_locations(authorities)
    return context


class WebhookTransport:
    """Thread-safe; keeps no connection."""

    def __init__(
        self,
        rules: TargetRules,
        resolve: Resolve = system_addresses,
        tls: ssl.SSLContext | None = None,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        """`tls`: None trusts what the system trusts."""
        self.rules = rules
        self.resolve = resolve
        self._tls = tls or trusting(None)
        self._seconds = total_seconds

    def deliver(self, url: str, headers: Mapping[str, str], body: bytes) -> TryOutcome:
        """Post a message. Whatever the receiver does is an outcome; nothing is raised for it."""
        begun = time.monotonic()
        status: int | None = None
        retry_after, excerpt, error, message = None, "", None, ""
        try:
            target = checked_target(url, self.rules)
            found = self.resolve(target.host, target.port)
            addresses = checked_addresses(target, found, self.rules)
            wire = _Wire(target, addresses, self.rules, begun + self._seconds)
            status, retry_after, excerpt = self._exchange(target, wire, headers, body)
            message = f"It answered {status}."
        except TargetRefused as refusal:
            error, message = refusal.code, str(refusal)
        except LookupFailed as failure:
            error, message = HOST_NOT_FOUND, str(failure)
        except (_OutOfTime, httpcore.TimeoutException):
            error, message = "timeout", f"There was no answer within {self._seconds:g} s."
        except _TooMuch:
            error, message = "answer_too_large", f"More than {MAX_RECEIVED_BYTES} bytes came before its body."
        except httpcore.ProtocolError as failure:
            error, message = "malformed_answer", f"It does not speak HTTP/1.1: {failure}"
        except (httpcore.NetworkError, OSError) as failure:
            # Whoever resets a connection at once is gone before it can be asked for its address.
            code = "tls_failed" if isinstance(failure.__cause__, ssl.SSLError) else "connection_failed"
            error, message = code, f"The connection failed: {failure}"
        seconds = time.monotonic() - begun
        return TryOutcome(status, error, harmless(message), seconds, excerpt, retry_after)

    def _exchange(
        self, target: WebhookTarget, wire: "_Wire", headers: Mapping[str, str], body: bytes
    ) -> tuple[int, float | None, str]:
        """(status, Retry-After in seconds, excerpt of the body)."""
        origin = httpcore.Origin(target.scheme.encode(), target.host.encode(), target.port)
        sent = [(b"host", target.host_header.encode()), (b"content-length", str(len(body)).encode())]
        sent += [(name.encode(), value.encode()) for name, value in headers.items()]
        url = httpcore.URL(
            scheme=origin.scheme, host=origin.host, port=origin.port, target=target.path.encode()
        )
        request = httpcore.Request("POST", url, headers=sent, content=body)
        connection = httpcore.HTTPConnection(origin, ssl_context=self._tls, network_backend=wire)
        try:
            answer = connection.handle_request(request)
            asked = {name.lower(): value for name, value in answer.headers}
            is_packed = asked.get(b"content-encoding", b"identity").lower() != b"identity"
            excerpt = "(a compressed body)" if is_packed else _excerpt(answer, wire)
            return answer.status, _retry_after_seconds(asked.get(b"retry-after")), excerpt
        finally:
            connection.close()
            wire.close()


class _Wire(httpcore.NetworkBackend):
    """Connects to addresses that were checked, and nowhere else."""

    def __init__(
        self, target: WebhookTarget, addresses: Sequence[str], rules: TargetRules, deadline: float
    ) -> None:
        self.deadline = deadline
        self._target = target
        self._addresses = addresses[:MAX_ADDRESSES_TRIED]
        self._rules = rules
        self._sockets = httpcore.SyncBackend()
        self._received = 0
        self._stream: httpcore.NetworkStream | None = None

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline binds
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """To the first address that answers; `host` was looked up before and is not looked up again."""
        if host != self._target.host:
            raise httpcore.ConnectError(f"this connection is for {self._target.host} alone")
        failure: Exception = httpcore.ConnectError("no address was tried")
        for tried, address in enumerate(self._addresses):
            # The last address may take all the time that is left, one before it its share.
            share = self.seconds_left() / (len(self._addresses) - tried)
            try:
                stream = self._sockets.connect_tcp(address, port, share, None, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            self._stream = stream
            self._refuse_own_address(stream)
            return _BoundedStream(stream, self)
        raise failure

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002
        socket_options: Iterable[SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """Never."""
        raise httpcore.ConnectError(f"a webhook does not go to {path}")

    def close(self) -> None:
        """Let go of the connection, whatever it was at."""
        if self._stream is not None:
            self._stream.close()

    def seconds_left(self) -> float:
        """Until the deadline. Raises _OutOfTime after it."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise _OutOfTime
        return left

    def count(self, received: int) -> None:
        """Raises _TooMuch beyond the limit."""
        self._received += received
        if self._received > MAX_RECEIVED_BYTES:
            raise _TooMuch

    def _refuse_own_address(self, stream: httpcore.NetworkStream) -> None:
        """A public address of this very machine leads to it past its firewall, as loopback does."""
        own, peer = stream.get_extra_info("client_addr")[0], stream.get_extra_info("server_addr")[0]
        if own == peer and not self._rules.names(self._target.host, peer):
            stream.close()
            raise HostRefused(HOST_REFUSED, f"{self._target.host} is the gateway's own machine.", HOST_REMEDY)


class _BoundedStream(httpcore.NetworkStream):
    """A connection under the exchange's one deadline and its one limit."""

    def __init__(self, stream: httpcore.NetworkStream, wire: _Wire) -> None:
        self._stream = stream
        self._wire = wire

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        """Some bytes. Raises _OutOfTime, _TooMuch."""
        chunk = self._stream.read(max_bytes, self._wire.seconds_left())
        self._wire.count(len(chunk))
        return chunk

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """All of it. Raises _OutOfTime."""
        self._stream.write(buffer, self._wire.seconds_left())

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """TLS with a certificate of `server_hostname`, under the same bounds."""
        stream = self._stream.start_tls(ssl_context, server_hostname, self._wire.seconds_left())
        return _BoundedStream(stream, self._wire)

    def get_extra_info(self, info: str) -> object:
        """What the connection knows of itself."""
        return self._stream.get_extra_info(info)


def harmless(text: str, limit: int = MAX_EXCERPT_CHARACTERS) -> str:
    """Text that can be stored and shown anywhere: printable characters, escapes for others, bounded."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:limit])
    return shown[:limit]


def _excerpt(answer: httpcore.Response, wire: _Wire) -> str:
    """The beginning of the body, as far as it comes soon."""
    wire.deadline = min(wire.deadline, time.monotonic() + EXCERPT_SECONDS)
    received = b""
    try:
        for chunk in answer.iter_stream():
            received += chunk
            if len(received) >= MAX_EXCERPT_BYTES:
                break
    except (_OutOfTime, _TooMuch, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        logger.debug("the body of an answer broke off")
    return harmless(received[:MAX_EXCERPT_BYTES].decode("utf-8", "replace"))


def _retry_after_seconds(value: bytes | None) -> float | None:
    """Seconds or a date, as HTTP has both; None of anything else."""
    if value is None or len(value) > 40:
        return None
    text = value.decode("ascii", "replace").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a zone can be further away than the calendar goes
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
