"""The endpoints that the operator named, read from `DELTANAS_LLM_…` variables. Nothing is asked of them here.

One endpoint: `DELTANAS_LLM_BASE_URL`, `DELTANAS_LLM_MODEL`, and `DELTANAS_LLM_API_KEY` where it wants a key;
its name is `default`. Several: `DELTANAS_LLM_ENDPOINTS`, JSON of name to settings, with the keys apart in
`DELTANAS_LLM_API_KEY_<NAME>`. Clients name endpoints and never addresses: whoever could name an address
would be sent the key, or reach what only this machine can.
"""

import json
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from contracts.proposals import MAX_PARAMETER_NAME, MAX_PARAMETER_VALUE, MAX_PARAMETERS

BASE_URL = "DELTANAS_LLM_BASE_URL"
MODEL = "DELTANAS_LLM_MODEL"
API_KEY = "DELTANAS_LLM_API_KEY"
ENDPOINTS = "DELTANAS_LLM_ENDPOINTS"
DEFAULT_ENDPOINT = "default"

OUR_PARAMETERS = frozenset({"model", "messages", "stream", "stream_options", "n", "stop", "tools"})
"""What `extra` may not set: these are decided here."""

MOST_EXTRA = MAX_PARAMETERS - 8
"""With room for our own."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_SECRET = re.compile(
    r"(?:.*[_-])?(?:(?:api)?key|secret|password|authorization|(?:access|api|auth|bearer)[_-]?token)",
    re.IGNORECASE,
)
"""What fields are called that hold secrets: `api_key`, `Authorization`; not `max_tokens`, not `eos_token`."""
_NO_SECRETS = frozenset({"prompt_cache_key"})
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")

_ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[!-~]+$")]
_Price = Annotated[float, Field(ge=0, le=1e6)]


class EndpointsInvalid(ValueError):
    """The settings of endpoints cannot be used. Names the variable and what to change, never a key."""


class Endpoint(BaseModel):
    """One place that speaks OpenAI's chat interface, and how much may be asked of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: str
    base_url: str
    """Up to where `/chat/completions` follows: it usually ends in `/v1`."""
    model: _ModelName
    models: tuple[_ModelName, ...] = ()
    """All that searches may ask for, `model` first."""
    key: str | None = Field(default=None, repr=False)
    usd_per_million_prompt_tokens: _Price | None = None
    usd_per_million_completion_tokens: _Price | None = None
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None
    parallel: Annotated[int, Field(ge=1, le=256)] = 8
    """Requests at once, of all searches together."""
    timeout_seconds: Annotated[float, Field(gt=0, le=7200)] = 600.0
    """For one answer, from the request to its last word."""
    patience_seconds: Annotated[float, Field(ge=0, le=3600)] = 120.0
    """How long one request is tried again while the endpoint is away, fails, or limits its rate."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Added to every request as it is, and kept with every answer; null leaves a parameter of ours out."""

    @property
    def key_variable(self) -> str:
        """Where its key is read from."""
        return key_variables(self.name)[0]

    @property
    def sends_key_in_clear(self) -> bool:
        """Whether others on the way can read its key."""
        parts = urlsplit(self.base_url)
        return self.key is not None and parts.scheme == "http" and not is_this_machine(parts.hostname or "")

    @property
    def host(self) -> str:
        """Its host and port, for messages."""
        return urlsplit(self.base_url).netloc


def is_this_machine(host: str) -> bool:
    """Whether it is a loopback address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def key_variables(name: str) -> tuple[str, ...]:
    """The variables that may hold the key of the endpoint of this name, the usual one first."""
    own = f"{API_KEY}_{name.upper().replace('-', '_')}"
    return (API_KEY, own) if name == DEFAULT_ENDPOINT else (own,)


def read_endpoints(environment: Mapping[str, str]) -> dict[str, Endpoint]:
    """All endpoints by name; none where nothing is set. Raises EndpointsInvalid."""
    written = _written_endpoints(environment)
    read = {name: _read_one(name, settings, environment) for name, settings in written.items()}
    base_url, model = (environment.get(variable, "").strip() for variable in (BASE_URL, MODEL))
    if model and not base_url:
        raise EndpointsInvalid(f"{MODEL} is set but {BASE_URL} is not: name the address, up to its `/v1`")
    if not base_url:
        return read
    if DEFAULT_ENDPOINT in read:
        raise EndpointsInvalid(f"{BASE_URL} and {ENDPOINTS} both name `default`: keep one of them")
    if not model:
        raise EndpointsInvalid(f"{MODEL} is not set: name the model to ask for at {BASE_URL}")
    settings = {"base_url": base_url, "model": model}
    variables = {"base_url": BASE_URL, "model": MODEL}
    return {**read, DEFAULT_ENDPOINT: _endpoint(DEFAULT_ENDPOINT, settings, environment, variables)}


def _written_endpoints(environment: Mapping[str, str]) -> dict[str, Any]:
    text = environment.get(ENDPOINTS, "").strip()
    if not text:
        return {}
    try:
        written = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EndpointsInvalid(f"{ENDPOINTS} is not JSON: {error}") from None
    if not isinstance(written, dict):
        raise EndpointsInvalid(f"{ENDPOINTS} must be a JSON object of name to settings")
    return written


def _read_one(name: str, settings: Any, environment: Mapping[str, str]) -> Endpoint:
    where = f"{ENDPOINTS}, endpoint {name[:80]!r}"
    if not _NAME.fullmatch(name):
        raise EndpointsInvalid(f"{where}: a name is lower-case letters, digits and dashes, at most 40")
    if not isinstance(settings, dict) or {"name", "key"} & set(settings):
        raise EndpointsInvalid(f"{where}: must be an object of settings; its key belongs into {API_KEY}_…")
    return _endpoint(name, settings, environment, {field: f"{where}, {field}" for field in settings})


def _endpoint(
    name: str, settings: dict[str, Any], environment: Mapping[str, str], places: Mapping[str, str]
) -> Endpoint:
    """`places` says what each setting is called where it was written."""
    try:
        read = Endpoint(name=name, **settings)
    except ValidationError as error:
        # Its text would quote what was written, perhaps a key in the wrong place.
        first = error.errors(include_input=False, include_url=False)[0]
        field = str(first["loc"][0])
        hint = f"; keys belong into {key_variables(name)[0]}" if "key" in field else ""
        place = places.get(field, f"{ENDPOINTS}, endpoint {name!r}, {field}")
        raise EndpointsInvalid(f"{place}: {first['msg']}{hint}") from None
    if problem := _problem_of_address(read.base_url):
        raise EndpointsInvalid(f"{places['base_url']}: {problem}")
    prices = (read.usd_per_million_prompt_tokens, read.usd_per_million_completion_tokens)
    if prices.count(None) == 1:
        raise EndpointsInvalid(f"{ENDPOINTS}, endpoint {name!r}: set both usd_per_million_… prices, or none")
    if taken := sorted(OUR_PARAMETERS & set(read.extra)):
        raise EndpointsInvalid(f"{places['extra']}: {taken[0]} is not to be set there")
    if secret := next(_secrets_in(read.extra), None):
        raise EndpointsInvalid(
            f"{places['extra']}: {secret[:80]!r} looks like a secret, and `extra` is kept with every answer; "
            f"keys belong into {key_variables(name)[0]}"
        )
    if overlong := _overlong(read.extra):
        raise EndpointsInvalid(f"{places['extra']}: {overlong}: it is kept whole with every answer")
    offered = (read.model, *(model for model in read.models if model != read.model))
    return read.model_copy(update={"models": offered, "key": _key(name, environment)})


def _overlong(extra: dict[str, Any]) -> str:
    """What of it could not be kept with an answer; empty where all can."""
    if len(extra) > MOST_EXTRA:
        return f"has {len(extra)} parameters; at most {MOST_EXTRA} are allowed"
    for name, value in extra.items():
        if len(name) > MAX_PARAMETER_NAME:
            return f"the name {name[:MAX_PARAMETER_NAME]!r}… is longer than {MAX_PARAMETER_NAME} characters"
        if len(value if isinstance(value, str) else json.dumps(value)) > MAX_PARAMETER_VALUE:
            return f"{name!r} is longer than {MAX_PARAMETER_VALUE} characters"
    return ""


def _secrets_in(value: Any) -> Iterator[str]:
    """Names of fields, at any depth, that look as if they held a secret."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if _SECRET.fullmatch(name) and name not in _NO_SECRETS:
                yield name
            yield from _secrets_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets_in(inner)


def _problem_of_address(base_url: str) -> str:
    """Empty for one that can be asked."""
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not _VISIBLE_ASCII.fullmatch(base_url):
        return "must be an address such as http://127.0.0.1:8000/v1"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return "must hold no credentials, no query and no fragment"
    return ""


def _key(name: str, environment: Mapping[str, str]) -> str | None:
    for variable in key_variables(name):
        # A key that was read from a file ends with that file's newline.
        if key := environment.get(variable, "").strip():
            if not _VISIBLE_ASCII.fullmatch(key):
                raise EndpointsInvalid(f"{variable}: a key is one word of visible ASCII characters")
            return key
    return None
