"""The journal of imports: networks written down batch by batch, then published all at once, or cleared away.

Rows of an import that has not ended are hidden. Filling is idempotent: a version of a network that is there
already is not written again, so an import that was cut off simply begins anew.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.orm import Session, aliased

from contracts.jobs import BaselineNetwork
from contracts.source_rules import candidate_id
from gateway.domain.baseline_import import ImportFailure, ImportRecord, ImportState
from gateway.infra.baseline_imports import OPEN_STATES, import_record, import_topic
from gateway.infra.baseline_tables import (
    BaselineImportRow,
    BaselineResultRow,
    BaselineRow,
    BaselineSourceRow,
)
from gateway.infra.database import Database, utc_now
from gateway.infra.events import signal_after_commit

CLEARED_AT_A_TIME = 200

_NETWORK = TypeAdapter(BaselineNetwork)


class ImportJournal:
    """Steps of the open imports; there is one importer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_imports(self) -> list[ImportRecord]:
        """All that have not ended, oldest first."""
        with self._database.read() as session:
            query = select(BaselineImportRow).where(BaselineImportRow.state.in_(OPEN_STATES))
            return [import_record(row) for row in session.scalars(query.order_by(BaselineImportRow.id))]

    def begin(self, import_id: str) -> None:
        """Start to count anew: the file is read from its beginning."""
        with self._database.write() as session:
            row = session.get_one(BaselineImportRow, import_id)
            row.state = ImportState.RUNNING
            row.started_at = row.started_at or utc_now()
            row.read = row.stored = row.unchanged = 0
            row.refused = {}
            row.waiting_for = None
            signal_after_commit(session, import_topic(import_id))

    def expect(self, import_id: str, total: int) -> None:
        """Say how many networks the file has."""
        with self._database.write() as session:
            session.get_one(BaselineImportRow, import_id).total = total
            signal_after_commit(session, import_topic(import_id))

    def fill(self, import_id: str, networks: Sequence[BaselineNetwork], refused: Sequence[str] = ()) -> None:
        """Write networks down, still hidden, and count them and the reasons of those `refused`."""
        by_digest = {network_digest(network): network for network in networks}
        with self._database.write() as session:
            looked_up = select(BaselineRow).where(BaselineRow.digest.in_(by_digest))
            known = {row.digest: row.published for row in session.scalars(looked_up)}
            hidden = [digest for digest, published in known.items() if not published]
            session.execute(
                update(BaselineRow).where(BaselineRow.digest.in_(hidden)).values(import_id=import_id)
            )
            _insert(session, import_id, {d: n for d, n in by_digest.items() if d not in known})
            unchanged = sum(known.values())
            row = session.get_one(BaselineImportRow, import_id)
            row.read += len(networks) + len(refused)
            row.stored += len(networks) - unchanged
            row.unchanged += unchanged
            row.refused = dict(Counter(row.refused) + Counter(refused))
            signal_after_commit(session, import_topic(import_id))

    def wait_for(self, import_id: str, reason: str) -> None:
        """Say what the import waits for; nothing is written where it said so before."""
        with self._database.read() as session:
            if session.get_one(BaselineImportRow, import_id).waiting_for == reason[:600]:
                return
        with self._database.write() as session:
            session.get_one(BaselineImportRow, import_id).waiting_for = reason[:600]
            signal_after_commit(session, import_topic(import_id))

    def publish(self, import_id: str, summary: dict[str, Any]) -> None:
        """Show all networks of the import at once, in place of older versions of the same names."""
        newer = aliased(BaselineRow)
        with self._database.write() as session:
            replaced = exists().where(
                newer.name == BaselineRow.name, newer.import_id == import_id, newer.published.is_(False)
            )
            session.execute(
                delete(BaselineRow).where(BaselineRow.published.is_(True), replaced),
                execution_options={"synchronize_session": False},
            )
            session.execute(
                update(BaselineRow)
                .where(BaselineRow.import_id == import_id, BaselineRow.published.is_(False))
                .values(published=True)
            )
            # What an earlier import left behind and nobody could clear away yet: on a full disk, say.
            session.execute(delete(BaselineRow).where(BaselineRow.published.is_(False)))
            _forget_unused_sources(session)
            row = session.get_one(BaselineImportRow, import_id)
            row.state, row.summary, row.waiting_for = ImportState.SUCCEEDED, summary, None
            row.finished_at = utc_now()
            signal_after_commit(session, import_topic(import_id))

    def fail(self, import_id: str, failure: ImportFailure) -> None:
        """End an import. A short step, for a disk with little room; `clear` takes away what was written."""
        with self._database.write() as session:
            row = session.get_one(BaselineImportRow, import_id)
            row.state, row.failure, row.waiting_for = ImportState.FAILED, asdict(failure), None
            row.finished_at = utc_now()
            signal_after_commit(session, import_topic(import_id))

    def clear(self) -> None:
        """Take away what imports have written that did not end well, a little at a time."""
        hidden = select(BaselineRow.digest).where(BaselineRow.published.is_(False)).limit(CLEARED_AT_A_TIME)
        while True:
            with self._database.write() as session:
                digests = session.scalars(hidden).all()
                if not digests:
                    _forget_unused_sources(session)
                    return
                session.execute(delete(BaselineRow).where(BaselineRow.digest.in_(digests)))


def network_digest(network: BaselineNetwork) -> str:
    """SHA-256 over the name and all content of a network, hex: the identity of a version of it."""
    content = _NETWORK.dump_python(network, mode="json")
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _insert(session: Session, import_id: str, networks: dict[str, BaselineNetwork]) -> None:
    if not networks:
        return
    sources = {candidate_id(network.source): network.source for network in networks.values()}
    known = set(
        session.scalars(
            select(BaselineSourceRow.candidate_id).where(BaselineSourceRow.candidate_id.in_(sources))
        )
    )
    new_sources = [{"candidate_id": c, "source": text} for c, text in sources.items() if c not in known]
    if new_sources:
        session.execute(insert(BaselineSourceRow), new_sources)
    session.execute(
        insert(BaselineRow), [_columns(import_id, digest, network) for digest, network in networks.items()]
    )
    results = [
        {"digest": digest, **asdict(result)}
        for digest, network in networks.items()
        for result in network.results
    ]
    if results:
        session.execute(insert(BaselineResultRow), results)


def _columns(import_id: str, digest: str, network: BaselineNetwork) -> dict[str, Any]:
    return {
        "digest": digest,
        "name": network.name,
        "published": False,
        "import_id": import_id,
        "origin": network.origin,
        "family": network.family[:120],
        "contract": network.contract,
        "description": network.description,
        "licence": network.licence,
        "candidate_id": candidate_id(network.source),
        "hyperparameters": network.hyperparameters,
    }


def _forget_unused_sources(session: Session) -> None:
    used = exists().where(BaselineRow.candidate_id == BaselineSourceRow.candidate_id)
    session.execute(delete(BaselineSourceRow).where(~used), execution_options={"synchronize_session": False})
