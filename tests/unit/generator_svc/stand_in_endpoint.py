"""A server on a real socket that answers chat requests as it was told, ill or well."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Behaviour = Callable[["Connection"], None]


@dataclass
class Connection:
    """One request as it came, and the way back."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict
    wire: socket.socket = field(repr=False)
    was_left: bool = False
    """The other side hung up while something was sent to it, or waited for."""
    ended: threading.Event = field(default_factory=threading.Event, repr=False)

    def send(self, data: bytes) -> bool:
        """False when the other side is gone."""
        try:
            self.wire.sendall(data)
        except OSError:
            self.was_left = True
        return not self.was_left

    def wait(self) -> None:
        """Until the other side hangs up, at most for 30 seconds."""
        self.wire.settimeout(30)
        try:
            self.was_left = self.wire.recv(1) == b""
        except OSError as error:
            self.was_left = not isinstance(error, TimeoutError)


class StandInEndpoint:
    """Answers each request with the next behaviour; the last one is repeated."""

    def __init__(self) -> None:
        self.heard: list[Connection] = []
        self.at_once = 0
        self.most_at_once = 0
        self._behaviours: list[Behaviour] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def will(self, *behaviours: Behaviour) -> None:
        self._behaviours = list(behaviours)

    def close(self) -> None:
        # Wakes the thread that accepts, which closing alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                came, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(came,), daemon=True).start()

    def _serve(self, came: socket.socket) -> None:
        with came, suppress(OSError):
            connection = _request(came)
            if connection is None:
                return
            with self._lock:
                self.heard.append(connection)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                behaviour = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
            try:
                behaviour(connection)
            finally:
                with self._lock:
                    self.at_once -= 1
                connection.ended.set()


def _request(came: socket.socket) -> Connection | None:
    reader = came.makefile("rb")
    first = reader.readline().decode().split()
    if len(first) < 2:
        return None
    headers = {}
    while line := reader.readline().strip().decode():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    announced = int(headers.get("content-length", 0))
    body = reader.read(announced)
    if len(body) < announced:
        return None
    return Connection(first[0], first[1], headers, json.loads(body) if body else {}, came)


# --- behaviours ------------------------------------------------------------------------------------------


def head(status: int = 200, kind: str = "text/event-stream", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"content-type: {kind}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def event(text: str | None = None, finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
    return sse({"id": "1", "object": "chat.completion.chunk", "choices": [choice], **more})


def sse(document: object) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def usage(prompt: int, completion: int) -> bytes:
    counted = {"prompt_tokens": prompt, "completion_tokens": completion}
    return sse({"id": "1", "choices": [], "usage": counted})


DONE = b"data: [DONE]\n\n"


def saying(*words: str, finish: str = "stop", prompt: int = 12, completion: int = 3) -> Behaviour:
    """A whole answer, streamed."""
    events = b"".join(event(word) for word in words)
    return sending(head(), events, event(finish=finish), usage(prompt, completion), DONE)


def sending(*parts: bytes) -> Behaviour:
    """These bytes, then the end of the connection."""

    def behave(connection: Connection) -> None:
        for part in parts:
            if not connection.send(part):
                return

    return behave


def refusing(status: int, document: object, **headers: str) -> Behaviour:
    """An error; a text or a JSON document."""
    body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
    kind = "text/plain" if isinstance(document, str) else "application/json"
    return sending(head(status, kind, content_length=str(len(body)), **headers), body)


def endless(piece: bytes, pause_seconds: float = 0.0, after: bytes = b"") -> Behaviour:
    """The same piece until the other side hangs up, at most for 30 seconds."""

    def behave(connection: Connection) -> None:
        give_up = time.monotonic() + 30
        connection.send(after)
        while time.monotonic() < give_up and connection.send(piece):
            time.sleep(pause_seconds)

    return behave


@contextmanager
def stand_in() -> Iterator[StandInEndpoint]:
    server = StandInEndpoint()
    try:
        yield server
    finally:
        server.close()
