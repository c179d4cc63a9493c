"""The filter's indexes as searches compare with them, each filled again by what is on disk here.

The journal decides what an index must hold; the filter has only a copy of it. A comparison counts when the
index held enough before it and after it: what has forgotten, or is being filled, says nothing.
"""

import hashlib
import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

from contracts.jobs import Admission, BaselineNetwork, Neighbour
from contracts.source_rules import candidate_id
from gateway.domain.candidate import Slot
from gateway.domain.novelty import tenant_scope
from gateway.domain.search import novelty_scope
from gateway.infra.corpus_records import CorpusNetwork, CorpusRecords
from gateway.infra.database import Database
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable
from gateway.infra.slot_journal import SlotJournal
from gateway.infra.tenant_candidates import TenantCandidates
from gateway.loop.ports import NoveltyFilter

ADMITTED_AT_A_TIME = 50
"""After so many it is told how far an index is, and asked whether to go on."""

Progress = Callable[[str], None]
"""Told in words what is being filled; raises to stop that."""


class IndexStale(Exception):
    """The index has another past than what is on disk; it was emptied, and has to be filled again."""


class Ready(NamedTuple):
    """An index that can be compared with: the filter's scope, and how many architectures it must hold."""

    scope: str
    least: int


class Nearest(NamedTuple):
    """An architecture that the filter has named. `proposal_id`: None of one of the corpus."""

    name: str
    proposal_id: str | None


class NoveltyIndex(Protocol):
    """Architectures to compare with."""

    def ready(self, progress: Progress) -> Ready:
        """Filled as far as it must be. Raises what the filter's calls and `progress` raise."""
        ...

    def nearest(self, neighbour: Neighbour) -> Nearest:
        """What a neighbour is called here. Raises IndexStale."""
        ...


class SearchIndex:
    """What one search has admitted. Nobody but its conductor changes it."""

    def __init__(self, journal: SlotJournal, filter_: NoveltyFilter) -> None:
        self._journal = journal
        self._filter = filter_
        self._scope = novelty_scope(journal.search_id)

    def ready(self, _progress: Progress) -> Ready:
        """Filled by the journal, unless it is."""
        expected = self._journal.admitted_count()
        # One more is known when the last admission was cut off before the journal recorded it; that one is
        # screened next, and left out of its own screening. Anything else is another past than ours.
        if known(self._filter, self._scope) not in {expected, expected + 1}:
            self._filter.forget(self._scope)
            for slot in self._journal.admitted():
                self.admit(slot, self._journal.source(slot.proposal_id), self._journal.graph(slot))
        return Ready(self._scope, expected)

    def admit(self, slot: Slot, source: str, graph: str | None) -> None:
        """Have the filter know a slot's architecture. The journal records it only afterwards."""
        self._filter.admit(slot.proposal_id, Admission(self._scope, source, slot.name, graph))

    def nearest(self, neighbour: Neighbour) -> Nearest:
        """By the name that it was admitted with."""
        return Nearest(neighbour.label or _short_name(neighbour.id), neighbour.id)


class TenantIndex:
    """All that was ever admitted in a tenant's searches; several searches of it fill and use it."""

    def __init__(self, candidates: TenantCandidates, filter_: NoveltyFilter, scope: str) -> None:
        self._candidates = candidates
        self._filter = filter_
        self._scope = scope
        self._lock = threading.Lock()

    def ready(self, progress: Progress) -> Ready:
        """Told of all that it lacked. What others do meanwhile makes it larger, or empties it."""
        with self._lock:
            # In this order: what is on disk is told to the filter later, and noted here later still.
            least = self._candidates.told_count()
            if not least <= known(self._filter, self._scope) <= self._candidates.admitted_count():
                self._empty()
            while some := self._candidates.untold():
                for one in some:
                    self._filter.admit(
                        one.proposal_id, Admission(self._scope, one.source, one.name, one.graph)
                    )
                self._candidates.note_told(one.proposal_id for one in some)
                if len(some) == ADMITTED_AT_A_TIME:
                    progress("the novelty filter, which takes in all that its tenant's searches have tried")
            return Ready(self._scope, self._candidates.told_count())

    def nearest(self, neighbour: Neighbour) -> Nearest:
        """By its name in the tenant's own searches: whatever else the filter may say is not repeated."""
        name = self._candidates.name_of(neighbour.id)
        if name is None:
            with self._lock:
                self._empty()
            raise IndexStale(self._scope)
        return Nearest(name, neighbour.id)

    def _empty(self) -> None:
        self._filter.forget(self._scope)
        self._candidates.note_forgotten()


class CorpusIndex:
    """The shipped baselines and the imported networks, which are the same for everybody.

    The scope's name follows from what it must hold, and it is filled in the order of source hashes: so the
    number of its architectures says where to go on.
    """

    def __init__(
        self, records: CorpusRecords, shipped: Callable[[], list[BaselineNetwork]], filter_: NoveltyFilter
    ) -> None:
        self._records = records
        self._shipped = shipped
        self._filter = filter_
        self._lock = threading.Lock()
        self._full = Ready("", 0)

    def ready(self, progress: Progress) -> Ready:
        """Filled, which takes some minutes once where ten thousand networks were imported."""
        with self._lock:
            sources = {candidate_id(one.source): one for one in self._shipped()}
            named = {one.candidate_id: one for one in self._records.imported()}
            named |= {key: CorpusNetwork(key, one.name) for key, one in sources.items()}
            networks = [named[key] for key in sorted(named)]
            scope = _scope_of(networks)
            if self._full.scope != scope or known(self._filter, scope) < self._full.least:
                self._use(scope)
                self._fill(scope, networks, {key: one.source for key, one in sources.items()}, progress)
                self._full = Ready(scope, known(self._filter, scope))
            return self._full

    def nearest(self, neighbour: Neighbour) -> Nearest:
        """By the name that the network is found under."""
        return Nearest(neighbour.label, None)

    def _use(self, scope: str) -> None:
        before = self._records.index_in_use()
        if before != scope:
            if before is not None:
                self._filter.forget(before)
            self._records.use_index(scope)

    def _fill(
        self, scope: str, networks: list[CorpusNetwork], shipped: dict[str, str], progress: Progress
    ) -> None:
        # Of those that the filter cannot read none is counted: a few are sent again, never too few.
        held = start = known(self._filter, scope)
        for place in range(start, len(networks), ADMITTED_AT_A_TIME):
            some = networks[place : place + ADMITTED_AT_A_TIME]
            sources = self._records.sources([one.candidate_id for one in some]) | shipped
            for one in some:
                if one.candidate_id in sources:
                    self._admit(scope, one, sources[one.candidate_id])
            before, held = held, known(self._filter, scope)
            if held < before:
                raise ServiceUnavailable("filter", "its index of the corpus was emptied while it was filled")
            progress(f"the novelty filter, which takes in the corpus: {place + len(some)} of {len(networks)}")

    def _admit(self, scope: str, network: CorpusNetwork, source: str) -> None:
        try:
            self._filter.admit(f"corpus-{network.candidate_id}", Admission(scope, source, network.name))
        except ServiceRefused as error:
            if error.status != 422:
                raise


class SharedIndexes:
    """The indexes that more than one search uses, one object of each in a process."""

    def __init__(
        self, database: Database, shipped: Callable[[], list[BaselineNetwork]], filter_: NoveltyFilter
    ) -> None:
        self._database = database
        self._filter = filter_
        self._lock = threading.Lock()
        self._tenants: dict[str, TenantIndex] = {}
        self.corpus = CorpusIndex(CorpusRecords(database), shipped, filter_)

    def of_tenant(self, tenant: str) -> TenantIndex:
        """The index of a tenant, and of nobody else."""
        with self._lock:
            if tenant not in self._tenants:
                candidates = TenantCandidates(self._database, tenant)
                self._tenants[tenant] = TenantIndex(candidates, self._filter, tenant_scope(tenant))
            return self._tenants[tenant]


def known(filter_: NoveltyFilter, scope: str) -> int:
    """How many architectures the filter holds in a scope."""
    try:
        return filter_.count(scope)
    except ServiceRefused as error:
        if error.status == 404:
            return 0
        raise


def _scope_of(networks: list[CorpusNetwork]) -> str:
    digest = hashlib.sha256("".join(one.candidate_id for one in networks).encode())
    return f"corpus:{digest.hexdigest()[:16]}"


def _short_name(proposal_id: str) -> str:
    return "-".join(proposal_id.split("-")[-2:])
