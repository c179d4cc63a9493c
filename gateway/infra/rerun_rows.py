"""Further runs of candidates as they stand, and what they have taken. In the caller's transaction."""

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from contracts.names import SlotState
from gateway.domain.rerun import Rerun, RerunPurpose, RerunTally
from gateway.infra.search_tables import RerunRow


def rerun_record(row: RerunRow) -> Rerun:
    """A further run as the domain knows it."""
    return Rerun(
        purpose=RerunPurpose(row.purpose),
        cycle=row.cycle,
        place=row.place,
        seed=row.seed,
        epochs=row.epochs,
        state=SlotState(row.state),
        accuracy=row.accuracy,
        failure_reason=row.failure_reason,
        cpu_seconds=row.cpu_seconds,
        evaluation_id=row.evaluation_id,
    )


def reruns_by_slot(session: Session, search_id: str) -> dict[str, tuple[Rerun, ...]]:
    """By proposal id, the further runs of candidates, replicates last, in the order of their seeds."""
    found: dict[str, list[Rerun]] = {}
    rows = session.scalars(
        select(RerunRow)
        .where(RerunRow.search_id == search_id)
        .order_by(RerunRow.proposal_id, RerunRow.purpose, RerunRow.place)
    )
    for row in rows:
        found.setdefault(row.proposal_id, []).append(rerun_record(row))
    return {proposal_id: tuple(reruns) for proposal_id, reruns in found.items()}


def reruns_of(session: Session, proposal_id: str) -> tuple[Rerun, ...]:
    """The same of one candidate."""
    rows = session.scalars(
        select(RerunRow).where(RerunRow.proposal_id == proposal_id).order_by(RerunRow.purpose, RerunRow.place)
    )
    return tuple(map(rerun_record, rows))


def tally_reruns(session: Session, search_id: str) -> dict[int, RerunTally]:
    """By the cycle with which they were asked for."""

    def many(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    rows = session.execute(
        select(
            RerunRow.cycle,
            many(RerunRow.purpose == RerunPurpose.REPLICATE),
            many(RerunRow.purpose == RerunPurpose.AUDIT),
            many(RerunRow.state == SlotState.FAILED),
            many(RerunRow.state == SlotState.LOST),
            func.coalesce(func.sum(RerunRow.cpu_seconds), 0.0),
        )
        .where(RerunRow.search_id == search_id)
        .group_by(RerunRow.cycle)
    )
    return {
        cycle: RerunTally(int(replicates), int(audits), int(failed), int(lost), cpu_seconds or 0.0)
        for cycle, replicates, audits, failed, lost, cpu_seconds in rows
    }
