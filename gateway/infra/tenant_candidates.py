"""All that was ever admitted in a tenant's searches, and how much of it the filter was told.

A slot is admitted first, and told to the filter's index of its tenant later, by whichever search of the
tenant compares with all others. So that index never knows what is not admitted, and what it lacks is known.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, func, select, update

from gateway.infra.database import Database
from gateway.infra.search_tables import SearchRow, SlotRow
from gateway.infra.tables import EvaluationRow

READ_AT_A_TIME = 50


@dataclass(frozen=True)
class AdmittedCandidate:
    """An architecture of one of the tenant's searches, with its source."""

    proposal_id: str
    name: str
    source: str
    graph: str | None


class TenantCandidates:
    """One tenant's; nothing of another's is ever read."""

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = tenant

    def told_count(self) -> int:
        """How many the filter was told of."""
        return self._count(SlotRow.is_in_tenant_index.is_(True))

    def admitted_count(self) -> int:
        """How many there are in all."""
        return self._count(SlotRow.admitted.is_(True))

    def untold(self) -> list[AdmittedCandidate]:
        """Some of those that the filter was not told of yet; empty once there is none."""
        query = (
            select(SlotRow.proposal_id, SlotRow.name, SlotRow.source, EvaluationRow.graph)
            .join(EvaluationRow, EvaluationRow.id == SlotRow.trace_evaluation_id, isouter=True)
            .where(SlotRow.search_id.in_(self._searches()), SlotRow.admitted)
            .where(SlotRow.is_in_tenant_index.is_(False))
            .order_by(SlotRow.proposal_id)
            .limit(READ_AT_A_TIME)
        )
        with self._database.read() as session:
            rows = session.execute(query).all()
        return [AdmittedCandidate(row.proposal_id, row.name, row.source or "", row.graph) for row in rows]

    def note_told(self, proposal_ids: Iterable[str]) -> None:
        """The filter knows these."""
        self._mark(SlotRow.proposal_id.in_(list(proposal_ids)), True)

    def note_forgotten(self) -> None:
        """The filter knows nothing any more."""
        self._mark(SlotRow.is_in_tenant_index.is_(True), False)

    def name_of(self, proposal_id: str) -> str | None:
        """What a candidate of the tenant is called; None where the tenant has no such candidate."""
        query = select(SlotRow.name).where(
            SlotRow.proposal_id == proposal_id, SlotRow.search_id.in_(self._searches())
        )
        with self._database.read() as session:
            return session.scalar(query)

    def _count(self, condition: ColumnElement[bool]) -> int:
        query = select(func.count()).where(SlotRow.search_id.in_(self._searches()), condition)
        with self._database.read() as session:
            return session.scalar(query) or 0

    def _mark(self, condition: ColumnElement[bool], told: bool) -> None:
        of_tenant = SlotRow.search_id.in_(self._searches())
        with self._database.write() as session:
            session.execute(update(SlotRow).where(of_tenant, condition).values(is_in_tenant_index=told))

    def _searches(self) -> Select[str]:
        return select(SearchRow.id).where(SearchRow.tenant == self._tenant)
