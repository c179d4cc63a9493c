"""An endpoint that speaks OpenAI's chat interface, as a ChatModel: vLLM, llama.cpp, Ollama, OpenAI, LiteLLM.

What may pass is tried again for as long as the endpoint's patience lasts; what will not is told with its
remedy; what is wrong with one prompt alone is an answer without words.
"""

import hashlib
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import httpx2

from generator_svc.held_up import HeldUp
from generator_svc.language_models import endpoint_failures
from generator_svc.language_models.admission import Admission
from generator_svc.language_models.answer_reading import AnswerReading
from generator_svc.language_models.endpoint_failures import Meaning, Refusal, held_up_by, meaning_of
from generator_svc.language_models.endpoints import Endpoint
from generator_svc.language_models.exchange import (
    Broken,
    BrokenOff,
    Exchange,
    Finished,
    NotAnApi,
    Unreachable,
    Untrusted,
)
from generator_svc.language_models.in_flight import InFlight
from generator_svc.language_models.paid_tries import PaidTries, Taken
from generator_svc.language_models.port import ChatAnswer, ChatRequest, Sampling
from generator_svc.language_models.request_dialect import (
    Dialect,
    chat_messages,
    expected_tokens,
    parameters,
    prompt_tokens,
    recorded,
)
from generator_svc.language_models.retries import Backoff, Patience

CHECK_SECONDS = 5.0

MOST_BROKEN_OFF = 5
"""Answers to one request that may break off, in whatever call, before somebody has to look."""
LONGEST_HOLD_OFF_SECONDS = 900.0
"""Whatever the endpoint asks for: then it is asked again."""
_ABOUT_ONE_PROMPT = {Meaning.PROMPT_TOO_LONG: "prompt_too_long", Meaning.FILTERED: "content_filter"}
"""Refusals that another slot's prompt may not meet, and the finish_reason of their empty answer."""


@cache
def _certificates() -> ssl.SSLContext:
    """Whom this process trusts: the system, or SSL_CERT_FILE and SSL_CERT_DIR. Slow to load."""
    return httpx2.create_ssl_context()


class OpenAICompatibleModel:
    """One model at one endpoint."""

    def __init__(
        self, endpoint: Endpoint, model: str, admission: Admission, backoff: Backoff, paid: PaidTries
    ) -> None:
        self._endpoint = endpoint
        self._model = model
        self._admission = admission
        self._backoff = backoff
        self._dialect = Dialect()
        self._paid = paid

    def check(self) -> None:
        """Raise HeldUp if the endpoint is away or refuses the key; one without /models counts as fine."""
        self.listed_models()

    def listed_models(self) -> list[str] | None:
        """The models that the endpoint says it serves; None where it does not say. Raises HeldUp."""
        try:
            listed = Exchange(self._endpoint, _certificates(), CHECK_SECONDS).listed_models()
        except (Unreachable, Untrusted, Broken, NotAnApi) as error:
            raise self._told(error) from None
        if isinstance(listed, list):
            return listed
        answers_all_the_same = {Meaning.NOT_THERE, Meaning.MODEL, Meaning.RATE_LIMITED}
        # Some servers list what is in a cache, and fail where there is none.
        if meaning_of(listed) in answers_all_the_same or listed.status in {500, 501}:
            return None
        raise held_up_by(self._endpoint, self._model, listed)

    def answers(self, requests: Sequence[ChatRequest], sampling: Sampling) -> Iterator[ChatAnswer]:
        """As the port says. Nothing is sent before the first answer is asked for."""
        in_flight = InFlight(requests, lambda request: self._answer(request, sampling, in_flight))
        try:
            yield from in_flight.answers(self._endpoint.parallel)
        finally:
            in_flight.stop()

    def _answer(self, request: ChatRequest, sampling: Sampling, in_flight: InFlight) -> ChatAnswer:
        """One answer, however many tries it takes. Raises HeldUp, and Stopped where nobody waits for it."""
        longest = self._endpoint.patience_seconds
        asked = longest if request.patience_seconds is None else request.patience_seconds
        patience = Patience(min(longest, asked), self._backoff)
        dialect = self._dialect
        while True:
            body = parameters(sampling, request.seed, self._endpoint.extra, dialect)
            retry_after = None
            try:
                outcome = self._try(request, sampling, body, patience, in_flight)
            except (Untrusted, NotAnApi) as error:
                raise self._told(error) from None
            except BrokenOff as error:
                held = self._told_of_part(request, error)
            except (Unreachable, Broken) as error:
                held = self._told(error)
            else:
                if isinstance(outcome, Finished):
                    self._dialect = dialect
                    return self._given(request, body, outcome)
                if reason := _ABOUT_ONE_PROMPT.get(meaning_of(outcome)):
                    return self._counting(request, self._chat_answer(request, body, reason))
                if better := dialect.after(outcome, body):
                    dialect = better
                    continue
                held = held_up_by(self._endpoint, self._model, outcome)
                retry_after = outcome.retry_after_seconds
            self._wait(held, retry_after, patience, in_flight)

    def _try(
        self,
        request: ChatRequest,
        sampling: Sampling,
        body: dict[str, Any],
        patience: Patience,
        in_flight: InFlight,
    ) -> Finished | Refusal:
        tokens = expected_tokens(request.messages, sampling)
        with self._admission.entered(tokens, patience.left, in_flight.stopped) as booking:
            began = time.monotonic()
            try:
                exchange = Exchange(self._endpoint, _certificates(), self._endpoint.timeout_seconds)
                with in_flight.cutting(exchange):
                    outcome = exchange.ask(self._model, chat_messages(request.messages), body)
            finally:
                # Waiting for its turn is no failure and costs none.
                patience.spend(time.monotonic() - began)
            if isinstance(outcome, Finished):
                said = outcome.reading
                booking.tokens = (said.prompt_tokens or 0) + (said.completion_tokens or 0) or tokens
            return outcome

    def _wait(self, held: HeldUp, retry_after: float | None, patience: Patience, in_flight: InFlight) -> None:
        """Until the next try; raise what holds it up where no further one would help."""
        if held.blocked.code == "rate_limited" and retry_after:
            # Of everybody who asks there, most of all where it is too long for this call.
            self._admission.hold_off(min(retry_after, LONGEST_HOLD_OFF_SECONDS))
        wait = patience.next_wait(retry_after) if held.blocked.retryable else None
        if wait is None:
            raise held
        in_flight.sleep(wait)

    def _told_of_part(self, request: ChatRequest, error: BrokenOff) -> HeldUp:
        tries = self._paid.add(self._question(request), self._taken(request, error.reading, broke_off=True))
        times = sum(one.broke_off for one in tries)
        if times < MOST_BROKEN_OFF:
            return endpoint_failures.broken(self._endpoint, str(error))
        return endpoint_failures.breaks_off(self._endpoint, str(error), times)

    def _told(self, error: Exception) -> HeldUp:
        tell = {
            Unreachable: endpoint_failures.unreachable,
            Untrusted: endpoint_failures.untrusted,
            Broken: endpoint_failures.broken,
            NotAnApi: endpoint_failures.not_an_api,
        }[type(error)]
        return tell(self._endpoint, str(error))

    # --- what is given back --------------------------------------------------------------------------

    def _given(self, request: ChatRequest, body: dict[str, Any], finished: Finished) -> ChatAnswer:
        said, key = finished.reading, self._endpoint.key
        answer = self._chat_answer(request, body, endpoint_failures.without_key(finished.finish_reason, key))
        if finished.finish_reason == "timeout":
            taken = self._taken(request, said)
        else:
            cost = self._cost(said.prompt_tokens, said.completion_tokens)
            taken = Taken(said.prompt_tokens, said.completion_tokens, cost)
        return self._counting(
            request, taken.on(replace(answer, text=said.text(key), seconds=finished.seconds))
        )

    def _counting(self, request: ChatRequest, answer: ChatAnswer) -> ChatAnswer:
        """The answer with the tries at it that broke off: they were paid for, and nothing must hide it."""
        question = self._question(request)
        taken = Taken.by(answer).with_others([one for one in self._paid.of(question) if one.broke_off])
        if not request.question:
            self._paid.settle(question, None)
        return taken.on(answer)

    def _chat_answer(self, request: ChatRequest, body: dict[str, Any], finish_reason: str) -> ChatAnswer:
        """An answer without words: no prompt was read for it, nothing is to be paid."""
        return ChatAnswer(
            key=request.key,
            text="",
            finish_reason=finish_reason,
            model=f"{self._endpoint.name}/{self._model}",
            adapter=None,
            sampling=recorded(body, self._endpoint.extra),
            prompt_tokens=0,
            completion_tokens=0,
            cost_usd=0.0,
            seconds=0.0,
        )

    def _cost(self, prompt_tokens: int | None, completion_tokens: int | None) -> float | None:
        prompt_price = self._endpoint.usd_per_million_prompt_tokens
        completion_price = self._endpoint.usd_per_million_completion_tokens
        if prompt_price is None or completion_price is None:
            return None
        if prompt_tokens is None or completion_tokens is None:
            return None
        return (prompt_tokens * prompt_price + completion_tokens * completion_price) / 1e6

    def _taken(self, request: ChatRequest, reading: AnswerReading, *, broke_off: bool = False) -> Taken:
        """Of an answer that ended before its usage was told: about what was sent and had come."""
        told = reading.prompt_tokens
        prompt = prompt_tokens(request.messages) if told is None else told
        estimated = told is None or reading.completion_tokens is None
        cost = self._cost(prompt, reading.tokens_come)
        return Taken(prompt, reading.tokens_come, cost, estimated, broke_off)

    def _question(self, request: ChatRequest) -> str:
        """The same for a request that is made again in a later call, also after a restart."""
        asked = (self._endpoint.name, self._model, request.seed, request.messages)
        return request.question or hashlib.sha256(ascii(asked).encode()).hexdigest()
