"""The conductor's journal of further runs: asked for, submitted, settled, each in one transaction.

A run is asked for once, by its purpose, candidate and place, however often the search is taken up again; it
is submitted as soon as its tenant's queue has room.
"""

from collections.abc import Sequence

from contracts.names import SlotState
from gateway.domain.evaluation import EvaluationRequest
from gateway.domain.judging import Verdict
from gateway.domain.rerun import Rerun
from gateway.infra.rerun_rows import rerun_record
from gateway.infra.search_tables import RerunRow
from gateway.infra.slot_journal import SlotJournal
from gateway.schemas.search_document import rerun_document


class RerunJournal(SlotJournal):
    """Steps of a search, those of its further runs among them; all raise SearchNotRunning unless it runs."""

    def ask_again(self, runs: Sequence[tuple[str, Rerun]]) -> None:
        """Ask for runs, each with its proposal id, all of them or none. One that was asked for stays."""
        with self._step() as (session, search):
            for proposal_id, run in runs:
                if session.get(RerunRow, (proposal_id, run.purpose, run.place)) is None:
                    session.add(
                        RerunRow(
                            proposal_id=proposal_id,
                            purpose=run.purpose,
                            place=run.place,
                            search_id=search.id,
                            cycle=run.cycle,
                            seed=run.seed,
                            epochs=run.epochs,
                            state=SlotState.PENDING,
                        )
                    )

    def submit_rerun(self, proposal_id: str, run: Rerun, request: EvaluationRequest) -> bool:
        """Pending becomes evaluating; False where the queue of the search's tenant is full."""
        with self._step() as (session, search):
            row = session.get_one(RerunRow, (proposal_id, run.purpose, run.place))
            if row.state != SlotState.PENDING:
                return True
            if not self._has_room(session, search.tenant):
                return False
            origin = f"{proposal_id}-{run.purpose}-{run.place:03d}"
            row.evaluation_id = self._submit(session, search, request, origin)
            row.state = SlotState.EVALUATING
            return True

    def settle_rerun(self, proposal_id: str, run: Rerun, verdict: Verdict) -> None:
        """Evaluating ends with its verdict, once."""
        with self._step() as (session, _):
            row = session.get_one(RerunRow, (proposal_id, run.purpose, run.place))
            if row.state != SlotState.EVALUATING:
                return
            row.state = verdict.state
            if verdict.score is not None:
                row.accuracy = verdict.score.accuracy
                row.cpu_seconds = verdict.score.cpu_seconds
            if verdict.failure is not None:
                row.failure_reason = verdict.failure.reason
            self._log(session, "rerun", {"proposal_id": proposal_id, **rerun_document(rerun_record(row))})
