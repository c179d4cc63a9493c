"""What is said with a model about one slot: at most a diagnosis, a proposal, and repairs of what was refused.

Knows nothing of when and with which others it is said; the same slot and answers give the same story.
"""

import hashlib
from dataclasses import replace

from contracts.chats import ChatMessage
from contracts.proposals import ModelCall, Proposal, ProposalRequest, ProposalSlot
from generator_svc.answers import AnswerRules, apply_answer
from generator_svc.language_models.port import MAX_ANSWER_BYTES, ChatAnswer, ChatRequest
from generator_svc.prompts import (
    NEWEST,
    Prompt,
    assignment_of,
    diagnosis_prompt,
    proposal_prompt,
    repair_conversation,
    repair_prompt,
)
from generator_svc.proposers.language_model.options import ModelOptions
from generator_svc.proposers.language_model.summaries import change_summary

DIAGNOSIS, PROPOSAL, REPAIR = "diagnosis", "proposal", "repair"

_SILENCES = {
    "timeout": "the model gave no answer in time",
    "prompt_too_long": "the prompt fills the model's whole context: a longer one is needed, or a smaller "
    "window of past tries",
    "no_choice": "the endpoint's answer held no answer of the model",
    "content_filter": "the endpoint held the answer back",
    "generation_failed": "the model's libraries failed at this prompt, as the generator's log tells; others "
    "were answered",
}
"""Why an answer has no text, by its finish reason."""
_SILENCE = "the model answered with nothing"


class Conversation:
    """One slot's calls, one after another. Not for several threads at a time."""

    def __init__(self, slot: ProposalSlot, request: ProposalRequest, options: ModelOptions) -> None:
        self.slot = slot.slot
        self._slot = slot
        self._proposer = request.proposer
        self._options = options
        self._assignment = assignment_of(slot, request)
        self._words = options.words or NEWEST
        self._rules = AnswerRules.of_request(request, options.form)
        self._calls: list[ModelCall] = []
        self._role = DIAGNOSIS if options.diagnose else PROPOSAL
        self._prompt = (
            diagnosis_prompt(self._assignment, self._words) if options.diagnose else self._proposal_prompt()
        )
        self._asked_first = self._prompt
        self._proposal: Proposal | None = None

    def next_request(self) -> ChatRequest:
        """What to ask the model now. Every call draws with a seed of its own."""
        numbered = f"{self._slot.seed}/{len(self._calls)}".encode()
        seed = int.from_bytes(hashlib.sha256(numbered).digest()[:4]) >> 1
        return ChatRequest(self.slot, self._prompt.messages, seed)

    def take_diagnosis(self, answer: ChatAnswer) -> None:
        """Keep what the model says is wrong, and go on to the proposal with it."""
        text = self._keep(answer)
        self._assignment = replace(self._assignment, diagnosis=text)
        self._role = PROPOSAL
        self._prompt = self._proposal_prompt()

    def take(self, answer: ChatAnswer) -> Proposal | None:
        """The proposal once it is final; None where a repair is to be asked for."""
        text = self._keep(answer)
        if not text.strip():
            # A model that has nothing to say to its refusal leaves the answer that was refused.
            return self._final(self._proposal or self._failure(answer))
        baseline = self._slot.baseline_source
        applied = apply_answer(baseline, text, self._rules)
        summary = change_summary(baseline, applied)
        self._proposal = Proposal(self.slot, self._proposer, text, summary, form=self._options.form)
        repairs = sum(call.role == REPAIR for call in self._calls)
        if applied.status == "applied" or repairs >= self._options.repairs:
            return self._final(self._proposal)
        said = repair_prompt(baseline, text, applied, self._options.form, self._words.repair)
        self._role = REPAIR
        self._prompt = Prompt(self._words.repair, self._repair_of(text, said))
        return None

    def _proposal_prompt(self) -> Prompt:
        self._asked_first = proposal_prompt(self._options.form, self._assignment, self._words)
        return self._asked_first

    def _repair_of(self, answer: str, said: str) -> tuple[ChatMessage, ...]:
        """Always of the last answer to the first question, so that no conversation grows without end."""
        return repair_conversation(self._asked_first.messages, answer, said)

    def _keep(self, answer: ChatAnswer) -> str:
        text = _storable(answer.text)
        self._calls.append(
            ModelCall(
                self._role,
                answer.model,
                answer.adapter,
                self._prompt.version,
                self._prompt.messages,
                answer.sampling,
                text,
                answer.finish_reason,
                answer.prompt_tokens,
                answer.completion_tokens,
                answer.cost_usd,
                answer.seconds,
                answer.tokens_estimated,
                answer.weights,
            )
        )
        return text

    def _failure(self, answer: ChatAnswer) -> Proposal:
        reason = _SILENCES.get(answer.finish_reason, _SILENCE)
        return Proposal(self.slot, self._proposer, "", "", reason, self._options.form)

    def _final(self, proposal: Proposal) -> Proposal:
        return replace(proposal, calls=tuple(self._calls))


def _storable(text: str) -> str:
    """Bounded text that every store and every JSON can hold: no NUL, no half of a surrogate pair."""
    encoded = text[:MAX_ANSWER_BYTES].replace("\x00", "\ufffd").encode("utf-8", "backslashreplace")
    return encoded[:MAX_ANSWER_BYTES].decode("utf-8", "ignore")
