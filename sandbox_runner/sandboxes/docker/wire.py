"""What runner and launcher say to each other: one connection is one sandbox, one packet is one message.

The runner says START, then any of the other requests; each gets one reply. The reply to START carries the
host ends of three pipes. When the connection ends, for whatever reason, the sandbox does. A request holds
bounded numbers and plain words: none of it becomes a mount, an image or an option of a container.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from contracts.measurements import LIMIT_RANGES, MIB

MAX_MESSAGE_BYTES = 128 * 1024
"""One packet; the kernel's default buffer for sockets holds it."""
PIPES = 3
"""to_guest, from_guest, output: the descriptors that come with the reply to START, in this order."""

NAME = re.compile(r"[a-z0-9-]{1,100}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
DEVICE = re.compile(r"(GPU|MIG)-[0-9a-fA-F-]{8,80}")
MAX_WORDS = 64
MAX_WORD_CHARACTERS = 100_000
SMALLEST_PROBE = {"memory_bytes": 32 * MIB, "pids": 4, "disk_bytes": 64 * 1024, "wall_seconds": 0.1}
"""The proof that limits bite uses smaller ones than any attempt may ask for."""
ALLOWANCE_BYTES = 4096 * MIB
"""At most this much comes on top of an attempt's memory limit, for what the guest holds when it begins."""
THREADS = (1, 256)


class Runtime(StrEnum):
    """What runs the container."""

    RUNC = "runc"
    RUNSC = "runsc"


class Request(StrEnum):
    """What the runner asks for."""

    START = "start"
    USAGE = "usage"
    EXIT = "exit"
    KILL = "kill"
    CLOSE = "close"


class RequestRefused(Exception):
    """A request that the launcher does not carry out. The text names the field."""


@dataclass(frozen=True)
class Start:
    """One sandbox, as the runner asks for it."""

    runtime: Runtime
    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    memory_bytes: int
    pids: int
    disk_bytes: int
    wall_seconds: float
    threads: int
    device: str | None


def encode(message: Mapping[str, Any]) -> bytes:
    """One packet. Raises RequestRefused when the message is too long for one."""
    packet = json.dumps(message).encode()
    if len(packet) > MAX_MESSAGE_BYTES:
        raise RequestRefused(f"the message has {len(packet)} bytes, more than {MAX_MESSAGE_BYTES}")
    return packet


def decode(packet: bytes) -> dict[str, Any]:
    """The message of one packet. Raises RequestRefused."""
    try:
        message = json.loads(packet)
    except (ValueError, RecursionError) as error:
        raise RequestRefused("the message is no JSON") from error
    if not isinstance(message, dict):
        raise RequestRefused("the message is no JSON object")
    return message


def start_message(start: Start) -> dict[str, Any]:
    """The message that asks for a sandbox."""
    return {"request": Request.START, **asdict(start)}


def read_start(message: Mapping[str, Any]) -> Start:
    """The sandbox that a message asks for, every field checked. Raises RequestRefused."""
    fields = {name: value for name, value in message.items() if name != "request"}
    missing = Start.__dataclass_fields__.keys() ^ fields.keys()
    if missing:
        raise RequestRefused(f"fields are missing or unknown: {', '.join(sorted(missing))[:200]!a}")
    return Start(
        runtime=Runtime(_word(fields, "runtime", re.compile("|".join(Runtime)))),
        name=_word(fields, "name", NAME),
        argv=_argv(fields["argv"]),
        environment=_environment(fields["environment"]),
        memory_bytes=_limit(fields, "memory_bytes", ALLOWANCE_BYTES),
        pids=_limit(fields, "pids"),
        disk_bytes=_limit(fields, "disk_bytes"),
        wall_seconds=_number(fields, "wall_seconds", *_range("wall_seconds")),
        threads=_whole(fields, "threads", *THREADS),
        device=None if fields["device"] is None else _word(fields, "device", DEVICE),
    )


def _range(name: str, allowance: int = 0) -> tuple[float, float]:
    return SMALLEST_PROBE[name], LIMIT_RANGES[name][1] + allowance


def _limit(fields: Mapping[str, Any], name: str, allowance: int = 0) -> int:
    return _whole(fields, name, *_range(name, allowance))


def _whole(fields: Mapping[str, Any], name: str, lowest: float, highest: float) -> int:
    if not isinstance(fields[name], int):
        raise RequestRefused(f"{name} is no whole number")
    return int(_number(fields, name, lowest, highest))


def _number(fields: Mapping[str, Any], name: str, lowest: float, highest: float) -> float:
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestRefused(f"{name} is no number")
    if not lowest <= value <= highest:  # nor is NaN
        raise RequestRefused(f"{name} is not between {lowest:g} and {highest:g}")
    return value


def _word(fields: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = fields[name]
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise RequestRefused(f"{name} does not match {pattern.pattern}")
    return value


def _argv(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_WORDS:
        raise RequestRefused(f"argv is no list of 1 to {MAX_WORDS} words")
    return tuple(_text("argv", word) for word in value)


def _environment(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MAX_WORDS:
        raise RequestRefused(f"environment is no object of at most {MAX_WORDS} variables")
    for name in value:
        if not VARIABLE.fullmatch(name):
            raise RequestRefused(f"environment: a name does not match {VARIABLE.pattern}")
    return {name: _text("environment", text) for name, text in value.items()}


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value or len(value) > MAX_WORD_CHARACTERS:
        raise RequestRefused(f"{name} holds something else than text of {MAX_WORD_CHARACTERS} characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RequestRefused(f"{name} holds text that is not UTF-8") from error
    return value
