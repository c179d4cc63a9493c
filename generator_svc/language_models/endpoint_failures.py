"""What an endpoint's refusal means, read from its status and words, and what is told to people. Pure.

The words differ: OpenAI sends `code` and `param`, vLLM a message about the context length, llama.cpp a
`type`, FastAPI servers a `detail`. Nothing of it is trusted: all is bounded, in one line, without the key.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from contracts.proposals import ProposerBlocked
from generator_svc.held_up import HeldUp
from generator_svc.language_models.endpoints import Endpoint

MAX_QUOTED = 300
"""Characters of an endpoint's own words in a message."""
_MAX_READ = 4096
_SHORTEST_SECRET = 8
"""Shorter keys are placeholders such as EMPTY; replacing them would spoil ordinary words."""


class Meaning(Enum):
    """Why an endpoint refused."""

    TRY_AGAIN = auto()
    RATE_LIMITED = auto()
    QUOTA = auto()
    KEY = auto()
    MODEL = auto()
    PROMPT_TOO_LONG = auto()
    FILTERED = auto()
    REDIRECT = auto()
    NOT_THERE = auto()
    REFUSED = auto()
    """Anything else that is wrong with the request, perhaps one parameter of it."""


@dataclass(frozen=True)
class Refusal:
    """An answer of an endpoint that is an error. `words` are bounded and hold no key."""

    status: int
    words: str
    code: str = ""
    parameter: str = ""
    kind: str = ""
    retry_after_seconds: float | None = None


def without_key(text: str, key: str | None) -> str:
    """The text with a key that it may repeat struck out."""
    return text.replace(key, "***") if key and len(key) >= _SHORTEST_SECRET else text


def refusal(status: int, body: object, key: str | None, retry_after_seconds: float | None = None) -> Refusal:
    """From a decoded error body of any form, or its plain text."""
    error = body.get("error", body) if isinstance(body, dict) else body
    message: object = error
    code = parameter = kind = ""
    if isinstance(error, dict):
        message = error.get("message") or error.get("detail") or error
        code, parameter, kind = (_word(error.get(name)) for name in ("code", "param", "type"))
    # Cut with room for a key that the cut would otherwise leave half of.
    words = without_key(_text(message)[: _MAX_READ + len(key or "")], key)[:_MAX_READ]
    line = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return Refusal(status, line, code, parameter, kind, retry_after_seconds)


def _text(message: object) -> str:
    return message if isinstance(message, str) else repr(message)


def _word(value: Any) -> str:
    return value[:80] if isinstance(value, str) else ""


_TOO_LONG_CODES = {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
_TOO_LONG = re.compile(
    r"context (length|window|size)|maximum input length|prompt is too long|reduce the length"
    r"|exceeds? the (available|maximum) context|too many (input )?tokens",
    re.IGNORECASE,
)
_FILTERED_CODES = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}
_MODEL_CODES = {"model_not_found", "invalid_model", "model_not_available"}
_MODEL = re.compile(
    r"\bmodel\b.{0,250}\b(not found|not exist|unknown|not available|not supported|no access)"
    r"|\b(invalid|unknown|no such|unsupported) model\b|\bis pinned to\b|not a valid model",
    re.IGNORECASE,
)
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance"}
_PASSING = {408, 409, 423, 425}


def meaning_of(refused: Refusal) -> Meaning:
    """What to do about it."""
    status, codes = refused.status, {refused.code, refused.kind}
    if 300 <= status < 400:
        return Meaning.REDIRECT
    if codes & _QUOTA_CODES or status == 402:
        return Meaning.QUOTA
    if _is_too_long(refused):
        return Meaning.PROMPT_TOO_LONG
    if status in {401, 403}:
        return Meaning.KEY
    if status == 429:
        return Meaning.RATE_LIMITED
    if status in _PASSING or status >= 500:
        return Meaning.TRY_AGAIN
    if codes & _FILTERED_CODES:
        return Meaning.FILTERED
    if codes & _MODEL_CODES or refused.parameter == "model" or _MODEL.search(refused.words):
        return Meaning.MODEL
    return Meaning.NOT_THERE if status in {404, 405} else Meaning.REFUSED


def _is_too_long(refused: Refusal) -> bool:
    if refused.status == 413 or {refused.code, refused.kind} & _TOO_LONG_CODES:
        return True
    return refused.status in {400, 422, 500} and bool(_TOO_LONG.search(refused.words))


def held_up_by(endpoint: Endpoint, model: str, refused: Refusal) -> HeldUp:
    """What people are told of a refusal that waiting or another form of the request did not mend."""
    meaning = meaning_of(refused)
    said = f": {refused.words[:MAX_QUOTED]}" if refused.words else ""
    where = f"endpoint {endpoint.name} ({endpoint.host})"
    answered = f"{where} answered {refused.status}{said}"
    if meaning is Meaning.RATE_LIMITED:
        return _held_up(
            "rate_limited",
            answered,
            "Wait, or lower requests_per_minute, tokens_per_minute or parallel of the endpoint.",
            retry_after_seconds=refused.retry_after_seconds,
        )
    if meaning is Meaning.TRY_AGAIN:
        remedy = f"Look at the server behind {endpoint.base_url}: the error is its own."
        return _held_up("endpoint_failed", answered, remedy, refused.retry_after_seconds)
    code, remedy = _lasting(endpoint, model, meaning)
    return HeldUp(ProposerBlocked(code, answered, remedy, retryable=False))


def _lasting(endpoint: Endpoint, model: str, meaning: Meaning) -> tuple[str, str]:
    variable = endpoint.key_variable
    if meaning is Meaning.KEY and endpoint.key is None:
        return "key_missing", f"Set {variable} to a key of this endpoint and start deltanas again."
    if meaning is Meaning.KEY:
        return "key_refused", f"Set {variable} to a key that may use {model}, and start deltanas again."
    if meaning is Meaning.QUOTA:
        return "quota_exhausted", "Add credit with the endpoint's provider, or use another endpoint."
    if meaning is Meaning.MODEL:
        return "model_unknown", f"The endpoint does not serve {model}: name one that it serves."
    if meaning in {Meaning.NOT_THERE, Meaning.REDIRECT}:
        return "endpoint_failed", f"Check its base_url, {endpoint.base_url}: it usually ends in /v1."
    remedy = "Change the options of the search, or leave the parameter out with `extra` of the endpoint."
    return "endpoint_failed", remedy


def unreachable(endpoint: Endpoint, why: str) -> HeldUp:
    """Nothing at all came from the endpoint."""
    message = f"endpoint {endpoint.name} ({endpoint.host}) does not answer: {why[:MAX_QUOTED]}"
    return _held_up("endpoint_unreachable", message, f"Start the server behind {endpoint.base_url}.")


def untrusted(endpoint: Endpoint, why: str) -> HeldUp:
    """Its certificate is none that this process trusts, so that nothing was sent to it."""
    message = f"endpoint {endpoint.name} ({endpoint.host}) is not trusted: {why[:MAX_QUOTED]}"
    remedy = "Set SSL_CERT_FILE to a file that holds its authority's certificate, and start deltanas again."
    return HeldUp(ProposerBlocked("endpoint_unreachable", message, remedy, retryable=False))


def broken(endpoint: Endpoint, why: str) -> HeldUp:
    """Something came that is no answer."""
    message = f"endpoint {endpoint.name} ({endpoint.host}) fails: {why[:MAX_QUOTED]}"
    return _held_up("endpoint_failed", message, f"Look at the server behind {endpoint.base_url}.")


def breaks_off(endpoint: Endpoint, why: str, times: int) -> HeldUp:
    """One answer broke off so many times. Each was paid for, and none is counted: waiting would go on so."""
    message = f"endpoint {endpoint.name} ({endpoint.host}) broke off {times} answers to one prompt: "
    remedy = (
        f"Look at the server behind {endpoint.base_url}, and at what stands before it and may cut answers."
    )
    return HeldUp(ProposerBlocked("endpoint_failed", message + why[:MAX_QUOTED], remedy, retryable=False))


def not_an_api(endpoint: Endpoint, why: str) -> HeldUp:
    """Something answers there that speaks another language."""
    message = f"endpoint {endpoint.name} ({endpoint.host}) is not a chat interface: {why[:MAX_QUOTED]}"
    remedy = f"Check its base_url, {endpoint.base_url}: it usually ends in /v1."
    return HeldUp(ProposerBlocked("endpoint_failed", message, remedy, retryable=False))


def over_own_caps(endpoint: Endpoint, retry_after_seconds: float) -> HeldUp:
    """The operator's own caps leave no room soon."""
    message = f"endpoint {endpoint.name} has used up its own requests_per_minute or tokens_per_minute"
    remedy = "Wait, or raise the caps in DELTANAS_LLM_ENDPOINTS."
    return _held_up("rate_limited", message, remedy, retry_after_seconds)


def wants_a_pause(endpoint: Endpoint, retry_after_seconds: float) -> HeldUp:
    """It told another request to come back later, and that is not yet."""
    message = f"endpoint {endpoint.name} ({endpoint.host}) asked for a pause, which is not over"
    remedy = "Wait; `parallel` and `requests_per_minute` in DELTANAS_LLM_ENDPOINTS make requests rarer."
    return _held_up("rate_limited", message, remedy, retry_after_seconds)


def _held_up(code: str, message: str, remedy: str, retry_after_seconds: float | None = None) -> HeldUp:
    return HeldUp(
        ProposerBlocked(code, message, remedy, retryable=True, retry_after_seconds=retry_after_seconds)
    )
