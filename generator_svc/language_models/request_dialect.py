"""The body of a request, and what an endpoint was found not to take of it. Pure.

Endpoints differ in what they know: OpenAI refuses `top_k`, its newer models want `max_completion_tokens`
and a temperature of their own, some servers refuse any field they do not know. Each says so by name, so what
is refused by name is left out and the rest is sent again. What was sent is recorded with the answer.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from contracts.chats import ChatMessage
from generator_svc.language_models.answer_reading import CHARACTERS_OF_A_TOKEN
from generator_svc.language_models.endpoint_failures import Refusal
from generator_svc.language_models.port import Sampling

_SEED_BITS = 31
"""llama.cpp and others take no larger seed."""

_OPTIONAL = ("stream_options", "top_k", "seed", "top_p", "temperature")
"""What an endpoint may refuse, the least missed first."""

_BY_VALUE = frozenset({"top_k", "top_p", "temperature"})
"""Of these a refusal may mean the value alone, which another search does not send."""

_RECORDED = ("temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "seed")


@dataclass(frozen=True)
class Dialect:
    """What one model at one endpoint takes. The first try sends everything."""

    without: frozenset[tuple[str, float | None]] = frozenset()
    """Parameters, and the value that was refused where that may have been the reason."""
    limit_name: str = "max_tokens"

    def after(self, refused: Refusal, body: Mapping[str, Any]) -> "Dialect | None":
        """Without the parameter that the refusal names; None where it names none that could be left out."""
        if refused.status not in {400, 422}:
            return None
        if self.limit_name == "max_tokens" and _names("max_completion_tokens", refused):
            return replace(self, limit_name="max_completion_tokens")
        for name in _OPTIONAL:
            left_out = _as_left_out(name, body.get(name))
            sent = name in body and left_out not in self.without
            if sent and (refused.parameter == name or _names(name, refused)):
                return replace(self, without=self.without | {left_out})
        return None

    def takes(self, name: str, value: Any) -> bool:
        """Whether it is to be sent."""
        return _as_left_out(name, value) not in self.without


def _as_left_out(name: str, value: Any) -> tuple[str, float | None]:
    return name, value if name in _BY_VALUE and isinstance(value, int | float) else None


def _names(parameter: str, refused: Refusal) -> bool:
    return re.search(rf"\b{parameter}\b", refused.words) is not None


def folded_seed(seed: int) -> int:
    """The seed as endpoints can take it."""
    return seed % 2**_SEED_BITS


def parameters(sampling: Sampling, seed: int, extra: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """All of a request's body but the model and its messages."""
    wanted = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": folded_seed(seed),
        dialect.limit_name: sampling.max_tokens,
        "stream_options": {"include_usage": True},
    }
    taken = {name: value for name, value in wanted.items() if dialect.takes(name, value)}
    return {name: value for name, value in {**taken, **extra}.items() if value is not None}


def recorded(sent: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, float | int | str | bool | None]:
    """What is kept of the parameters with the answer, so that it can be asked for again."""
    kept = {name: value for name, value in sent.items() if name in _RECORDED or name in extra}
    plain = (float, int, str, bool)
    return {name: value if isinstance(value, plain) else json.dumps(value) for name, value in kept.items()}


def chat_messages(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    """The conversation as endpoints spell it."""
    return [{"role": message.role, "content": message.content} for message in messages]


def prompt_tokens(messages: Sequence[ChatMessage]) -> int:
    """About how many a prompt has, where no endpoint has counted."""
    return sum(len(message.content) // CHARACTERS_OF_A_TOKEN + 8 for message in messages)


def expected_tokens(messages: Sequence[ChatMessage], sampling: Sampling) -> int:
    """About what a request will use, for caps that must hold before an endpoint has counted."""
    return prompt_tokens(messages) + sampling.max_tokens
