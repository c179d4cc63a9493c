"""Receivers of webhooks, kind and hostile: real sockets on loopback, with TLS where a test wants it."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Act = Callable[[socket.socket], None]


@dataclass
class Receiver:
    """What has arrived at one address."""

    address: str
    port: int
    requests: list[bytes] = field(default_factory=list)
    """Whole requests, as they came."""
    names: list[str | None] = field(default_factory=list)
    """The names that TLS asked for."""
    connections: int = 0


def read_request(connection: socket.socket) -> bytes:
    """One request with its body."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk:
            return received
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2]) if lengths else 0
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answering(status: int = 200, headers: str = "", body: bytes = b"") -> Act:
    """Answer like an honest server."""

    def act(connection: socket.socket) -> None:
        head = f"HTTP/1.1 {status} Such\r\n{headers}content-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    return act


def sending(first: bytes, again: bytes = b"", pause: Callable[[], object] | None = None) -> Act:
    """Send bytes, then others for ever, until nobody reads any more."""

    def act(connection: socket.socket) -> None:
        connection.sendall(first)
        while again:
            if pause:
                pause()
            connection.sendall(again)

    return act


@contextmanager
def receiver(
    act: Act, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None, reads: bool = True
) -> Iterator[Receiver]:
    """Listen; `act` on each connection once its request has been read."""
    listener = socket.create_server(
        (address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET
    )
    found = Receiver(address, listener.getsockname()[1])
    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: found.names.append(name)
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            stream = tls.wrap_socket(connection, server_side=True) if tls and reads else connection
            if reads:
                found.requests.append(read_request(stream))
            act(stream)
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            found.connections += 1
            threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
            threads[-1].start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield found
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
