"""The latest answers of models: what was said for a slot that was broken off is not paid for twice."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Generator, Sequence
from dataclasses import replace

from contracts.proposals import ProposalRequest
from generator_svc.language_models.paid_tries import PaidTries, Taken
from generator_svc.language_models.port import ChatAnswer, ChatModel, ChatRequest, Sampling
from generator_svc.proposers.language_model.options import ModelOptions

MAX_CHARACTERS = 4 * 1024 * 1024
"""Of all answers together; the oldest give way."""
OVERHEAD = 500
"""Characters that an answer counts for beside its text."""


class KeptAnswers:
    """Answers by what was asked. Safe for several threads."""

    def __init__(self, max_characters: int = MAX_CHARACTERS) -> None:
        self._answers: OrderedDict[str, ChatAnswer] = OrderedDict()
        self._room = max_characters
        self._lock = threading.Lock()

    def find(self, question: str) -> ChatAnswer | None:
        """What was answered to a question, if it is still known."""
        with self._lock:
            return self._answers.get(question)

    def keep(self, question: str, answer: ChatAnswer) -> None:
        """Remember an answer."""
        with self._lock:
            if question in self._answers:
                return
            self._answers[question] = answer
            self._room -= _size(answer)
            while self._room < 0:
                self._room += _size(self._answers.popitem(last=False)[1])


def _size(answer: ChatAnswer) -> int:
    return len(answer.text) + OVERHEAD


class RememberingModel:
    """A model that one request for proposals asks, and only for what is not known from an earlier try."""

    def __init__(
        self,
        model: ChatModel,
        kept: KeptAnswers,
        paid: PaidTries,
        request: ProposalRequest,
        options: ModelOptions,
    ) -> None:
        self._model = model
        self._kept = kept
        self._paid = paid
        self._patience = request.patience_seconds
        # Another search that asks the same is given, and charged for, an answer of its own.
        self._asker = (request.search_id, request.cycle, options.endpoint, options.model, request.adapter)

    def answers(
        self, requests: Sequence[ChatRequest], sampling: Sampling
    ) -> Generator[ChatAnswer, None, None]:
        """As a ChatModel's; to close it is to stop the model's work."""
        questions: dict[int, str] = {}
        unknown: list[ChatRequest] = []
        for request in requests:
            question = self._question(request, sampling)
            known = self._kept.find(question)
            if known is not None:
                yield known
            else:
                questions[request.key] = question
                unknown.append(replace(request, question=question, patience_seconds=self._patience))
        answers = self._model.answers(unknown, sampling) if unknown else iter(())
        try:
            for answer in answers:
                if answer.key in questions:
                    answer = self._settled(questions[answer.key], answer)
                    self._kept.keep(questions[answer.key], answer)
                yield answer
        finally:
            close = getattr(answers, "close", None)
            if close is not None:
                close()

    def _settled(self, question: str, answer: ChatAnswer) -> ChatAnswer:
        """With what an earlier answer took that is known no more: its search asks again, so never had it."""
        forgotten = [one for one in self._paid.of(question) if not one.broke_off]
        taken = Taken.by(answer).with_others(forgotten)
        self._paid.settle(question, taken)
        return taken.on(answer)

    def _question(self, request: ChatRequest, sampling: Sampling) -> str:
        """A name that only the very same request of the same slot has."""
        return hashlib.sha256(ascii((self._asker, sampling, request)).encode()).hexdigest()
