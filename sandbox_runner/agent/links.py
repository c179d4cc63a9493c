"""The two services that an agent speaks with, each as a few typed calls over HTTP.

Where its host trains, they are those of `training_links`.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter

from contracts.addresses import parse_address
from contracts.jobs import (
    AgentHeartbeat,
    AttemptOutcome,
    AttemptSpec,
    AttemptStatus,
    ClaimedAttempt,
    RunnerCapabilities,
)
from contracts.log_context import request_headers

CALL_SECONDS = 15.0
CONNECT_SECONDS = 5.0
DOWNLOAD_SECONDS = 60.0
"""Between two pieces of a download."""
DOWNLOAD_BYTES = 1024 * 1024

_CLAIMED = TypeAdapter(ClaimedAttempt)
_STATUS = TypeAdapter(AttemptStatus)
_CAPABILITIES = TypeAdapter(RunnerCapabilities)
_HEARTBEAT = TypeAdapter(AgentHeartbeat)
_OUTCOME = TypeAdapter(AttemptOutcome)
_SPEC = TypeAdapter(AttemptSpec)


class Unreachable(Exception):
    """The service did not answer, or answered that it cannot now. Worth trying again."""


class Rejected(Exception):
    """The service refused for good: HTTP `status`, `code` of its problem, its words as `str(error)`."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ServiceLink:
    """One service behind an address, with the service token."""

    def __init__(self, address: str, token: str) -> None:
        where = parse_address(address)
        self._client = httpx.Client(
            base_url=where.base_url,
            transport=httpx.HTTPTransport(uds=where.socket_path),
            headers={"authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(CALL_SECONDS, connect=CONNECT_SECONDS),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        wait_seconds: float = 0.0,
        patience_seconds: float = CALL_SECONDS,
    ) -> httpx.Response:
        """One call. Raises Unreachable or Rejected."""
        try:
            response = self._client.request(
                method,
                path,
                content=content,
                params={**(parameters or {}), **({"wait": f"{wait_seconds:.3f}"} if wait_seconds else {})},
                headers={"content-type": "application/json", **request_headers(), **(headers or {})},
                timeout=httpx.Timeout(patience_seconds + wait_seconds, connect=CONNECT_SECONDS),
            )
        except httpx.HTTPError as error:
            raise Unreachable(f"{method} {path}: {type(error).__name__} {error}") from error
        return self._checked(method, path, response)

    @contextmanager
    def _download(self, path: str, headers: Mapping[str, str] | None = None) -> Iterator[Iterator[bytes]]:
        """The bytes of an answer as they come. Raises Unreachable, also on the way, or Rejected."""
        timeout = httpx.Timeout(DOWNLOAD_SECONDS, connect=CONNECT_SECONDS)
        sent = {**request_headers(), **(headers or {})}
        try:
            with self._client.stream("GET", path, headers=sent, timeout=timeout) as response:
                if response.status_code >= 400:
                    response.read()
                self._checked("GET", path, response)
                yield response.iter_raw(DOWNLOAD_BYTES)
        except httpx.HTTPError as error:
            raise Unreachable(f"GET {path}: {type(error).__name__} {error}") from error

    @staticmethod
    def _checked(method: str, path: str, response: httpx.Response) -> httpx.Response:
        if response.status_code >= 500 or response.status_code == 429:
            raise Unreachable(f"{method} {path}: {response.status_code} {response.text[:500]}")
        if response.status_code >= 400:
            raise Rejected(response.status_code, response.text[:2000], _problem_code(response))
        return response


@dataclass(frozen=True)
class Lease:
    """What a call about a claimed attempt must show."""

    attempt_id: str
    token: str


class GatewayLink(ServiceLink):
    """The gateway's internal surface."""

    def heartbeat_agent(self, agent_id: str, heartbeat: AgentHeartbeat) -> None:
        """Say what this host can do."""
        path = f"/internal/v1/agents/{quote(agent_id, safe='')}:heartbeat"
        self._call("POST", path, content=_HEARTBEAT.dump_json(heartbeat))

    def next_attempt(self, agent_id: str, wait_seconds: float) -> str | None:
        """The id of an attempt to claim, or None when there is none within the wait."""
        path = f"/internal/v1/agents/{quote(agent_id, safe='')}/next"
        response = self._call("GET", path, wait_seconds=wait_seconds)
        return None if response.status_code == 204 else str(response.json()["attempt_id"])

    def claim(self, agent_id: str, attempt_id: str, key: str) -> ClaimedAttempt | None:
        """Claim an attempt; None when it cannot be claimed any more. It may be repeated with the same key."""
        content = TypeAdapter(dict[str, str]).dump_json({"agent_id": agent_id, "key": key})
        try:
            response = self._call("POST", self._attempt(attempt_id, "claim"), content=content)
        except Rejected as rejected:
            if rejected.status in {404, 409}:
                return None
            raise
        return _CLAIMED.validate_json(response.content)

    def heartbeat(self, lease: Lease, phase: str) -> bool:
        """Keep the lease; True asks to cancel. Raises Rejected (409) when the lease is lost."""
        content = TypeAdapter(dict[str, str]).dump_json({"phase": phase})
        response = self._call(
            "POST", self._attempt(lease.attempt_id, "heartbeat"), content=content, headers=shown(lease)
        )
        return bool(response.json().get("cancel"))

    def report(self, lease: Lease, outcome: AttemptOutcome) -> None:
        """Deliver the outcome. Raises Rejected (409) when it is stale."""
        path = self._attempt(lease.attempt_id, "report")
        self._call("POST", path, content=_OUTCOME.dump_json(outcome), headers=shown(lease))

    def release(self, lease: Lease) -> None:
        """Give the attempt back unfinished, by nobody's fault. Raises Rejected (409) when it is lost."""
        self._call("POST", self._attempt(lease.attempt_id, "release"), headers=shown(lease))

    @staticmethod
    def _attempt(attempt_id: str, verb: str) -> str:
        return f"/internal/v1/attempts/{quote(attempt_id, safe='')}:{verb}"


class RunnerLink(ServiceLink):
    """The local runner."""

    def capabilities(self) -> RunnerCapabilities:
        """What the host offers."""
        return _CAPABILITIES.validate_json(self._call("GET", "/v1/capabilities").content)

    def put(self, spec: AttemptSpec) -> AttemptStatus:
        """Start an attempt. Raises Rejected: 409 when no slot is free, 422 when it cannot run here."""
        content = _SPEC.dump_json(spec)
        return _STATUS.validate_json(self._call("PUT", self._path(spec.attempt_id), content=content).content)

    def status(self, attempt_id: str, wait_seconds: float) -> AttemptStatus | None:
        """The attempt, once it is finished or the wait is over; None when the runner does not know it."""
        try:
            response = self._call("GET", self._path(attempt_id), wait_seconds=wait_seconds)
        except Rejected as rejected:
            if rejected.status == 404:
                return None
            raise
        return _STATUS.validate_json(response.content)

    def delete(self, attempt_id: str) -> None:
        """Kill the attempt and forget it."""
        self._call("DELETE", self._path(attempt_id))

    def known_attempts(self) -> list[str]:
        """Ids of all attempts that the runner runs or remembers."""
        items: list[dict[str, Any]] = self._call("GET", "/v1/attempts").json()["items"]
        return [str(item["attempt_id"]) for item in items]

    @staticmethod
    def _path(attempt_id: str) -> str:
        return f"/v1/attempts/{quote(attempt_id, safe='')}"


def _problem_code(response: httpx.Response) -> str:
    try:
        document = response.json()
    except ValueError:
        return ""
    return str(document.get("code", "")) if isinstance(document, dict) else ""


def shown(lease: Lease) -> dict[str, str]:
    """The header that proves a lease."""
    return {"X-Attempt-Token": lease.token}
