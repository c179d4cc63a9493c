"""Counts of all evaluations that ever ended, kept up to date by small steps and never by reading them all.

What ended a minute ago or earlier is folded into counters once, in one transaction with the mark that says
so: every gateway gives the same numbers, a restart loses none, and what retention removes stays counted.
What ended since is few, and is added when somebody asks.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, and_, or_, select
from sqlalchemy.orm import Session

from contracts.failures import FailureReason
from gateway.infra.database import Database, now_in
from gateway.infra.marks import Mark, move_mark, read_mark
from gateway.infra.tables import EvaluationRow
from gateway.infra.tally_tables import TallyRow

FINISHED = "evaluations_finished"
QUEUED = "evaluation_queued_seconds"
RUN = "evaluation_run_seconds"
BOUNDS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400)
"""Seconds: upper ends of the buckets; the last one has none."""
ENDLESS = "inf"
SUM = "sum"

BATCH = 500
FRESH_LIMIT = 5_000
SETTLED_AFTER = timedelta(seconds=60)
"""A transaction that ends an evaluation sets the moment first and is on disk later, by less than this."""
_MARK = "tallies:evaluations"
_NOTHING = "none"
_REASONS = frozenset(reason.value for reason in FailureReason)

Key = tuple[str, tuple[str, ...]]
Totals = dict[Key, float]
_Query = Select[*tuple[Any, ...]]


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


def fold(database: Database) -> int:
    """Fold one batch; gives how many evaluations that were. Safe in several gateways at a time."""
    with database.write() as session:
        mark = read_mark(session, _MARK, locked=True)
        rows = session.execute(_ended_after(mark, now_in(session) - SETTLED_AFTER, BATCH)).all()
        if rows:
            _add(session, _count(rows))
            move_mark(session, _MARK, Mark(rows[-1].finished_at, rows[-1].id))
        return len(rows)


def totals(session: Session) -> Totals:
    """Every count up to now."""
    kept = session.execute(select(TallyRow.metric, TallyRow.labels, TallyRow.value))
    counted = {(row.metric, tuple(row.labels.split())): row.value for row in kept}
    fresh = session.execute(_ended_after(read_mark(session, _MARK), None, FRESH_LIMIT))
    for key, value in _count(fresh).items():
        counted[key] = counted.get(key, 0.0) + value
    return counted


def _ended_after(mark: Mark, until: datetime | None, limit: int) -> _Query:
    row = EvaluationRow
    after = or_(row.finished_at > mark.moment, and_(row.finished_at == mark.moment, row.id > mark.row_id))
    query: _Query = select(
        row.id, row.kind, row.device, row.state, row.failure, row.created_at, row.started_at, row.finished_at
    ).where(row.finished_at.is_not(None), row.finished_at >= mark.moment, after)
    if until is not None:
        query = query.where(row.finished_at <= until)
    return query.order_by(row.finished_at, row.id).limit(limit)


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
        row = session.get(TallyRow, (metric, " ".join(labels)))
        if row is None:
            session.add(TallyRow(metric=metric, labels=" ".join(labels), value=value))
        else:
            row.value += value
