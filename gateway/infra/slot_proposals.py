"""What was proposed for a slot goes on disk at once with all that led to it, whoever proposed it."""

from sqlalchemy.orm import Session

from contracts.failures import FailureReason
from contracts.names import SearchState, SlotState
from contracts.proposals import Proposal
from gateway.domain.candidate import Slot, SlotFailure
from gateway.domain.delta_reports import NO_PROPOSAL, DeltaReport
from gateway.infra.events import append_event
from gateway.infra.model_calls import write_calls
from gateway.infra.search_store import SearchStateConflict, search_topic
from gateway.infra.search_tables import SearchRow, SlotRow
from gateway.infra.slot_rows import slot_record, write_end, write_proposal, write_report
from gateway.infra.tenant_storage import add_stored
from gateway.schemas.search_document import candidate_document


def record_told(session: Session, search_id: str, wanted: str, proposal: Proposal) -> tuple[Slot, bool]:
    """Pending becomes proposed by what an outside agent says, in the caller's transaction, from any thread.

    Gives the slot, and whether this call took the step: False where the slot was pending no more, and then
    nothing changes. A paused search takes it, too. Raises SearchStateConflict for a search that has ended,
    LookupError where there is no such slot.
    """
    search = session.get(SearchRow, search_id, with_for_update=True)
    row = session.get(SlotRow, wanted)
    if search is None or row is None or row.search_id != search_id:
        raise LookupError(f"the search has no slot {wanted[:80]!r}")
    if row.state != SlotState.PENDING:
        return slot_record(row), False
    if SearchState(search.state).is_terminal:
        raise SearchStateConflict(SearchState(search.state))
    keep_proposal(session, row, proposal)
    log_slot(session, row)
    return slot_record(row), True


def keep_proposal(session: Session, row: SlotRow, proposal: Proposal) -> None:
    """Pending becomes proposed, or refused at once where nothing was, in the caller's transaction."""
    write_proposal(row, proposal)
    write_calls(session, row, proposal.calls)
    tenant = session.get_one(SearchRow, row.search_id).tenant
    add_stored(session, tenant, proposal.answer, *(call.answer for call in proposal.calls))
    if not proposal.answer.strip():
        message = proposal.failure or "the proposer answered with nothing"
        failure = SlotFailure(FailureReason.DELTA_REJECTED.value, message, NO_PROPOSAL)
        write_end(row, SlotState.REFUSED, failure)
        write_report(row, DeltaReport(NO_PROPOSAL, message))


def log_slot(session: Session, row: SlotRow) -> None:
    """Tell those who follow the search what became of a slot."""
    # The delta stays out: a follower reads it from the candidate, and the log stays small.
    document = candidate_document(slot_record(row)) | {"delta": None}
    append_event(session, search_topic(row.search_id), "slot", document)
