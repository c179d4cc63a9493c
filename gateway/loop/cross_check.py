"""A proposer is held up again and again: is it away, or is it one slot's question that holds it up?

A server may fail at one prompt, and one prompt may be what ends a model's process. So a proposer that has
been waited for a few times is asked once more for a slot that it has answered. If it does, nothing is away.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from contracts.failures import FailureReason
from contracts.names import SlotState
from contracts.proposals import ModelCall, ProposalRequest, ProposerBlocked
from gateway.domain.candidate import Slot, SlotFailure
from gateway.domain.delta_reports import NO_PROPOSAL
from gateway.infra.generator_client import ProposerHeldUp
from gateway.infra.service_clients import ServiceRefused
from gateway.infra.slot_journal import SlotJournal
from gateway.loop.ports import GeneratorService
from gateway.loop.proposal_tasks import ProposalTasks

HELD_UP_BEFORE_DOUBT = 3
"""So often in a row a proposer is waited for before anybody asks what holds it up."""
DOUBTED_SECONDS = 10.0
"""So long is a failing endpoint asked again for a slot that is doubted, and not for minutes: it answers."""
CHECK = "check"
"""The role of a call whose answer is of no use but to tell that one came."""
_FEW_WORDS: Mapping[str, object] = {"max_tokens": 16, "repairs": 0, "diagnose": False}
_NEVER_A_SLOT = frozenset({"rate_limited"})
"""Codes that say by themselves that waiting helps; a smaller question may well pass meanwhile."""


class CrossCheck:
    """Finds out for one cycle. `meanwhile` is called now and then while the proposer thinks."""

    def __init__(
        self,
        generator: GeneratorService,
        tasks: ProposalTasks,
        journal: SlotJournal,
        meanwhile: Callable[[], None],
    ) -> None:
        self._generator = generator
        self._tasks = tasks
        self._journal = journal
        self._meanwhile = meanwhile
        self._last: ProposerBlocked | None = None

    def blames(self, slots: Sequence[Slot], blocked: ProposerBlocked, held_up: int) -> bool:
        """Whether these slots hold the proposer up, since it answers for another; counted as their errors.

        Not asked before it was held up a few times in a row. Raises ServiceUnavailable, SearchNotRunning.
        """
        if held_up < HELD_UP_BEFORE_DOUBT or not blocked.retryable or blocked.code in _NEVER_A_SLOT:
            return False
        calls = self._answers_again()
        if calls is None:
            return False
        self._last = blocked
        self._journal.count_errors(slots, calls)
        return True

    def alone(self, pending: Sequence[Slot], held_up: int) -> list[Slot]:
        """The one slot to ask for where nothing else could be checked with; none where all may be asked.

        Who has answered nothing yet may be ended by one of its questions: each goes alone, in turn.
        """
        if held_up < HELD_UP_BEFORE_DOUBT or self._answered() is not None:
            return []
        return [pending[held_up % len(pending)]]

    def doubts(self, batch: Sequence[Slot], pending: int, held_up: int) -> bool:
        """Whether the batch is one slot that was blamed, while all others of its cycle have been answered.

        Where several are left they may fail for a reason in common that a few words do not meet.
        """
        return held_up >= HELD_UP_BEFORE_DOUBT and pending == 1 and all(slot.step_errors for slot in batch)

    def loss(self, slot: Slot) -> SlotFailure:
        """Why a slot is given up whose proposals failed again and again."""
        told, code = "the generator failed each time it was asked for this slot", ""
        if self._last is not None:
            times = f"{slot.step_errors} times, while it answered for another"
            told = f"the proposer was held up at this slot {times}: {self._last.message}"
            code = self._last.code
        return SlotFailure(FailureReason.INFRASTRUCTURE.value, told, code)

    def _answers_again(self) -> tuple[ModelCall, ...] | None:
        """The calls behind a few words for a slot that was answered before; None where none come."""
        known = self._answered()
        if known is None:
            return None
        try:
            for proposal in self._generator.propose(_question(self._tasks.request([known]))):
                if proposal is not None:
                    return tuple(replace(call, role=CHECK) for call in proposal.calls)
                self._meanwhile()
        except (ProposerHeldUp, ServiceRefused):
            pass
        return None

    def _answered(self) -> Slot | None:
        """The latest slot for which something was proposed."""
        return next((slot for slot in reversed(self._journal.slots()) if _is_answered(slot)), None)


def _is_answered(slot: Slot) -> bool:
    proposed = slot.state is not SlotState.PENDING and slot.proposer is not None
    return proposed and not slot.is_baseline and slot.delta_code != NO_PROPOSAL


def _question(asked: ProposalRequest) -> ProposalRequest:
    # With a seed that was never asked with: an answer out of the generator's memory would tell nothing.
    slots = tuple(replace(slot, seed=secrets.randbits(63)) for slot in asked.slots)
    return replace(asked, slots=slots, options={**asked.options, **_FEW_WORDS})
