"""Asks services how they are, over unix sockets and TCP alike, without ever waiting long."""

import json
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import Any

from contracts.addresses import Address, parse_address

_SECONDS = 2.0


@dataclass(frozen=True)
class Readiness:
    """The answer of /readyz: `reasons` say what is missing, and are empty when ready."""

    ready: bool
    reasons: tuple[str, ...] = ()


def is_alive(address: str) -> bool:
    """Whether a service answers /healthz."""
    status, _ = _get(address, "/healthz")
    return status == 200


def readiness(address: str) -> Readiness:
    """What a service says about itself on /readyz."""
    status, document = _get(address, "/readyz")
    if status == 200:
        return Readiness(True)
    return Readiness(False, _reasons(document) if status else ("it does not answer",))


def _get(address: str, path: str) -> tuple[int, Any]:
    """Status and JSON of an answer; (0, None) when there is none."""
    where = parse_address(address)
    try:
        with closing(_connection(where)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read(65_536) or b"null")
    except (OSError, HTTPException, ValueError):
        return 0, None


def _connection(address: Address) -> HTTPConnection:
    if address.socket_path is None:
        return HTTPConnection(address.host, address.port, timeout=_SECONDS)
    connection = HTTPConnection("localhost", timeout=_SECONDS)
    connection.sock = socket(AF_UNIX, SOCK_STREAM)
    connection.sock.settimeout(_SECONDS)
    try:
        connection.sock.connect(address.socket_path)
    except OSError:
        connection.close()  # The request below then fails as it does where nobody listens.
    return connection


def _reasons(document: Any) -> tuple[str, ...]:
    found = document.get("reasons") or document.get("detail") if isinstance(document, dict) else None
    if isinstance(found, dict):
        return tuple(f"{part}: {reason}" for part, reason in found.items())
    if isinstance(found, list):
        return tuple(str(reason) for reason in found)
    return (str(found or "it gives no reason"),)
