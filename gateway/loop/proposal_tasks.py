"""What a proposer is given for one slot: its baseline, how good that is, and what was tried before.

It depends on the search's seed, the slot's place and closed cycles alone, and never on the search's id, so
that equal seeds ask for the same proposals.
"""

from collections.abc import Iterable
from functools import cached_property

from contracts.proposals import PastTry, ProposalRequest, ProposalSlot
from contracts.source_rules import candidate_id
from gateway.domain.candidate import Slot
from gateway.domain.feedback import TryTexts, accuracies, choose_tries, past_try
from gateway.domain.search import SearchRecord, slot_seed
from gateway.infra.slot_records import SlotRecords


class ProposalTasks:
    """The tasks of one cycle, as the search stands when the first is asked for."""

    def __init__(self, search: SearchRecord, cycle: int, records: SlotRecords) -> None:
        self._search = search
        self._cycle = cycle
        self._records = records
        self._texts: dict[str, TryTexts] = {}

    def request(self, slots: Iterable[Slot]) -> ProposalRequest:
        """All that a proposer is asked at once."""
        request = self._search.request
        return ProposalRequest(
            search_id=self._search.id,
            cycle=self._cycle,
            proposer=request.proposer.kind,
            dataset=request.dataset,
            slots=tuple(self.slot(slot) for slot in slots),
            options=request.proposer.options,
            edits=request.edits,
            deployment=request.deployment,
            adapter=self._adapter,
            data_shape=request.data_shape,
        )

    def slot(self, slot: Slot) -> ProposalSlot:
        """The task of a slot of the cycle."""
        assert slot.parent_id is not None
        source = self._records.source(slot.parent_id)
        return ProposalSlot(
            slot=slot.slot,
            seed=slot_seed(self._search.request.seed, self._cycle, slot.slot),
            baseline_source=source,
            # Named by content, not by search: what is proposed must not depend on the search's id.
            baseline_id=candidate_id(source),
            baseline_accuracy=self._accuracies.get(slot.parent_id),
            history=self._history(slot),
        )

    def _history(self, slot: Slot) -> tuple[PastTry, ...]:
        window = self._search.request.feedback.window
        if window == 0:
            return ()
        tries = choose_tries(self._population, slot.root_id, self._cycle, window)
        unread = [one.proposal_id for one in tries if one.proposal_id not in self._texts]
        self._texts |= self._records.try_texts(unread) if unread else {}
        return tuple(
            past_try(one, self._texts[one.proposal_id], self._accuracies.get(one.parent_id or ""))
            for one in tries
        )

    @cached_property
    def _adapter(self) -> str | None:
        return self._records.adapter(self._cycle)

    @cached_property
    def _population(self) -> list[Slot]:
        return [slot for slot in self._records.slots() if slot.cycle < self._cycle]

    @cached_property
    def _accuracies(self) -> dict[str, float]:
        return accuracies(self._population)
