"""Screens the slots of a search against all that its rules compare with.

An error is never "novel": it leaves the slot where it was.
"""

from collections.abc import Mapping
from dataclasses import replace

from contracts.jobs import Screening, ScreeningRequest
from contracts.names import NoveltyLayer, StructureComparison
from gateway.domain.candidate import Slot
from gateway.domain.novelty import (
    Likeness,
    NoveltyRules,
    NoveltyScope,
    ScreenedSlot,
    ends_slot,
    priced,
    telling,
)
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
SAME_GRAPH = 1.0


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

    def screen(self, slot: Slot, source: str, graph: str | None = None) -> ScreenedSlot:
        """What a slot's architecture is a copy of, among all that was there before it; a baseline of nothing.

        `graph` is what a trace says that it computes. Raises ServiceUnavailable, ServiceRefused,
        SearchNotRunning.
        """
        found = self._compare(slot, source, graph)
        likeness = telling(one for _, one in found if one is not None)
        if likeness is None:
            return _with_structure(ScreenedSlot(), found[0][0], self._rules)
        screening = next(screening for screening, one in found if one == likeness)
        ends = ends_slot(self._rules, likeness)
        copy = ScreenedSlot(
            likeness if ends else priced(self._rules, likeness), tuple(screening.difference), ends
        )
        # Equal sources decide before anybody asks for a graph, so whether one is known says nothing.
        is_same = likeness.layer is NoveltyLayer.EXACT
        return copy if is_same else _with_structure(copy, screening, self._rules)

    def is_same_as_another(self, slot: Slot, source: str) -> bool:
        """Whether equal sources alone decide, so that no graph is needed. Raises as `screen`."""
        found = self._compare(slot, source, None)
        return any(one is not None and one.layer is NoveltyLayer.EXACT for _, one in found)

    def admit(self, slot: Slot, source: str, graph: str | None = None) -> None:
        """Have the filter know a slot's architecture. The journal records it only afterwards."""
        self._own.admit(slot, source, graph)

    def _compare(self, slot: Slot, source: str, graph: str | None) -> list[tuple[Screening, Likeness | None]]:
        """Scope by scope, what the filter says, and what that makes the slot a copy of; one at the least."""
        asked = ScreeningRequest(
            "",
            slot.proposal_id,
            source,
            self._rules.threshold,
            graph,
            SAME_GRAPH if self._rules.structure else None,
        )
        if slot.is_baseline:
            return [self._compare_in(NoveltyScope.SEARCH, replace(asked, among=()))]
        parent = (str(slot.parent_id),)
        found = [
            self._compare_in(scope, replace(asked, among=parent if scope is NoveltyScope.PARENT else None))
            for scope in self._rules.scopes
        ]
        if NoveltyScope.SEARCH not in self._rules.scopes:
            screening, likeness = self._compare_in(NoveltyScope.SEARCH, asked)
            if likeness is not None and likeness.layer is NoveltyLayer.EXACT:
                found.append((screening, likeness))
        return found

    def _compare_in(self, scope: NoveltyScope, asked: ScreeningRequest) -> tuple[Screening, Likeness | None]:
        index = self._indexes[scope]
        for _ in range(TRIES):
            screening = self._screened(index, asked)
            if screening is None:
                continue
            if screening.novel or screening.layer is None:
                return screening, None
            try:
                nearest = index.nearest(screening.nearest[0])
            except IndexStale:
                continue
            return screening, Likeness(
                scope, screening.layer, _similarity(screening), nearest.name, nearest.proposal_id
            )
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


def _with_structure(screened: ScreenedSlot, screening: Screening, rules: NoveltyRules) -> ScreenedSlot:
    if not rules.structure:
        return screened
    was_compared = screening.structure is StructureComparison.COMPARED
    return replace(screened, traced=was_compared, structure_key=screening.structure_key)


def _similarity(screening: Screening) -> float:
    """As the layer that decided measures it."""
    nearest = screening.nearest[0]
    if screening.layer is NoveltyLayer.STRUCTURE and nearest.structure is not None:
        return nearest.structure
    return 1.0 if screening.layer is NoveltyLayer.EXACT else nearest.jaccard
