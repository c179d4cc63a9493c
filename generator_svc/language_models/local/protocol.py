"""The lines between the generator and the process that holds a model: JSON objects, bounded both ways.

Nothing of it is code, and nothing that does not look as it must is believed.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from generator_svc.language_models.port import MAX_ANSWER_BYTES, ChatRequest, Sampling

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Eight conversations with everything escaped; an answer is far shorter."""
MAX_SENTENCE = 500
MAX_REQUESTS = 8

_MOST = 2**31 - 1
_FINISH = re.compile(r"[a-z_]{1,40}")
_CODES = frozenset({"model_not_loadable", "out_of_memory", "adapter_mismatch", "model_failed"})


class LineInvalid(Exception):
    """The process sent something that is not of this protocol."""


@dataclass(frozen=True)
class Ready:
    """The model is loaded."""

    device: str
    dtype: str


@dataclass(frozen=True)
class Answered:
    """One answer of a call."""

    call: int
    key: int
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float


@dataclass(frozen=True)
class Ended:
    """A call has no more answers."""

    call: int


@dataclass(frozen=True)
class Failed:
    """The model cannot answer. `lasting`: the process is of no more use."""

    code: str
    message: str
    lasting: bool


Event = Ready | Answered | Ended | Failed


def call_line(
    call: int, requests: Sequence[ChatRequest], sampling: Sampling, adapter: str | None, seconds: float
) -> bytes:
    """Ask for answers, all within `seconds`."""
    return _line(
        {
            "call": call,
            "requests": [
                {
                    "key": request.key,
                    "seed": request.seed,
                    "messages": [{"role": turn.role, "content": turn.content} for turn in request.messages],
                }
                for request in requests
            ],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "max_tokens": sampling.max_tokens,
            "adapter": adapter,
            "seconds": seconds,
        }
    )


def cancel_line(call: int) -> bytes:
    """Nobody waits for this call any more."""
    return _line({"cancel": call})


def event_line(event: Event) -> bytes:
    """What the process says."""
    return _line({"event": type(event).__name__.lower(), **vars(event)})


def read_event(line: bytes) -> Event:
    """What the process said. Raises LineInvalid."""
    try:
        document = json.loads(line)
        kind = document.pop("event")
        event = _KINDS[kind](**document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise LineInvalid(f"{type(error).__name__} in {line[:80]!r}") from error
    if not _is_sound(event):
        raise LineInvalid(f"a value out of bounds in {line[:80]!r}")
    return event


_KINDS: dict[str, Any] = {kind.__name__.lower(): kind for kind in (Ready, Answered, Ended, Failed)}


def _is_sound(event: Event) -> bool:
    match event:
        case Ready(str(device), str(dtype)):
            return len(device) < MAX_SENTENCE and len(dtype) < MAX_SENTENCE
        case Answered(
            int(), int(), str(text), str(finish), int(read), int(written), int() | float() as spent
        ):
            fits = len(text.encode(errors="replace")) <= MAX_ANSWER_BYTES
            counts = (read, written, spent)  # not-a-number is in no range
            return fits and bool(_FINISH.fullmatch(finish)) and all(0 <= one <= _MOST for one in counts)
        case Ended(int()):
            return True
        case Failed(str(code), str(message), bool()):
            return code in _CODES and len(message) <= MAX_SENTENCE
    return False


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
