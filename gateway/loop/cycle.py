"""One cycle of a search, step by step: propose, apply, screen, evaluate, judge (arXiv 2605.04903).

Cycle 0 evaluates the baselines themselves. Every step is on disk before the next one starts, so `advance`
may be cut off anywhere and called again: it goes on where the journal stands. Proposals arrive in any
order, but slots are applied and screened strictly in slot order, so that a slot sees only what lower
slots admitted, and equal seeds tell equal stories. Who is elite and what comes next is not decided here.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from contracts.failures import FailureReason
from contracts.names import EXTERNAL_PROPOSER, SlotState
from contracts.proposals import Proposal
from contracts.source_rules import SourceRejected, check_source
from gateway.domain.candidate import Slot, SlotFailure
from gateway.domain.delta_reports import APPLIED, UNACCEPTABLE, DeltaReport, delta_report
from gateway.domain.evaluation import EvaluationRequest, trace_of
from gateway.domain.judging import judge, trace_loss
from gateway.domain.novelty import NOTHING_LIKE_IT
from gateway.domain.search import SearchRecord, training_seed
from gateway.infra.generator_client import ProposerHeldUp
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable
from gateway.infra.slot_journal import SlotJournal
from gateway.infra.slot_records import TraceEnd
from gateway.loop.budget import BudgetKeeper, evaluation_request
from gateway.loop.cross_check import DOUBTED_SECONDS, CrossCheck
from gateway.loop.novelty import Novelty
from gateway.loop.ports import GeneratorService
from gateway.loop.proposal_tasks import ProposalTasks

BATCH_SLOTS = 8
"""Slots in one call to the generator."""
PATIENCE = 8
"""A slot is lost after this many failures of a service in its steps: it may be what breaks the service."""
TRUSTED_ERRORS = 1
"""With more failures than this a slot is proposed alone, so that it cannot take its batch along."""

_UNSCREENED = {SlotState.PROPOSED, SlotState.APPLIED, SlotState.TRACING}
_REFUSAL_REASONS = {
    "syntax_error": FailureReason.SYNTAX_ERROR,
    "policy_violation": FailureReason.POLICY_VIOLATION,
    "forbidden_region": FailureReason.POLICY_VIOLATION,
    "contract_lost": FailureReason.CONTRACT_VIOLATION,
    "forbidden_operator": FailureReason.POLICY_VIOLATION,
    "too_many_parameters": FailureReason.POLICY_VIOLATION,
    "too_many_flops": FailureReason.POLICY_VIOLATION,
}
_RULE_CODES = {
    FailureReason.SYNTAX_ERROR: "syntax_error",
    FailureReason.POLICY_VIOLATION: "policy_violation",
    FailureReason.CONTRACT_VIOLATION: "contract_lost",
}
"""What the applier calls a source that breaks a rule."""


class Cycle:
    """The slots of one open cycle on their way from pending to final."""

    def __init__(
        self,
        search: SearchRecord,
        cycle: int,
        journal: SlotJournal,
        generator: GeneratorService,
        novelty: Novelty,
    ) -> None:
        self._search = search
        self._cycle = cycle
        self._journal = journal
        self._generator = generator
        self._novelty = novelty
        self._tasks = ProposalTasks(search, cycle, journal)
        self._budget = BudgetKeeper(search.request.model_budget, journal)
        self._queue_is_full = False
        self._traces = search.request.novelty.structure
        self._ended_traces: dict[str, TraceEnd] = {}
        self._check = CrossCheck(generator, self._tasks, journal, self._look_around)
        self._slots: dict[int, Slot] = {}
        """In slot order, which updating a slot in place keeps."""
        self._read_slots()

    def advance(self, asks: bool = True, held_up: int = 0) -> bool:
        """Take every step that can be taken now; True once all is final.

        False while evaluations are open, and while slots are pending that nobody may be asked for: those of
        an external proposer, or all where the proposer must be left in peace (`asks` is false). After it was
        `held_up` a few times in a row, a slot that holds it up alone is given up.
        Raises ServiceUnavailable (call again later), ProposerHeldUp, ServiceRefused when the proposer refuses
        what the search asks of it, QuotaExceeded where its tenant may store no more, and SearchNotRunning.
        """
        self._progress()
        if self._search.request.proposer.kind == EXTERNAL_PROPOSER:
            asks = False
        while asks and (batch := self._next_batch(held_up)):
            self._journal.require_room_to_store(self._search.tenant)
            try:
                for slot, proposal in self._arrivals(batch, held_up):
                    self._keep(self._journal.record_proposal(slot, proposal))
                    self._progress()
            except ProposerHeldUp as error:
                waiting = [slot for slot in batch if self._slots[slot.slot].state is SlotState.PENDING]
                if not self._check.blames(waiting, error.blocked, held_up):
                    raise
                self._read_slots()
        return all(slot.state.is_final for slot in self._slots.values())

    @property
    def pending(self) -> int:
        """How many slots nothing has been proposed for yet."""
        return sum(slot.state is SlotState.PENDING for slot in self._slots.values())

    @property
    def waits_for_room(self) -> bool:
        """Whether slots could be evaluated if their tenant's queue were not full."""
        return self._queue_is_full

    # --- propose -------------------------------------------------------------------------------------

    def _next_batch(self, held_up: int) -> list[Slot]:
        """The next slots to propose; a slot that failed before waits its turn and goes alone.

        Batches begin at fixed places, and from one that the budget has no room for everything is skipped.
        """
        pending = [slot for slot in self._slots.values() if slot.state is SlotState.PENDING]
        for slot in pending:
            if slot.step_errors >= PATIENCE:
                self._keep(self._journal.record_lost(slot, self._check.loss(slot)))
                self._progress()
                return self._next_batch(held_up)
        trusted = [slot for slot in pending if slot.step_errors <= TRUSTED_ERRORS]
        if not pending:
            return []
        place = (trusted or pending)[0].slot // BATCH_SLOTS
        if self._budget.stops_before(self._cycle, place * BATCH_SLOTS):
            self._read_slots()
            self._progress()
            return self._next_batch(held_up)
        if alone := self._check.alone(pending, held_up):
            return alone
        together = [slot for slot in trusted if slot.slot // BATCH_SLOTS == place]
        return together or [min(pending, key=lambda slot: slot.step_errors)]

    def _arrivals(self, batch: list[Slot], held_up: int) -> Iterator[tuple[Slot, Proposal]]:
        waiting = {slot.slot: slot for slot in batch}
        asked = self._tasks.request(batch)
        if self._check.doubts(batch, self.pending, held_up):
            asked = replace(asked, patience_seconds=DOUBTED_SECONDS)
        with self._blaming(waiting.values()):
            for proposal in self._generator.propose(asked):
                if proposal is None:
                    self._look_around()
                    continue
                slot = waiting.pop(proposal.slot, None)
                if slot is not None:
                    yield slot, proposal
            if waiting:
                raise ServiceUnavailable("generator", f"left {len(waiting)} of {len(batch)} slots unanswered")

    def _look_around(self) -> None:
        """While a model takes its time: settle what has ended; a paused or cancelled search lets it go."""
        self._journal.require_running()
        self._settle()

    # --- apply, screen, submit, judge ------------------------------------------------------------------

    def _progress(self) -> None:
        """Carry the slots in slot order as far as they go, up to the first that is not proposed yet.

        While one waits for its trace, later ones are applied and traced, too, but not screened.
        """
        self._queue_is_full = False
        self._ended_traces = self._journal.ended_traces() if self._traces else {}
        in_turn = True
        for slot in list(self._slots.values()):
            if slot.state is SlotState.PENDING:
                break
            if not slot.state.is_final and slot.state is not SlotState.EVALUATING:
                self._carry(slot, in_turn)
                in_turn = in_turn and self._slots[slot.slot].state not in _UNSCREENED
        self._settle()

    def _carry(self, slot: Slot, in_turn: bool) -> None:
        if slot.step_errors >= PATIENCE:
            self._lose(slot, "a service failed each time it was asked about this slot")
            return
        with self._blaming([slot]):
            if slot.state is SlotState.PROPOSED:
                slot = self._keep(self._apply(slot))
            if slot.state in _UNSCREENED and self._may_be_screened(slot) and in_turn:
                slot = self._keep(self._screen(self._slots[slot.slot]))
        if slot.state is SlotState.NOVEL and not self._queue_is_full:
            request = self._evaluation(slot, self._journal.source(slot.proposal_id))
            submitted = self._keep(self._journal.submit(slot, request))
            self._queue_is_full = submitted.state is SlotState.NOVEL

    def _apply(self, slot: Slot) -> Slot:
        assert slot.parent_id is not None
        baseline = self._journal.source(slot.parent_id)
        answer = self._journal.raw_proposal(slot.proposal_id)
        request = self._search.request
        try:
            applied = self._generator.apply_delta(
                baseline,
                answer,
                request.edits,
                slot.form,
                request.deployment,
                dataset=request.dataset,
                data_shape=request.data_shape,
            )
        except ServiceRefused as error:
            return self._refuse(slot, DeltaReport(UNACCEPTABLE), str(error))
        report = delta_report(applied)
        if applied.source is None or report.code != APPLIED:
            return self._refuse(slot, report, applied.message)
        try:
            check_source(applied.source)
        except SourceRejected as error:
            return self._refuse(slot, replace(report, code=_RULE_CODES[error.reason]), error.message)
        return self._journal.record_applied(slot, applied.source, applied.canonical_delta or "", report)

    def _refuse(self, slot: Slot, report: DeltaReport, message: str) -> Slot:
        reason = _REFUSAL_REASONS.get(report.code, FailureReason.DELTA_REJECTED)
        failure = SlotFailure(reason.value, message, report.code)
        return self._journal.record_refused(slot, failure, report)

    def _may_be_screened(self, slot: Slot) -> bool:
        """Whether all is known that screening looks at; asks for a trace where that is wanted and needed."""
        if slot.state is SlotState.APPLIED and self._traces:
            source = self._journal.source(slot.proposal_id)
            try:
                if not slot.is_baseline and self._novelty.is_same_as_another(slot, source):
                    return True
            except ServiceRefused as error:
                self._lose(slot, f"the novelty filter refused it: {error}")
                return False
            slot = self._keep(self._journal.trace(slot, trace_of(self._evaluation(slot, source))))
            self._queue_is_full = self._queue_is_full or slot.state is SlotState.APPLIED
            # Its record may have answered at once.
            self._ended_traces = self._journal.ended_traces()
        if slot.state is not SlotState.TRACING:
            return not self._traces
        end = self._ended_traces.get(slot.proposal_id)
        if end is None:
            return False
        loss = trace_loss(end.state, end.failure)
        if loss is not None:
            self._lose(slot, loss)
        return loss is None

    def _screen(self, slot: Slot) -> Slot:
        source = self._journal.source(slot.proposal_id)
        graph = self._journal.graph(slot) if slot.state is SlotState.TRACING else None
        try:
            screened = (
                NOTHING_LIKE_IT
                if slot.is_baseline and not self._traces
                else self._novelty.screen(slot, source, graph)
            )
            if screened.ends_slot:
                return self._journal.record_duplicate(slot, screened)
            self._novelty.admit(slot, source, graph)
        except ServiceRefused as error:
            # Never "novel" by an error: what the filter cannot read is not evaluated.
            return self._lose(slot, f"the novelty filter refused it: {error}")
        return self._journal.record_novel(slot, screened)

    def _evaluation(self, slot: Slot, source: str) -> EvaluationRequest:
        request = self._search.request
        return evaluation_request(request, slot, source, training_seed(request.seed))

    def _settle(self) -> None:
        by_id = {slot.proposal_id: slot for slot in self._slots.values()}
        for name, evaluation in self._journal.ended_evaluations().items():
            verdict = judge(
                evaluation.state, evaluation.measurement, evaluation.failure, self._search.classes
            )
            self._keep(self._journal.settle(by_id[name], verdict))

    # --- how ---------------------------------------------------------------------------------------------

    def _read_slots(self) -> None:
        self._slots = {slot.slot: slot for slot in self._journal.slots(self._cycle)}

    def _keep(self, slot: Slot) -> Slot:
        self._slots[slot.slot] = slot
        return slot

    def _lose(self, slot: Slot, message: str) -> Slot:
        failure = SlotFailure(FailureReason.INFRASTRUCTURE.value, message)
        return self._keep(self._journal.record_lost(slot, failure))

    @contextmanager
    def _blaming(self, slots: Iterable[Slot]) -> Iterator[None]:
        """Count a service's failure against the slots that were in its hands."""
        try:
            yield
        except ServiceUnavailable:
            self._journal.count_errors(list(slots))
            raise
