"""HTTP as the client speaks it: connections, retries, problem documents, server-sent events.

A request that gets no answer is sent again for a while, so a server that restarts in between goes
unnoticed. That is safe for POST too, because every POST carries an Idempotency-Key.
"""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from contracts.addresses import parse_address
from deltanas.errors import PlatformFailed, RequestInvalid, ServerUnreachable, error_for

_DELAYS_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 2.0, 4.0, 4.0)
_BUSY = frozenset({429, 502, 503})
_EVENT_SILENCE_SECONDS = 60.0
"""The server sends a comment every 15 seconds; a longer silence is a lost connection."""
_LINE_SILENCE_SECONDS = 600.0
"""Between two lines of an answer something may have to be computed."""
_MAX_LINE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Event:
    """One server-sent event. `data` is its JSON."""

    id: str
    kind: str
    data: dict[str, Any]


class Transport:
    """One server. Every method raises an error of `deltanas.errors`."""

    def __init__(
        self, address: str, api_key: str | None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.address = address
        parsed = parse_address(address)
        if transport is None and parsed.socket_path:
            transport = httpx.HTTPTransport(uds=parsed.socket_path)
        headers = {"accept": "application/json", "user-agent": "deltanas"}
        if api_key:
            headers["authorization"] = f"Bearer {api_key}"
        # trust_env off: a proxy of the environment must not see candidates on their way to loopback.
        self._http = httpx.Client(
            base_url=parsed.base_url, headers=headers, transport=transport, timeout=30.0, trust_env=False
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Send a request, again if need be, and give the JSON of the answer."""
        answer = self.send(method, path, **options)
        if answer.status_code == 204 or not answer.content:
            return None
        try:
            return answer.json()
        except ValueError as error:
            raise PlatformFailed(f"{self.address} answered {path} with something that is not JSON") from error

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request, again if need be, and give a successful answer."""
        headers = dict(options.pop("headers", {}))
        if "json" in options:
            options["content"] = _encoded(options.pop("json"))
            headers["content-type"] = "application/json"
        if method == "POST":
            headers.setdefault("idempotency-key", uuid.uuid4().hex)
        for delay in (*_DELAYS_SECONDS, None):
            try:
                answer = self._http.request(method, path, headers=headers, **options)
            except httpx.TransportError as error:
                if delay is None or not _may_return(error):
                    raise ServerUnreachable(_nobody(self.address, error)) from error
                time.sleep(delay)
                continue
            if answer.is_success:
                return answer
            if answer.status_code not in _BUSY or delay is None:
                raise error_for(answer.status_code, _problem(answer))
            time.sleep(_asked_delay(answer, delay))
        raise AssertionError("unreachable")

    def upload(self, path: str, parameters: dict[str, str], content: Iterator[bytes]) -> Any:
        """Send a stream once: what has been read cannot be sent again."""
        headers = {"content-type": "application/octet-stream"}
        try:
            answer = self._http.post(path, params=parameters, content=content, headers=headers, timeout=600.0)
        except httpx.TransportError as error:
            raise ServerUnreachable(_nobody(self.address, error)) from error
        if not answer.is_success:
            raise error_for(answer.status_code, _problem(answer))
        return answer.json()

    def download(self, path: str) -> Iterator[bytes]:
        """Get an answer piece by piece, once."""
        try:
            with self._http.stream("GET", path, timeout=_LINE_SILENCE_SECONDS) as answer:
                if not answer.is_success:
                    answer.read()
                    raise error_for(answer.status_code, _problem(answer))
                yield from answer.iter_bytes()
        except httpx.ConnectError as error:
            raise ServerUnreachable(_nobody(self.address, error)) from error
        except httpx.TransportError as error:
            raise PlatformFailed(f"{self.address} broke off in the middle of its answer ({error})") from error

    def lines(self, path: str, document: Any) -> Iterator[dict[str, Any]]:
        """Post JSON once, and give each line of the answer, an object, as it comes."""
        headers = {"content-type": "application/json", "accept": "application/x-ndjson"}
        try:
            with self._http.stream(
                "POST", path, content=_encoded(document), headers=headers, timeout=_LINE_SILENCE_SECONDS
            ) as answer:
                if not answer.is_success:
                    answer.read()
                    raise error_for(answer.status_code, _problem(answer))
                for line in answer.iter_lines():
                    yield _parsed_line(line)
        except httpx.ConnectError as error:
            raise ServerUnreachable(_nobody(self.address, error)) from error
        except httpx.TransportError as error:
            raise PlatformFailed(f"{self.address} broke off in the middle of its answer ({error})") from error

    def events(self, path: str, last_id: str = "") -> Iterator[Event]:
        """Follow a stream of events until the server ends it; a lost connection is taken up again."""
        delays = iter(_DELAYS_SECONDS)
        while True:
            headers = {"accept": "text/event-stream", **({"last-event-id": last_id} if last_id else {})}
            try:
                with self._http.stream(
                    "GET", path, headers=headers, timeout=_EVENT_SILENCE_SECONDS
                ) as answer:
                    if not answer.is_success:
                        answer.read()
                        raise error_for(answer.status_code, _problem(answer))
                    for event in _parse_events(answer.iter_lines()):
                        last_id = event.id or last_id
                        delays = iter(_DELAYS_SECONDS)
                        yield event
                    return
            except httpx.TransportError as error:
                delay = next(delays, None)
                if delay is None:
                    raise ServerUnreachable(_nobody(self.address, error)) from error
                time.sleep(delay)


def _parse_events(lines: Iterator[str]) -> Iterator[Event]:
    """The event stream format of the HTML standard, as far as the gateway uses it."""
    fields: dict[str, str] = {}
    for line in lines:
        if len(line) > _MAX_LINE_BYTES:
            raise PlatformFailed("an event of the server is too long")
        if not line:
            if "data" in fields:
                yield _event(fields)
            fields = {}
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data" and "data" in fields:
            value = f"{fields['data']}\n{value}"
        if name:
            fields[name] = value


def _event(fields: dict[str, str]) -> Event:
    try:
        data = json.loads(fields["data"])
    except ValueError as error:
        raise PlatformFailed("an event of the server is not JSON") from error
    return Event(fields.get("id", ""), fields.get("event", "message"), data if isinstance(data, dict) else {})


def _parsed_line(line: str) -> dict[str, Any]:
    if len(line) > _MAX_LINE_BYTES:
        raise PlatformFailed("a line of the server is too long")
    try:
        document = json.loads(line)
    except ValueError as error:
        raise PlatformFailed("a line of the server is not JSON") from error
    if not isinstance(document, dict):
        raise PlatformFailed("a line of the server is not a JSON object")
    return document


def _encoded(document: Any) -> bytes:
    """Strict JSON. Its escapes carry even text without an encoding, for the server to name the field."""
    try:
        return json.dumps(document, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestInvalid(
            f"the request cannot be written as JSON: {error}",
            {
                "code": "not_json",
                "remedy": "Use words, finite numbers, true, false, lists and mappings only.",
            },
        ) from error


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    return {"status": answer.status_code, "detail": f"HTTP status {answer.status_code} from {answer.url}"}


def _may_return(error: httpx.TransportError) -> bool:
    return not isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError)


def _asked_delay(answer: httpx.Response, usual: float) -> float:
    asked = answer.headers.get("retry-after", "")
    return min(float(asked), 10.0) if asked.isdigit() else usual


def _nobody(address: str, error: httpx.TransportError) -> str:
    return f"no server answers at {address} ({error}); start one with `deltanas up`"
