"""The pairs that a caller sent to learn from: kept until their job has ended, and no longer."""

from collections.abc import Iterator, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from gateway.domain.fine_tuning import GivenPair
from gateway.infra.database import Database
from gateway.infra.fine_tune_tables import FineTunePairRow

PAIRS_AT_A_TIME = 32


def keep_pairs(session: Session, tenant: str, job_id: str, pairs: Sequence[GivenPair]) -> None:
    """Keep the pairs of a job, in the transaction that accepts it."""
    session.add_all(
        FineTunePairRow(
            job_id=job_id,
            place=place,
            tenant=tenant,
            dataset=pair.dataset,
            baseline_accuracy=pair.baseline_accuracy,
            baseline_source=pair.baseline_source,
            target_source=pair.target_source,
        )
        for place, pair in enumerate(pairs)
    )


def forget_pairs(session: Session, job_id: str) -> None:
    """Remove the pairs of a job that has ended: they hold sources."""
    session.execute(delete(FineTunePairRow).where(FineTunePairRow.job_id == job_id))


def kept_pairs(database: Database, job_id: str) -> Iterator[list[GivenPair]]:
    """The pairs of a job in their order, some at a time; none of one that has ended."""
    first = 0
    while True:
        query = select(FineTunePairRow).where(
            FineTunePairRow.job_id == job_id, FineTunePairRow.place >= first
        )
        with database.read() as session:
            rows = session.scalars(query.order_by(FineTunePairRow.place).limit(PAIRS_AT_A_TIME)).all()
            pairs = [
                GivenPair(row.dataset, row.baseline_source, row.target_source, row.baseline_accuracy)
                for row in rows
            ]
        if not pairs:
            return
        yield pairs
        first = rows[-1].place + 1
