"""Removes a tenant: every row of it, and what the other services keep for it. Dry until it is told to act.

Keys go first, so that nothing new comes in by them. Then whatever has files or an index elsewhere: those
go before the row that names them, and a service that is away stops the removal, which can be begun again
at any time. Last, every other table with a tenant's name in it, whichever those are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sqlalchemy import Table, delete, func, select, text, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from contracts.fine_tuning import FineTuneState
from contracts.names import SearchState
from gateway.domain.novelty import tenant_scope
from gateway.domain.search import novelty_scope
from gateway.infra.baseline_imports import import_topic
from gateway.infra.baseline_smokes import smoke_run_topic
from gateway.infra.baseline_tables import BaselineImportRow, SmokeRunRow
from gateway.infra.database import Base, Database
from gateway.infra.dataset_owners import DatasetOwners
from gateway.infra.events import signal_after_commit
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.fine_tunes import FINE_TUNES_TOPIC, fine_tune_topic
from gateway.infra.removal import STEP_ROWS, remove_evaluations, remove_events, remove_search_step
from gateway.infra.search_store import search_topic
from gateway.infra.search_tables import SearchRow
from gateway.infra.tables import AttemptRow, EvaluationRow
from gateway.infra.tenant_tables import DatasetOwnerRow

_KEYS = "api_keys"
_OPEN_SEARCHES = tuple(state.value for state in SearchState if not state.is_terminal)
_HANGS_ON = {
    "attempts": select(func.count()).select_from(AttemptRow).join(AttemptRow.evaluation),
}


class Elsewhere(Protocol):
    """What other services keep for a tenant. Each call may be made again; a service away raises."""

    def forget_scope(self, scope: str) -> None:
        """An index of the filter: of a search, or of the tenant."""

    def forget_fine_tune(self, job_id: str) -> None:
        """The generator's job, its chats, and its adapter."""

    def forget_import(self, import_id: str) -> None:
        """The file that an import waits with."""

    def forget_dataset(self, name: str) -> None:
        """A data set, on every host that can be reached."""


@dataclass(frozen=True)
class Holdings:
    """How many rows of each table are a tenant's."""

    rows: dict[str, int]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing."""
        return not any(self.rows.values())


class TenantRemoval:
    """Counts and removes what a tenant has. Thread-safe."""

    def __init__(self, database: Database, elsewhere: Elsewhere) -> None:
        self._database = database
        self._elsewhere = elsewhere
        self._dataset_owners = DatasetOwners(database)

    def holdings(self, tenant: str) -> Holdings:
        """What would go."""
        with self._database.read() as session:
            rows = {
                table.name: session.scalar(
                    select(func.count()).select_from(table).where(table.c.tenant == tenant)
                )
                or 0
                for table in _tables()
            }
            of_tenant = EvaluationRow.tenant == tenant
            rows |= {name: session.scalar(query.where(of_tenant)) or 0 for name, query in _HANGS_ON.items()}
        return Holdings({name: count for name, count in sorted(rows.items()) if count})

    def remove(self, tenant: str) -> Holdings:
        """Remove everything; gives what that was. Raises ServiceUnavailable, StorageUnavailable."""
        had = self.holdings(tenant)
        self._remove_rows(tenant, [table for table in _tables() if table.name == _KEYS])
        self._in_step(lambda session: _stop_searches(session, tenant))
        self._in_step(lambda session: _stop_fine_tunes(session, tenant))
        self._each(tenant, FineTuneRow.id, FineTuneRow.tenant, self._remove_fine_tune)
        self._each(tenant, SearchRow.id, SearchRow.tenant, self._remove_search)
        self._each(tenant, BaselineImportRow.id, BaselineImportRow.tenant, self._remove_import)
        self._each(tenant, SmokeRunRow.id, SmokeRunRow.tenant, self._remove_smoke_run)
        self._remove_evaluations(tenant)
        self._elsewhere.forget_scope(tenant_scope(tenant))
        self._each(tenant, DatasetOwnerRow.name, DatasetOwnerRow.tenant, self._remove_dataset)
        self._remove_rows(tenant, _tables())
        self._wipe()
        return had

    def _each(
        self,
        tenant: str,
        key: InstrumentedAttribute[str],
        owner: InstrumentedAttribute[str],
        act: Callable[[str], None],
    ) -> None:
        while True:
            with self._database.read() as session:
                ids = session.scalars(select(key).where(owner == tenant).limit(STEP_ROWS)).all()
            if not ids:
                return
            for name in ids:
                act(name)

    def _remove_fine_tune(self, job_id: str) -> None:
        self._elsewhere.forget_fine_tune(job_id)
        self._remove_row(FineTuneRow.id, job_id, fine_tune_topic(job_id))

    def _remove_search(self, search_id: str) -> None:
        self._elsewhere.forget_scope(novelty_scope(search_id))
        while self._in_step(lambda session: remove_search_step(session, search_id)):
            pass
        # A step in progress may have admitted one more.
        self._elsewhere.forget_scope(novelty_scope(search_id))

    def _remove_import(self, import_id: str) -> None:
        self._elsewhere.forget_import(import_id)
        self._remove_row(BaselineImportRow.id, import_id, import_topic(import_id))

    def _remove_smoke_run(self, run_id: str) -> None:
        self._remove_row(SmokeRunRow.id, run_id, smoke_run_topic(run_id))

    def _remove_row(self, key: InstrumentedAttribute[str], name: str, topic: str) -> None:
        def step(session: Session) -> bool:
            remove_events(session, [topic])
            session.execute(delete(key.class_).where(key == name))
            return False

        self._in_step(step)

    def _remove_evaluations(self, tenant: str) -> None:
        def step(session: Session) -> bool:
            ids = session.scalars(
                select(EvaluationRow.id).where(EvaluationRow.tenant == tenant).limit(STEP_ROWS)
            ).all()
            remove_evaluations(session, ids)
            return bool(ids)

        while self._in_step(step):
            pass

    def _remove_dataset(self, name: str) -> None:
        self._elsewhere.forget_dataset(name)
        self._dataset_owners.forget(name)

    def _remove_rows(self, tenant: str, tables: Sequence[Table]) -> None:
        for table in tables:
            while self._in_step(partial(_remove_some, table=table, tenant=tenant)):
                pass

    def _in_step(self, step: Callable[[Session], bool]) -> bool:
        with self._database.write() as session:
            if self._is_sqlite:
                # Not every build of it overwrites what it deletes unless it is told to.
                session.execute(text("PRAGMA secure_delete=ON"))
            return step(session)

    def _wipe(self) -> None:
        """The log of SQLite still has the pages as they were: bring it into the file and empty it."""
        if not self._is_sqlite:
            return
        connection = self._database.engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()

    @property
    def _is_sqlite(self) -> bool:
        return self._database.engine.dialect.name == "sqlite"


def _stop_searches(session: Session, tenant: str) -> bool:
    """Whoever conducts one lets go of it before its rows go."""
    going_on = select(SearchRow).where(SearchRow.tenant == tenant, SearchRow.state.in_(_OPEN_SEARCHES))
    for row in session.scalars(going_on):
        row.state = SearchState.CANCELLED.value
        signal_after_commit(session, search_topic(row.id))
    return False


def _stop_fine_tunes(session: Session, tenant: str) -> bool:
    """Whoever drives one hands it in again where the generator has lost it: so it is over before that."""
    going_on = FineTuneRow.tenant == tenant, FineTuneRow.is_settled.is_(False)
    for row in session.scalars(select(FineTuneRow).where(*going_on)):
        row.state, row.is_settled = FineTuneState.CANCELLED.value, True
        signal_after_commit(session, FINE_TUNES_TOPIC)
    return False


def _tables() -> list[Table]:
    """Every table with a tenant's name, those first that others are hung on by nobody."""
    return [table for table in reversed(Base.metadata.sorted_tables) if "tenant" in table.c]


def _remove_some(session: Session, table: Table, tenant: str) -> bool:
    keys = list(table.primary_key.columns)
    found = session.execute(select(*keys).where(table.c.tenant == tenant).limit(STEP_ROWS)).all()
    if found:
        session.execute(delete(table).where(tuple_(*keys).in_([tuple(row) for row in found])))
    return bool(found)
