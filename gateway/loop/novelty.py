"""Screens the slots of a search against all that its rules compare with.

An error is never "novel": it leaves the slot where it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from contracts.jobs import Screening, ScreeningRequest
from contracts.names import NoveltyLayer
from gateway.domain.candidate import Slot
from gateway.domain.novelty import Likeness, NoveltyRules, NoveltyScope, ends_slot, priced, telling
from gateway.domain.search import SearchRecord
from gateway.infra.service_clients import ServiceUnavailable
from gateway.infra.slot_journal import SlotJournal
from gateway.loop.novelty_indexes import (
    IndexStale,
    NoveltyIndex,
    Ready,
    SearchIndex,
    SharedIndexes,
    known,
)
from gateway.loop.ports import NoveltyFilter

TRIES = 3
"""So often an index that others empty meanwhile is filled and asked; then the filter counts as away."""


@dataclass(frozen=True)
class FoundCopy:
    """What a slot is a copy of. `difference`: lines of a diff from there to here, untrusted."""

    likeness: Likeness
    difference: tuple[str, ...]
    ends_slot: bool
    """Whether it is not evaluated."""


class Novelty:
    """The filter as one search uses it. Slots must come in slot order: each sees only those before it."""

    def __init__(
        self, search: SearchRecord, journal: SlotJournal, filter_: NoveltyFilter, shared: SharedIndexes
    ) -> None:
        self._rules: NoveltyRules = search.request.novelty
        self._journal = journal
        self._filter = filter_
        self._own = SearchIndex(journal, filter_)
        self._indexes: Mapping[NoveltyScope, NoveltyIndex] = {
            NoveltyScope.PARENT: self._own,
            NoveltyScope.SEARCH: self._own,
            NoveltyScope.CORPUS: shared.corpus,
            NoveltyScope.TENANT: shared.of_tenant(search.tenant),
        }

    def screen(self, slot: Slot, source: str) -> FoundCopy | None:
        """What a slot's architecture is a copy of, among all that was there before it; None when it is new.

        Raises ServiceUnavailable, ServiceRefused, SearchNotRunning.
        """
        found = [self._copy_in(scope, slot, source) for scope in self._rules.scopes]
        if NoveltyScope.SEARCH not in self._rules.scopes:
            again = self._copy_in(NoveltyScope.SEARCH, slot, source)
            if again is not None and again.likeness.layer is NoveltyLayer.EXACT:
                found.append(again)
        copies = {copy.likeness: copy for copy in found if copy is not None}
        most = telling(copies)
        return None if most is None else copies[most]

    def admit(self, slot: Slot, source: str) -> None:
        """Have the filter know a slot's architecture. The journal records it only afterwards."""
        self._own.admit(slot, source)

    def _copy_in(self, scope: NoveltyScope, slot: Slot, source: str) -> FoundCopy | None:
        index = self._indexes[scope]
        asked = ScreeningRequest(
            "",
            slot.proposal_id,
            source,
            self._rules.threshold,
            among=(str(slot.parent_id),) if scope is NoveltyScope.PARENT else None,
        )
        for _ in range(TRIES):
            screening = self._screened(index, asked)
            if screening is None:
                continue
            if screening.novel or screening.layer is None:
                return None
            try:
                nearest = index.nearest(screening.nearest[0])
            except IndexStale:
                continue
            likeness = Likeness(
                scope, screening.layer, _similarity(screening), nearest.name, nearest.proposal_id
            )
            ends = ends_slot(self._rules, likeness)
            likeness = likeness if ends else priced(self._rules, likeness)
            return FoundCopy(likeness, screening.difference, ends)
        raise ServiceUnavailable("filter", f"its index {scope.value} was emptied while it was compared with")

    def _screened(self, index: NoveltyIndex, asked: ScreeningRequest) -> Screening | None:
        """None where others have emptied the index meanwhile, to fill it again."""
        scope, least = self._ready(index)
        screening = self._filter.screen(replace(asked, scope=scope))
        still_whole = index is self._own or known(self._filter, scope) >= least
        return screening if still_whole else None

    def _ready(self, index: NoveltyIndex) -> Ready:
        has_waited = False

        def progress(what: str) -> None:
            nonlocal has_waited
            has_waited = True
            self._journal.wait_for(what)

        ready = index.ready(progress)
        if has_waited:
            self._journal.wait_for(None)
        return ready


def _similarity(screening: Screening) -> float:
    """As the layer that decided measures it."""
    nearest = screening.nearest[0]
    if screening.layer is NoveltyLayer.STRUCTURE and nearest.structure is not None:
        return nearest.structure
    return 1.0 if screening.layer is NoveltyLayer.EXACT else nearest.jaccard
