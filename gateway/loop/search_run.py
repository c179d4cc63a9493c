"""A whole search: cycle after cycle, selection between them, finals at the end.

Holds no state of its own: `advance` reads where the journal stands and goes on from there, whether it
was called a moment ago, before a crash, or by another process.
"""

from contracts.names import EXTERNAL_PROPOSER, SearchState, SlotState
from gateway.domain.candidate import Slot
from gateway.domain.reruns import as_of
from gateway.domain.search import SearchRecord
from gateway.domain.selection import choose_parents, select_elites
from gateway.infra.rerun_journal import RerunJournal
from gateway.loop.adapter_lineage import AdapterLineage
from gateway.loop.budget import BudgetKeeper
from gateway.loop.cycle import Cycle
from gateway.loop.cycle_diversity import cycle_diversity
from gateway.loop.final_runs import Finals
from gateway.loop.novelty import Novelty
from gateway.loop.novelty_indexes import SharedIndexes
from gateway.loop.ports import GeneratorService, NoveltyFilter
from gateway.loop.reruns import Reruns

ROOM = "room in its tenant's queue: as many evaluations as its quota allows have not ended yet"
"""What a search waits for that has more to evaluate than it may."""


class SearchRun:
    """One search and the services it needs."""

    def __init__(
        self,
        journal: RerunJournal,
        generator: GeneratorService,
        filter_: NoveltyFilter,
        indexes: SharedIndexes,
    ) -> None:
        self._journal = journal
        self._generator = generator
        self._filter = filter_
        self._indexes = indexes
        self.waits_for: str | None = None
        """What an advance that gave False waits for, for people; None: evaluations alone."""

    def advance(self, asks: bool = True, held_up: int = 0) -> bool:
        """Take every step that can be taken now; True once the search has ended, False while it must wait.

        Unless it `asks`, no proposer is asked for anything: what was proposed goes on. `held_up`: how often
        in a row it raised ProposerHeldUp before.
        Raises SearchNotRunning, ServiceUnavailable, ProposerHeldUp, ServiceRefused.
        """
        self.waits_for = None
        search = self._journal.search()
        if search.state is not SearchState.RUNNING:
            self._journal.start()
        novelty = Novelty(search, self._journal, self._filter, self._indexes)
        for number in range(search.cycle, search.request.cycles + 1):
            if number > search.cycle:
                if self._proposes_no_more(number):
                    break
                if not self._has_learnt(search, number - 1):
                    return False
                self._open(search, number)
            cycle = Cycle(search, number, self._journal, self._generator, novelty)
            if not cycle.advance(asks, held_up):
                self.waits_for = _room(cycle) or _agents(search, cycle.pending)
                return False
            if not self._has_run_again(search, number):
                return False
            if not self._close(search, number):
                return True
        return self._has_ended_reruns(search) and Finals(search, self._journal).advance()

    def _has_run_again(self, search: SearchRecord, number: int) -> bool:
        """Whether selection has all the runs that it is to go by at the end of a cycle."""
        reruns = Reruns(search, self._journal)
        done = reruns.advance(number)
        self.waits_for = None if done or not reruns.waits_for_room else ROOM
        return done

    def _has_ended_reruns(self, search: SearchRecord) -> bool:
        """Whether nobody is being run again any more."""
        reruns = Reruns(search, self._journal)
        done = reruns.carry()
        self.waits_for = ROOM if reruns.waits_for_room else None
        return done

    def _proposes_no_more(self, number: int) -> bool:
        """Whether the budget leaves no room for another cycle."""
        search = self._journal.search()
        budget = BudgetKeeper(search.request.model_budget, self._journal)
        return search.stopped_by is not None or budget.stops_before(number, 0)

    def _has_learnt(self, search: SearchRecord, closed: int) -> bool:
        """Whether nothing is being learnt that the next cycle would have to wait for."""
        job = AdapterLineage(search, self._journal).learn(closed)
        if job is not None:
            self.waits_for = f"the fine-tune {job.id} after cycle {closed}"
        elif search.waiting_for is not None:
            # The next cycle may propose for hours before anybody says again what is waited for.
            self._journal.wait_for(None)
        return job is None

    def _open(self, search: SearchRecord, number: int) -> None:
        request = search.request
        population = as_of(self._journal.slots(), number - 1)
        breeding = [slot for slot in population if request.breeds or slot.is_baseline]
        parents = choose_parents(
            select_elites(breeding, request.elites),
            [slot for slot in population if slot.is_baseline],
            request.candidates_per_cycle,
            request.seed,
            number,
        )
        self._journal.open_cycle(number, parents, AdapterLineage(search, self._journal).adapter())

    def _close(self, search: SearchRecord, number: int) -> bool:
        """Select, and end the cycle; False when the search failed because nobody can be a parent."""
        population = as_of(self._journal.slots(), number)
        elites = select_elites(population, search.request.elites)
        estimates = {slot.proposal_id: slot.score.estimate for slot in population if slot.score is not None}
        diversity = cycle_diversity(self._journal, number, search.request.seed)
        self._journal.close_cycle(number, [slot.proposal_id for slot in elites], diversity, estimates)
        if any(slot.state is SlotState.JUDGED for slot in population):
            return True
        self._journal.fail(_why_no_baseline_ran(population))
        return False


def _room(cycle: Cycle) -> str | None:
    return ROOM if cycle.waits_for_room else None


def _agents(search: SearchRecord, pending: int) -> str | None:
    if search.request.proposer.kind != EXTERNAL_PROPOSER or not pending:
        return None
    slots = "1 slot" if pending == 1 else f"{pending} slots"
    return f"an agent that asks and tells what goes into {slots}"


def _why_no_baseline_ran(baselines: list[Slot]) -> str:
    told = "; ".join(
        f"{slot.name}: {slot.failure.reason}, {slot.failure.message[:200]}"
        for slot in baselines[:10]
        if slot.failure is not None
    )
    return f"No baseline could be measured, so there is nothing to propose from. {told}"
