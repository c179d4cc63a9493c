"""One request to an endpoint and what came of it, over a connection of its own that can be cut."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
import openai

from generator_svc.language_models.answer_reading import AnswerReading
from generator_svc.language_models.bounded_transport import (
    REDIRECT_TARGET,
    BoundedTransport,
    ResponseUnusable,
    media_type,
)
from generator_svc.language_models.endpoint_failures import Refusal, refusal, without_key
from generator_svc.language_models.endpoints import Endpoint, is_this_machine
from generator_svc.language_models.retries import parse_retry_after

_CONNECT_SECONDS = 10.0
_MAX_EVENTS = 250_000
"""Of one stream: a token comes in an event of its own, and each takes the SDK its time, however small."""
_JSON_TYPES = {"application/json", "text/json"}


class Unreachable(Exception):
    """No connection came about, or nothing at all came over it."""


class Untrusted(Exception):
    """Its certificate is not trusted."""


class Broken(Exception):
    """What came is no answer, or ended before it was one."""


class BrokenOff(Broken):
    """It had begun to answer. `reading` is what had come."""

    def __init__(self, why: str, reading: AnswerReading) -> None:
        super().__init__(why)
        self.reading = reading


class NotAnApi(Exception):
    """What came is a page, not an answer."""


@dataclass(frozen=True)
class Finished:
    """An answer, whole or cut by us, and how long it took."""

    reading: AnswerReading
    finish_reason: str
    seconds: float


class Exchange:
    """Asks once. `cut` may be called from another thread."""

    def __init__(self, endpoint: Endpoint, certificates: Any, timeout_seconds: float) -> None:
        self._endpoint = endpoint
        self._seconds = timeout_seconds
        self._is_over = threading.Event()
        try:
            inner = httpx2.HTTPTransport(verify=certificates, proxy=proxy_for(endpoint.base_url))
        except (ImportError, ValueError, httpx2.InvalidURL):
            # Not quoted: a proxy's address may hold a password.
            raise Unreachable(
                "the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names is unusable"
            ) from None
        self._transport = BoundedTransport(inner, sends_key=endpoint.key is not None)
        # Our own clock ends it before any of the client's does.
        timeout = httpx2.Timeout(timeout_seconds + _CONNECT_SECONDS, connect=_CONNECT_SECONDS)
        client = httpx2.Client(
            transport=self._transport, timeout=timeout, follow_redirects=False, trust_env=False
        )
        # Without a key the transport sends none; the SDK wants to be given one.
        key = endpoint.key or "none"
        self._client = openai.OpenAI(
            api_key=key, base_url=endpoint.base_url, http_client=client, max_retries=0, timeout=timeout
        )

    def cut(self) -> None:
        """End it now."""
        self._transport.cut()

    def ask(self, model: str, messages: Sequence[dict[str, str]], body: dict[str, Any]) -> Finished | Refusal:
        """The answer, or the endpoint's refusal. Raises Unreachable, Untrusted, Broken or NotAnApi."""
        began = time.monotonic()
        reading = AnswerReading()
        with self._open():
            try:
                refused = self._read(model, messages, body, reading)
            except (Broken, Unreachable) as error:
                if reading.finish_reason:
                    # All was said; only the end of the stream is missing.
                    return Finished(reading, reading.finish_reason, time.monotonic() - began)
                if not self._is_over.is_set():
                    if reading.has_choice:
                        raise BrokenOff(str(error), reading) from None
                    raise
                # Our own clock broke it.
                if not reading.has_choice:
                    raise Unreachable(self._too_late()) from None
                return Finished(reading, "timeout", time.monotonic() - began)
        return refused or Finished(reading, _reason(reading), time.monotonic() - began)

    def listed_models(self) -> list[str] | Refusal:
        """What GET /models names; the refusal otherwise. Raises what `ask` raises."""
        with self._open(), self._named_failures():
            try:
                answer = self._client.models.with_raw_response.list()
            except openai.APIStatusError as error:
                return self._refusal(error)
            listed = _document(answer.http_response).get("data")
            items = listed if isinstance(listed, list) else []
            return [str(item.get("id"))[:200] for item in items if isinstance(item, dict)]

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Within the time for it, and without the connection afterwards."""
        watch = threading.Timer(self._seconds, self._end)
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()
            with suppress(Exception):
                self._client.close()

    def _end(self) -> None:
        self._is_over.set()
        self.cut()

    def _read(
        self, model: str, messages: Sequence[dict[str, str]], body: dict[str, Any], reading: AnswerReading
    ) -> Refusal | None:
        with self._named_failures():
            try:
                answer = self._client.chat.completions.with_raw_response.create(
                    model=model,
                    messages=messages,  # type: ignore[arg-type]
                    stream=True,
                    extra_body=body,
                )
                if media_type(answer.http_response.headers) == "text/event-stream":
                    _read_events(answer.parse(), reading)
                else:
                    document = _document(answer.http_response)
                    if (error := document.get("error")) and not document.get("choices"):
                        # With the status of success, as some that stand before other servers do.
                        return refusal(_status_within(error), document, self._endpoint.key)
                    reading.add(document)
            except openai.APIStatusError as error:
                return self._refusal(error)
            except openai.APIConnectionError:
                raise
            except openai.APIError as error:
                # An error inside of the stream, when the status was long sent.
                return self._refusal(error)
        if not reading.is_chat:
            raise Broken("what it sent holds no answer")
        return None

    @contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except openai.APIConnectionError as error:
            raise self._failure(error.__cause__) from None
        except httpx2.HTTPError as error:
            raise self._failure(error) from None
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            # The SDK builds its objects from whatever was sent.
            raise Broken(f"what it sent cannot be read ({type(error).__name__})") from None

    def _failure(self, cause: BaseException | None) -> Exception:
        if self._is_over.is_set():
            return Unreachable(self._too_late())
        if isinstance(cause, httpx2.ConnectTimeout):
            return Unreachable(f"no connection within {_CONNECT_SECONDS:g} seconds")
        said = without_key(str(cause), self._endpoint.key)[:200] if cause else "no reason given"
        if isinstance(cause, ResponseUnusable | httpx2.ReadError | httpx2.RemoteProtocolError):
            return Broken(said or "the connection ended")
        if "CERTIFICATE_VERIFY_FAILED" in said:
            return Untrusted(said)
        return Unreachable(said or type(cause).__name__)

    def _too_late(self) -> str:
        return f"no answer within {self._seconds:g} seconds"

    def _refusal(self, error: openai.APIError) -> Refusal:
        key = self._endpoint.key
        if not isinstance(error, openai.APIStatusError):
            said = error.body if error.body is not None else error.message
            return refusal(_status_within(said), said, key)
        answered = error.response
        wait = parse_retry_after(answered.headers.get("retry-after"))
        if 300 <= error.status_code < 400:
            # Not followed: the key is for this host alone.
            return refusal(error.status_code, f"a redirect to {answered.extensions[REDIRECT_TARGET]}", key)
        return refusal(error.status_code, _decoded(answered.text), key, wait)


def _read_events(events: Any, reading: AnswerReading) -> None:
    try:
        for number, event in enumerate(events):
            reading.add(event)
            if reading.is_too_long:
                return
            if number >= _MAX_EVENTS:
                raise Broken(f"a stream of more than {_MAX_EVENTS} events")
    finally:
        events.close()
    if reading.has_choice and not reading.finish_reason:
        raise Broken("the answer ended in its middle")


def _document(response: Any) -> dict[str, Any]:
    kind = media_type(response.headers)
    if kind not in _JSON_TYPES:
        raise NotAnApi(f"{kind or 'something without a type'} came where JSON was expected")
    document = json.loads(response.read())
    if not isinstance(document, dict):
        raise Broken("what it sent holds no answer")
    return document


def _decoded(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _reason(reading: AnswerReading) -> str:
    if reading.is_too_long:
        return "too_long"
    return (reading.finish_reason or "stop") if reading.has_choice else "no_choice"


def _status_within(said: object) -> int:
    """An error inside of a stream may name the status that it would have had."""
    code = said.get("code") if isinstance(said, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def proxy_for(url: str) -> str | None:
    """By HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY of this process; never for this machine itself."""
    parts = urlsplit(url)
    if is_this_machine(parts.hostname or "") or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy
