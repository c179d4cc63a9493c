"""Who does what only one gateway may do: drive a search, import networks, sweep.

A gateway takes a lease on a piece of work and renews it. Where it ceases to, because it died, stands still or
has lost the database, another one takes the lease over once it has lapsed by the database's clock, and the
fence grows. What the first one still writes is refused in the writing transaction itself: that transaction
locks the lease's row until it ends, so a takeover comes before it, and it is undone, or after it. Nothing
hangs on a connection, as PostgreSQL's advisory locks do: a gateway may not hear that its connection is gone.

With SQLite the lock on the state folder says the same of all work at once, and nothing is written.
"""

import logging
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, ColumnElement, String, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from gateway.infra.database import Base, Database, StorageUnavailable, UtcTime, now_in, only_if

log = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
RENEWALS_PER_LEASE = 3
NOBODY = ""
CLOCK_SLACK = timedelta(seconds=5)
"""The database's clock is corrected by so much all the time; that is no jump."""
FORGOTTEN_AFTER = timedelta(days=1)
"""Leases that nobody has renewed for so long are of work that is done."""


class WorkLeaseLost(Exception):
    """Another gateway may have taken the work over: leave it alone."""


class WorkLeaseRow(Base):
    """One piece of work that one gateway does, or did last."""

    __tablename__ = "work_leases"

    work: Mapped[str] = mapped_column(String(80), primary_key=True)
    holder: Mapped[str] = mapped_column(String(80), index=True)
    fence: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)


@dataclass(frozen=True)
class WorkLease:
    """A gateway's right to do a piece of work. A greater `fence` is a later one's."""

    work: str
    holder: str
    fence: int
    is_shared: bool

    def require(self, session: Session) -> None:
        """Raise WorkLeaseLost unless what this transaction writes comes before any takeover."""
        if not self.is_shared:
            return
        held = (
            select(WorkLeaseRow.fence)
            .where(
                WorkLeaseRow.work == self.work,
                WorkLeaseRow.holder == self.holder,
                WorkLeaseRow.fence == self.fence,
            )
            # Keeps takeovers out until this transaction ends, and lets renewals in.
            .with_for_update(read=True, key_share=True)
        )
        if session.scalar(held) is None:
            raise WorkLeaseLost(self.work)

    @contextmanager
    def fencing(self) -> Iterator[None]:
        """What this thread writes meanwhile is kept while the lease is held; then it raises WorkLeaseLost."""
        with only_if(self.require):
            yield


class WorkLeases:
    """The leases of one gateway, renewed in a thread of their own. Thread-safe."""

    def __init__(self, database: Database, seconds: float = LEASE_SECONDS, name: str = "") -> None:
        """`name` is for people; what tells gateways apart is drawn."""
        self._database = database
        self._seconds = seconds
        self.holder = f"{name[:40]}:{os.getpid()}#{secrets.token_hex(8)}"
        self._unwanted: set[WorkLease] = set()
        """Those that could not be let go when they were to be; `renew` does it as soon as it can."""
        self._unwanted_lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_stopped, name="work leases", daemon=True)

    def start(self) -> None:
        """Begin to renew what is taken."""
        if self._database.is_shared:
            self._thread.start()

    def stop(self) -> None:
        """Let go of everything, so that others need not wait. Stop the work first."""
        self._stopping.set()
        if not self._database.is_shared:
            return
        self._thread.join(timeout=10)
        try:
            self._let_go(WorkLeaseRow.holder == self.holder)
        except StorageUnavailable as error:
            log.warning("the leases lapse by themselves: %s", error)

    def take(self, work: str) -> WorkLease | None:
        """The lease on a piece of work, unless another gateway holds it: then None.

        Raises StorageUnavailable.
        """
        if not self._database.is_shared:
            return WorkLease(work, self.holder, 1, False)
        # It may be the very lease that is still to be let go: then it is not let go in between.
        with self._unwanted_lock:
            taken = self._database.change(lambda session: self._take(session, work))
            if taken is not None:
                self._unwanted.discard(taken)
        return taken

    def require(self, lease: WorkLease) -> None:
        """A look in between, for who writes nothing for long. Raises WorkLeaseLost, StorageUnavailable."""
        if not lease.is_shared:
            return
        with self._database.read() as session:
            row = session.get(WorkLeaseRow, lease.work)
            if row is None or (row.holder, row.fence) != (lease.holder, lease.fence):
                raise WorkLeaseLost(lease.work)

    def release(self, lease: WorkLease) -> None:
        """Let others have the work at once. A lease that is lost already stays as it is.

        Raises StorageUnavailable: then it is let go with the next renewal that can be written.
        """
        if not lease.is_shared:
            return
        with self._unwanted_lock:
            self._unwanted.add(lease)
        self._let_go_unwanted()

    def renew(self) -> None:
        """Extend all that this gateway holds and nobody has taken over. Raises StorageUnavailable."""
        self._let_go_unwanted()
        with self._database.write() as session:
            session.execute(
                update(WorkLeaseRow)
                .where(WorkLeaseRow.holder == self.holder)
                .values(expires_at=now_in(session) + timedelta(seconds=self._seconds))
            )

    def _let_go_unwanted(self) -> None:
        with self._unwanted_lock:
            for lease in list(self._unwanted):
                self._let_go(
                    WorkLeaseRow.work == lease.work,
                    WorkLeaseRow.holder == lease.holder,
                    WorkLeaseRow.fence == lease.fence,
                )
                self._unwanted.discard(lease)

    def _let_go(self, *conditions: ColumnElement[bool]) -> None:
        with self._database.write() as session:
            released = {"holder": NOBODY, "expires_at": now_in(session)}
            session.execute(update(WorkLeaseRow).where(*conditions).values(released))

    def _take(self, session: Session, work: str) -> WorkLease | None:
        row = session.get(WorkLeaseRow, work)
        if row is None:
            first = insert(WorkLeaseRow).values(work=work, holder=NOBODY, fence=0, expires_at=now_in(session))
            session.execute(first.on_conflict_do_nothing())
        elif self._is_anothers(row, now_in(session)):
            return None
        # Waits for transactions that the last holder has begun: they end before the work changes hands.
        row = session.get_one(WorkLeaseRow, work, with_for_update=True, populate_existing=True)
        now = now_in(session)
        if self._is_anothers(row, now):
            return None
        if row.holder != self.holder:
            row.holder, row.fence = self.holder, row.fence + 1
        row.expires_at = now + timedelta(seconds=self._seconds)
        return WorkLease(work, self.holder, row.fence, True)

    def _is_anothers(self, row: WorkLeaseRow, now: datetime) -> bool:
        # One that ends later than any can was taken before the clock was set back: its holder may be dead.
        longest = timedelta(seconds=self._seconds) + CLOCK_SLACK
        return row.holder not in {self.holder, NOBODY} and now < row.expires_at <= now + longest

    def forget_old(self, session: Session) -> None:
        """Delete the leases of work that is long done, in the caller's transaction."""
        if self._database.is_shared:
            session.execute(
                delete(WorkLeaseRow).where(WorkLeaseRow.expires_at < now_in(session) - FORGOTTEN_AFTER)
            )

    def _renew_until_stopped(self) -> None:
        while not self._stopping.wait(self._seconds / RENEWALS_PER_LEASE):
            try:
                self.renew()
            except StorageUnavailable as error:
                log.warning("the leases could not be renewed (%s); trying again", error)
            except Exception:
                log.exception("the leases could not be renewed; trying again")
