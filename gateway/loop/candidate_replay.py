"""A candidate from the journal once more, up to its evaluation: is it proposed and applied as it was?

Nothing is written. The evaluation itself is repeated by whoever asks: same source, seeds, keys and budget.
"""

from dataclasses import dataclass

from contracts.source_rules import candidate_id
from gateway.domain.candidate import Slot
from gateway.domain.search import SearchRecord
from gateway.infra.service_clients import ServiceRefused
from gateway.infra.slot_records import SlotRecords
from gateway.loop.ports import GeneratorService
from gateway.loop.proposal_tasks import ProposalTasks

REPEATABLE_PROPOSERS = frozenset({"mutation"})
"""Whose answers follow from the task alone; a language model's depend on machine and load."""


@dataclass(frozen=True)
class Repetition:
    """What came out the same; None where there is nothing to repeat."""

    proposed: bool | None
    """The proposer's raw answer, to the last character."""
    applied: bool | None
    """The source that the recorded answer makes of the recorded parent, by its hash."""


def repeat_proposal(
    search: SearchRecord, slot: Slot, records: SlotRecords, generator: GeneratorService
) -> Repetition:
    """Ask again for a slot's proposal, and apply its recorded answer again. Baselines have neither.

    Raises ServiceUnavailable, ProposerHeldUp.
    """
    if slot.parent_id is None:
        return Repetition(None, None)
    answer = records.raw_proposal(slot.proposal_id)
    return Repetition(
        proposed=_is_proposed(search, slot, records, generator, answer)
        if slot.proposer in REPEATABLE_PROPOSERS
        else None,
        applied=_is_applied(search, slot, records, generator, answer),
    )


def _is_proposed(
    search: SearchRecord, slot: Slot, records: SlotRecords, generator: GeneratorService, answer: str
) -> bool:
    asked = ProposalTasks(search, slot.cycle, records).request([slot])
    try:
        found = [proposal for proposal in generator.propose(asked) if proposal is not None]
    except ServiceRefused:
        return False
    return [(proposal.slot, proposal.answer) for proposal in found] == [(slot.slot, answer)]


def _is_applied(
    search: SearchRecord, slot: Slot, records: SlotRecords, generator: GeneratorService, answer: str
) -> bool:
    assert slot.parent_id is not None
    request = search.request
    try:
        applied = generator.apply_delta(
            records.source(slot.parent_id),
            answer,
            request.edits,
            slot.form,
            request.deployment,
            dataset=request.dataset,
            data_shape=request.data_shape,
        )
    except ServiceRefused:
        return False
    return applied.source is not None and candidate_id(applied.source) == slot.candidate_id
