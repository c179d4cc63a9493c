"""What calls to the other services have in common. Synchronous: callers are worker threads.

Every answer is validated against its contract. A service that cannot be reached, times out, or breaks
raises ServiceUnavailable (retry later); one that refuses the request raises ServiceRefused (do not retry).
"""

import json
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from contracts.addresses import parse_address
from contracts.log_context import request_headers

T = TypeVar("T")

_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}

CONNECT_SECONDS = 5.0
CALL_SECONDS = 60.0
PROPOSAL_SECONDS = 600.0
"""Between two lines of a streamed answer; the generator sends empty ones while a model takes its time."""
MAX_LINE_BYTES = 16 * 1024 * 1024
"""Of a streamed answer: a proposal with the calls behind it holds prompts and answers several times over,
each in JSON's longest escapes at worst."""
_NDJSON = {"content-type": "application/x-ndjson"}


class ServiceUnavailable(Exception):
    """A service cannot be reached, times out, or fails. Retry later.

    `document` is its problem document where it sent one.
    """

    def __init__(self, service: str, detail: str, document: dict[str, Any] | None = None) -> None:
        super().__init__(f"{service}: {detail}")
        self.service = service
        self.detail = detail
        self.document = document or {}


class ServiceRefused(Exception):
    """A service refused the request with a 4xx. `document` is its problem document, possibly empty."""

    def __init__(self, service: str, status: int, document: dict[str, Any]) -> None:
        super().__init__(f"{service}: {status} {document.get('detail', '')}")
        self.service = service
        self.status = status
        self.document = document

    @classmethod
    def in_stream(cls, service: str, document: dict[str, Any]) -> Self:
        """From the last line of a streamed answer, which began well."""
        status = document.get("status")
        return cls(service, status if isinstance(status, int) else 502, document)


class ServiceClient:
    """One service behind its address, with the family's token."""

    name = "service"

    def __init__(self, address: str, token: str | None, transport: httpx.BaseTransport | None = None) -> None:
        self._address = parse_address(address)
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=self._address.base_url,
            headers=self._headers,
            timeout=httpx.Timeout(CALL_SECONDS, connect=CONNECT_SECONDS),
            transport=transport or httpx.HTTPTransport(uds=self._address.socket_path),
            event_hooks={"request": [_name_request]},
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def readiness_problems(self) -> list[str]:
        """Why the service is not ready; empty when it is."""
        try:
            response = self._http.get("/readyz", timeout=CONNECT_SECONDS)
        except httpx.HTTPError as error:
            return [f"the {self.name} cannot be reached ({type(error).__name__})"]
        if response.status_code == 200:
            return []
        return [f"the {self.name} is not ready: {reason}" for reason in _reasons(response)]

    def _asynchronous(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._address.base_url,
            headers=self._headers,
            timeout=httpx.Timeout(PROPOSAL_SECONDS, connect=CONNECT_SECONDS),
            transport=httpx.AsyncHTTPTransport(uds=self._address.socket_path),
            event_hooks={"request": [_name_request_in_loop]},
        )

    def _call(self, method: str, path: str, **options: Any) -> bytes:
        with self._stream(method, path, **options) as response:
            return response.read()

    @contextmanager
    def _stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        try:
            with self._http.stream(method, path, **options) as response:
                self._raise_for_status(response)
                yield response
        except httpx.HTTPError as error:
            raise ServiceUnavailable(self.name, f"{type(error).__name__} {error}".strip()) from error

    def _raise_for_status(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        body = response.read()
        # 401 is a wrong token between our own services: mending it is the operator's, not the caller's.
        if response.status_code >= 500 or response.status_code in {401, 408, 429}:
            detail = f"answered {response.status_code}: {body[:500].decode('utf-8', 'replace')}"
            raise ServiceUnavailable(self.name, detail, _document(body))
        raise ServiceRefused(self.name, response.status_code, _document(body))

    def _exchange_lines(
        self, path: str, parameters: dict[str, Any], lines: Iterable[Any], kind: type[T]
    ) -> Generator[T, None, None]:
        """Send contracts one a line, all of them, then give each line of the answer."""
        with self._stream(
            "POST",
            path,
            params=parameters,
            content=(_adapter(type(line)).dump_json(line, exclude_none=True) + b"\n" for line in lines),
            headers=_NDJSON,
            timeout=httpx.Timeout(PROPOSAL_SECONDS, connect=CONNECT_SECONDS),
        ) as response:
            for line in self._lines(response):
                yield self._parse(kind, line)

    def _lines(self, response: httpx.Response, *, blank_ones: bool = False) -> Iterator[bytes]:
        """The lines of an answer, without blank ones. httpx splits at U+2028, too, which JSON may hold."""
        parts: list[bytes] = []
        size = 0
        for chunk in response.iter_bytes():
            *whole, rest = chunk.split(b"\n")
            if whole:
                whole[0] = b"".join([*parts, whole[0]])
                parts, size = [], 0
                yield from whole if blank_ones else filter(bytes.strip, whole)
            parts.append(rest)
            size += len(rest)
            if size > MAX_LINE_BYTES:
                raise ServiceUnavailable(self.name, f"answered a line of more than {MAX_LINE_BYTES} bytes")
        if (rest := b"".join(parts)).strip():
            yield rest

    def _parse(self, kind: type[T], body: bytes | str) -> T:
        try:
            parsed: T = _adapter(kind).validate_json(body)
        except ValidationError as error:
            raise ServiceUnavailable(self.name, f"answered nonsense: {error}"[:500]) from error
        return parsed


def _adapter(kind: Any) -> TypeAdapter[Any]:
    """One for each contract, kept: to build one takes longer than to read a hundred answers with it."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _document(body: bytes) -> dict[str, Any]:
    """The problem document of an answer, empty where it has none."""
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _reasons(response: httpx.Response) -> list[str]:
    """The sentences of a /readyz answer; of any other answer, its status."""
    try:
        reasons = response.json()["reasons"]
    except (ValueError, LookupError, TypeError):
        reasons = None
    if not isinstance(reasons, list) or not reasons:
        return [f"it answered {response.status_code}"]
    return [str(reason)[:500] for reason in reasons[:10]]


def _name_request(request: httpx.Request) -> None:
    """Let the other service's log be joined with ours."""
    request.headers.update(request_headers())


async def _name_request_in_loop(request: httpx.Request) -> None:
    _name_request(request)
