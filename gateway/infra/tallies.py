"""Counts of all evaluations that ever ended, kept up to date by small steps and never by reading them all.

What ends is noted in the transaction that ends it, and folded into counters once, in one transaction with the
removal of its note: every gateway gives the same numbers, no clock has a say, a restart loses none, and what
retention removes stays counted. What is not folded yet is few, and is added when somebody asks.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, select
from sqlalchemy.orm import Session

from contracts.failures import FailureReason
from gateway.infra.database import Database
from gateway.infra.tables import EvaluationRow
from gateway.infra.tally_tables import TallyRow, UncountedRow

FINISHED = "evaluations_finished"
QUEUED = "evaluation_queued_seconds"
RUN = "evaluation_run_seconds"
BOUNDS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400)
"""Seconds: upper ends of the buckets; the last one has none."""
ENDLESS = "inf"
SUM = "sum"

BATCH = 500
FRESH_LIMIT = 5_000
_NOTHING = "none"
_REASONS = frozenset(reason.value for reason in FailureReason)

Key = tuple[str, tuple[str, ...]]
Totals = dict[Key, float]
_ENDED: Select[*tuple[Any, ...]] = select(
    EvaluationRow.kind,
    EvaluationRow.device,
    EvaluationRow.state,
    EvaluationRow.failure,
    EvaluationRow.created_at,
    EvaluationRow.started_at,
    EvaluationRow.finished_at,
)


@dataclass(frozen=True)
class Ended:
    """What is counted of one evaluation."""

    kind: str
    device: str
    state: str
    reason: str
    queued_seconds: float | None
    run_seconds: float | None


def device_kind(device: str) -> str:
    """`cpu` or `gpu`; which one of them is nobody's label."""
    return "cpu" if device == "cpu" else "gpu"


def note_end(session: Session, evaluation: EvaluationRow) -> None:
    """Have it counted, in the transaction that ends it."""
    session.add(UncountedRow(evaluation_id=evaluation.id))


def fold(database: Database) -> int:
    """Fold one batch; gives how many evaluations that were. Safe in several gateways at a time."""
    with database.write() as session:
        noted = select(UncountedRow.evaluation_id).order_by(UncountedRow.evaluation_id).limit(BATCH)
        ids = session.scalars(noted.with_for_update()).all()
        rows = session.execute(_ENDED.where(EvaluationRow.id.in_(ids))).all()
        _add(session, _count(rows))
        session.execute(delete(UncountedRow).where(UncountedRow.evaluation_id.in_(ids)))
        return len(rows)


def totals(session: Session) -> Totals:
    """Every count up to now."""
    kept = session.execute(select(TallyRow.metric, TallyRow.labels, TallyRow.value))
    counted = {(row.metric, tuple(row.labels.split())): row.value for row in kept}
    noted = select(UncountedRow.evaluation_id).limit(FRESH_LIMIT)
    fresh = session.execute(_ENDED.where(EvaluationRow.id.in_(noted)))
    for key, value in _count(fresh).items():
        counted[key] = counted.get(key, 0.0) + value
    return counted


def _count(rows: Iterable[Row[*tuple[Any, ...]]]) -> Totals:
    counted: Totals = defaultdict(float)
    for row in rows:
        ended = _ended(row)
        counted[FINISHED, (ended.kind, ended.device, ended.state, ended.reason)] += 1
        for metric, seconds in ((QUEUED, ended.queued_seconds), (RUN, ended.run_seconds)):
            if seconds is not None:
                counted[metric, (ended.kind, ended.device, bucket_of(seconds))] += 1
                counted[metric, (ended.kind, ended.device, SUM)] += seconds
    return counted


def bucket_of(seconds: float) -> str:
    """The upper end of the bucket that a duration falls into."""
    return next((str(bound) for bound in BOUNDS if seconds <= bound), ENDLESS)


def _ended(row: Row[*tuple[Any, ...]]) -> Ended:
    reason = (row.failure or {}).get("reason", _NOTHING)
    return Ended(
        kind=row.kind,
        device=device_kind(row.device),
        state=row.state,
        reason=reason if reason in _REASONS else _NOTHING,
        queued_seconds=_between(row.created_at, row.started_at),
        run_seconds=_between(row.started_at, row.finished_at),
    )


def _between(begin: datetime | None, end: datetime | None) -> float | None:
    """Seconds; none below zero, which a clock that was set back would make."""
    return None if begin is None or end is None else max(0.0, (end - begin).total_seconds())


def _add(session: Session, counted: Totals) -> None:
    for (metric, labels), value in sorted(counted.items()):
        row = session.get(TallyRow, (metric, " ".join(labels)), with_for_update=True)
        if row is None:
            session.add(TallyRow(metric=metric, labels=" ".join(labels), value=value))
        else:
            row.value += value
