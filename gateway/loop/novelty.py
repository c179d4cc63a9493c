"""Screens the slots of a search, and gives the filter its memory back when it has lost it.

The journal decides what the filter must know; the filter's index is only a copy. An error is never
"novel": it leaves the slot where it was.
"""

from contracts.jobs import Admission, Screening, ScreeningRequest
from gateway.domain.candidate import Slot
from gateway.domain.search import novelty_scope
from gateway.infra.service_clients import ServiceRefused
from gateway.infra.slot_journal import SlotJournal
from gateway.loop.ports import NoveltyFilter


class Novelty:
    """The filter as one search uses it. Slots must come in slot order: each sees only those before it."""

    def __init__(
        self, journal: SlotJournal, filter_: NoveltyFilter, search_id: str, threshold: float
    ) -> None:
        """`threshold` is the Jaccard similarity from which an architecture is a copy."""
        self._journal = journal
        self._filter = filter_
        self._scope = novelty_scope(search_id)
        self._threshold = threshold

    def screen(self, slot: Slot, source: str) -> Screening:
        """Whether a slot's architecture is new among those admitted before it."""
        self._restore_index()
        return self._filter.screen(ScreeningRequest(self._scope, slot.proposal_id, source, self._threshold))

    def admit(self, slot: Slot, source: str) -> None:
        """Have the filter know a slot's architecture. The journal records it only afterwards."""
        self._filter.admit(slot.proposal_id, Admission(self._scope, source, slot.name))

    def _restore_index(self) -> None:
        expected = self._journal.admitted_count()
        # One more is known when the last admission was cut off before the journal recorded it; that one is
        # screened next, and left out of its own screening. Anything else is another past than ours.
        if self._known() in {expected, expected + 1}:
            return
        self._filter.forget(self._scope)
        for slot in self._journal.admitted():
            self.admit(slot, self._journal.source(slot.proposal_id))

    def _known(self) -> int:
        try:
            return self._filter.count(self._scope)
        except ServiceRefused as error:
            if error.status == 404:
                return 0
            raise
