"""What the gateway and the agents of a farm say through a broker: the name of one attempt, and nothing else.

Whoever can write to the broker can write anything. So a message is compared, whole, with the only one that
may be sent about the attempt that it names: what differs anywhere is refused before anything acts on it.
"""

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

BROKER_SCHEMES = frozenset({"redis", "rediss", "redis+socket"})
"""Redis over TCP, over TLS, over a unix socket. Other brokers were never tried, so they are refused."""

MAX_MESSAGE_BYTES = 512
"""No message is longer; longer ones are not even parsed."""

TASK = "deltanas.attempt"
"""The one task that agents know."""

JSON_TYPE = "application/json"
JSON_ENCODING = "utf-8"

_ATTEMPT_ID = re.compile(r"(?:at|fa)_[0-9a-f]{28}")
"""Of an attempt at an evaluation, or at a fine-tune."""
_NOTHING_AFTERWARDS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class Resource(StrEnum):
    """What an agent of a farm lends; its value is the queue where attempts wait for any such agent."""

    CPU = "sandbox_runner.cpu"
    GPU = "sandbox_runner.gpu"
    FINE_TUNE = "generator_svc.fine_tune"

    def offers(self, device: str) -> bool:
        """Whether a device, as evaluations name it, is of this kind."""
        return self is not Resource.FINE_TUNE and (device == "cpu") == (self is Resource.CPU)

    @property
    def kind(self) -> str:
        """In names of agents and logs."""
        return self.name.lower().replace("_", "-")

    def queue_of(self, agent_id: str) -> str:
        """Where those attempts wait that not every agent of this resource can run."""
        return f"{self.value}.{agent_id}"


class BrokerAddressInvalid(ValueError):
    """The address is not that of a Redis. It is not repeated here: it may hold a password."""


def check_broker_url(url: str) -> None:
    """See that it is the address of a Redis. Raises BrokerAddressInvalid."""
    try:
        is_redis = urlsplit(url).scheme in BROKER_SCHEMES
    except ValueError:
        is_redis = False
    if not is_redis:
        raise BrokerAddressInvalid(
            "the broker's address (DELTANAS_BROKER_URL) is not one of a Redis: write "
            "redis://[user:password@]host[:port][/number], rediss://… or redis+socket:///path/to.sock"
        )


class MessageRefused(ValueError):
    """A message says more, less or something else than one attempt's name."""


def message_body(attempt_id: str) -> bytes:
    """Celery's second protocol: one argument, no keywords, nothing to do afterwards."""
    return json.dumps([[attempt_id], {}, _NOTHING_AFTERWARDS]).encode()


def message_headers(attempt_id: str) -> dict[str, Any]:
    """The least that Celery's second protocol asks for."""
    return {
        "lang": "py",
        "task": TASK,
        "id": attempt_id,
        "root_id": attempt_id,
        "parent_id": None,
        "group": None,
    }


def named_attempt(headers: object, body: object, content_type: object, content_encoding: object) -> str:
    """The attempt that a message names. Raises MessageRefused."""
    if (content_type, content_encoding) != (JSON_TYPE, JSON_ENCODING):
        raise MessageRefused("it is not JSON in UTF-8")
    text = body.encode("utf-8", "replace") if isinstance(body, str) else body
    if not isinstance(text, bytes) or len(text) > MAX_MESSAGE_BYTES or not isinstance(headers, Mapping):
        raise MessageRefused("it has no headers, or no body of a bearable length")
    attempt_id = headers.get("id")
    if not isinstance(attempt_id, str) or not _ATTEMPT_ID.fullmatch(attempt_id):
        raise MessageRefused("it names no attempt")
    if dict(headers) != message_headers(attempt_id) or text != message_body(attempt_id):
        raise MessageRefused("it says more, or something else, than an attempt's name")
    return attempt_id
