"""How far chores have come, in the database: read and moved on in the transaction that does the step."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from gateway.infra.tally_tables import MarkRow

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Mark:
    """A place in an order by moment, then id: all up to it is done, itself included."""

    moment: datetime = LONG_AGO
    row_id: str = ""


def read_mark(session: Session, name: str, *, locked: bool = False) -> Mark:
    """Where a chore stands; the beginning if it never began. `locked`: nobody else moves it meanwhile."""
    row = session.get(MarkRow, name, with_for_update=locked or None)
    return Mark() if row is None else Mark(row.moment or LONG_AGO, row.row_id)


def move_mark(session: Session, name: str, mark: Mark) -> None:
    """Note how far the chore has come, in the caller's transaction."""
    session.merge(MarkRow(name=name, moment=mark.moment, row_id=mark.row_id))
