"""Candidates that are run again with fresh seeds: contenders before they become elites, and a random audit.

Resumable like a cycle. Contenders are asked for in rounds, each chosen from what the rounds before have
shown, until nobody is left that would have to be run again or the cycle's budget is spent; the cycle closes
after that. Audits are asked for once, when their cycle has been measured, and nothing waits for them but
the finals.
"""

from gateway.domain.candidate import Slot
from gateway.domain.judging import judge
from gateway.domain.rerun import Rerun, RerunPurpose
from gateway.domain.reruns import audit_seed, audits, choose_contenders, draw_audits, replicate_seeds
from gateway.domain.search import SearchRecord
from gateway.infra.rerun_journal import RerunJournal
from gateway.loop.budget import evaluation_request


class Reruns:
    """The further runs of one search."""

    def __init__(self, search: SearchRecord, journal: RerunJournal) -> None:
        self._search = search
        self._journal = journal
        self.waits_for_room = False
        """Whether more could run if their tenant's queue were not full."""

    def advance(self, cycle: int) -> bool:
        """Take every step that can be taken now; True once the selection of the cycle has all its runs.

        Called once every slot of the cycle has ended, and harmlessly again. Raises SearchNotRunning.
        """
        request = self._search.request
        if request.replicates is None and request.audit_sample is None:
            return True
        self.carry()
        if any(run.purpose is RerunPurpose.REPLICATE for _, run in self._journal.open_reruns()):
            return False
        slots = self._journal.slots()
        chosen = self._contenders(slots, cycle)
        asked = chosen + self._audits(slots, cycle)
        if asked:
            self._journal.ask_again(asked)
            self.carry()
        return not chosen

    def carry(self) -> bool:
        """Settle what has ended and submit what there is room for; True where nothing is open any more."""
        for proposal_id, run, evaluation in self._journal.ended_reruns():
            verdict = judge(
                evaluation.state, evaluation.measurement, evaluation.failure, self._search.classes
            )
            self._journal.settle_rerun(proposal_id, run, verdict)
        self._submit()
        return not self._journal.open_reruns()

    def _submit(self) -> None:
        waiting = [(name, run) for name, run in self._journal.open_reruns() if run.evaluation_id is None]
        slots = {slot.proposal_id: slot for slot in self._journal.slots()} if waiting else {}
        self.waits_for_room = False
        for proposal_id, run in waiting:
            source = self._journal.source(proposal_id)
            request = evaluation_request(
                self._search.request, slots[proposal_id], source, run.seed, run.epochs
            )
            if not self._journal.submit_rerun(proposal_id, run, request):
                self.waits_for_room = True
                return

    def _contenders(self, slots: list[Slot], cycle: int) -> list[tuple[str, Rerun]]:
        request = self._search.request
        plan = request.replicates
        if plan is None:
            return []
        seeds = replicate_seeds(request.seed, plan.seeds)
        return [
            (slot.proposal_id, Rerun(RerunPurpose.REPLICATE, cycle, place, seeds[place], request.epochs))
            for slot, place in choose_contenders(slots, cycle, request.elites, plan)
        ]

    def _audits(self, slots: list[Slot], cycle: int) -> list[tuple[str, Rerun]]:
        """Of cycles of proposals; empty once they were asked for."""
        request = self._search.request
        plan = request.audit_sample
        if plan is None or cycle == 0:
            return []
        run = Rerun(RerunPurpose.AUDIT, cycle, 0, audit_seed(request.seed), plan.epochs or request.epochs)
        drawn = draw_audits(slots, cycle, request.seed, plan)
        return [(slot.proposal_id, run) for slot in drawn if not audits(slot)]
