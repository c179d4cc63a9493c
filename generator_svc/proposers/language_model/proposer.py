"""Asks one language model for all slots of a request together, and tries every answer at once."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from contracts.proposals import Proposal, ProposalRequest, ProposerBlocked
from generator_svc.held_up import HeldUp
from generator_svc.language_models.paid_tries import PaidTries
from generator_svc.language_models.port import ChatAnswer, ChatModel, Sampling
from generator_svc.prompts import word_set
from generator_svc.proposers.language_model.conversation import Conversation
from generator_svc.proposers.language_model.kept_answers import KeptAnswers, RememberingModel
from generator_svc.proposers.language_model.options import ModelOptions, read_options

DIAGNOSIS_TOKENS = 256
"""At most, of a few sentences."""

ChooseModel = Callable[[ModelOptions, str | None], ChatModel]
"""The model that options and an adapter name. Asks nobody; raises HeldUp and OptionsInvalid."""


class LanguageModelProposer:
    """A Proposer on top of a ChatModel. Between requests it keeps the latest answers, and what all took."""

    def __init__(
        self,
        name: str,
        choose: ChooseModel,
        paid: PaidTries | None = None,
        *,
        has_endpoints: bool = False,
        learnt_version: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        """`learnt_version`: the version of the prompts that an adapter was trained on, if known."""
        self.name = name
        self._choose = choose
        self._learnt_version = learnt_version
        self._has_endpoints = has_endpoints
        self._kept = KeptAnswers()
        self._paid = paid or PaidTries()

    def check_options(self, options: Mapping[str, Any], adapter: str | None = None) -> None:
        """Raise OptionsInvalid for options that mean nothing, HeldUp where no answer would come."""
        self._choose(self._read(options), adapter).check()

    def propose(self, request: ProposalRequest) -> Iterator[Proposal]:
        """An answer for each slot, once it was applied or nothing more is done about it.

        Raises OptionsInvalid at once; and HeldUp, which leaves slots without a proposal. What was already
        said for them is not asked again when they are.
        """
        options = self._read(request.options)
        if options.words is None and request.adapter is not None:
            # What has learnt from other words than it is asked with answers worse.
            options = replace(options, words=word_set(self._learnt_version(request.adapter) or ""))
        model = self._choose(options, request.adapter)
        remembering = RememberingModel(model, self._kept, self._paid, request, options)
        return self._proposals(request, options, remembering)

    def _proposals(
        self, request: ProposalRequest, options: ModelOptions, model: RememberingModel
    ) -> Iterator[Proposal]:
        conversations = [Conversation(slot, request, options) for slot in request.slots]
        if options.diagnose:
            few = min(options.sampling.max_tokens, DIAGNOSIS_TOKENS)
            few_words = replace(options.sampling, max_tokens=few)
            for conversation, answer in _answered(model, conversations, few_words):
                conversation.take_diagnosis(answer)
        while conversations:
            refused: list[Conversation] = []
            with closing(_answered(model, conversations, options.sampling)) as answered:
                for conversation, answer in answered:
                    proposal = conversation.take(answer)
                    if proposal is None:
                        refused.append(conversation)
                    else:
                        yield proposal
            conversations = sorted(refused, key=lambda one: one.slot)

    def _read(self, options: Mapping[str, Any]) -> ModelOptions:
        return read_options(options, has_endpoints=self._has_endpoints)


def _answered(
    model: RememberingModel, conversations: Sequence[Conversation], sampling: Sampling
) -> Generator[tuple[Conversation, ChatAnswer], None, None]:
    """The next answer of every conversation, as they come. To close it is to stop the model's work.

    Raises HeldUp, also where a model leaves a conversation without an answer.
    """
    waiting = {conversation.slot: conversation for conversation in conversations}
    requests = [conversation.next_request() for conversation in conversations]
    with closing(model.answers(requests, sampling)) as answers:
        for answer in answers:
            conversation = waiting.pop(answer.key, None)
            if conversation is not None:
                yield conversation, answer
    if waiting:
        raise HeldUp(
            ProposerBlocked(
                "model_failed",
                f"The model left {len(waiting)} of {len(conversations)} questions unanswered.",
                "It is asked again; if this stays so, look into the log of the endpoint or of the generator.",
                retryable=True,
            )
        )
