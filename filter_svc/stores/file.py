"""The store of one machine: one SQLite file, held by one process.

What an admission has answered is on disk, so a killed process loses nothing. A file that cannot be read
raises, always.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filter_svc.stores.port import ENTRIES_A_PAGE, Entry, IndexBroken, News, Record

BUSY_SECONDS = 5.0
"""How long to wait for a process that is just letting go of the file."""

# What is read of every architecture stands first: the rest of a row lies on pages of its own.
SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    scope TEXT NOT NULL,
    proposal_id TEXT NOT NULL,
    label TEXT NOT NULL,
    structure BLOB,
    outline BLOB NOT NULL,
    shingles BLOB NOT NULL,
    source BLOB NOT NULL,
    UNIQUE (scope, proposal_id)
) STRICT;
CREATE INDEX IF NOT EXISTS in_order ON entries (scope, number);
DROP TABLE IF EXISTS architectures;
"""
"""`architectures` is the table of earlier versions; whoever filled it sees that nothing is left of it."""


class FileStore:
    """One file. A second process is refused: it would wait for the first one with every admission."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises IndexBroken."""
        self._path = path
        with self._guarded():
            self._database = self._open()

    def put(self, scope: str, record: Record) -> None:
        """Keep an architecture; the same id again replaces it."""
        row = (scope, *record.entry, record.shingles, record.source)
        self._rows(
            "INSERT OR REPLACE INTO entries "
            "(scope, proposal_id, label, structure, outline, shingles, source) VALUES (?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def renew(self, scope: str, record: Record) -> None:
        """Keep another outline and other shingles of the same source."""
        entry = record.entry
        self._rows(
            "UPDATE entries SET outline = ?, shingles = ? WHERE scope = ? AND proposal_id = ? AND source = ?",
            (entry.outline, record.shingles, scope, entry.proposal_id, record.source),
        )

    def news(self, scope: str, since: int) -> News:
        """What was put after the mark."""
        rows = self._rows(
            "SELECT number, proposal_id, label, structure, outline FROM entries "
            "WHERE scope = ? AND number > ? ORDER BY number LIMIT ?",
            (scope, since, ENTRIES_A_PAGE),
        )
        mark = rows[-1][0] if rows else since
        has_more = len(rows) == ENTRIES_A_PAGE
        # Numbers are never given twice, so whoever drops a scope and fills it again needs no other epoch.
        return News("", mark, [Entry(*row[1:]) for row in rows], has_more, None)

    def shingles(self, scope: str, proposal_ids: Sequence[str]) -> list[bytes | None]:
        """Of each of these architectures."""
        rows = self._rows(
            "SELECT proposal_id, shingles FROM entries "
            "WHERE scope = ? AND proposal_id IN (SELECT value FROM json_each(?))",
            (scope, json.dumps(list(proposal_ids))),
        )
        found = dict(rows)
        return [found.get(proposal_id) for proposal_id in proposal_ids]

    def find(self, scope: str, proposal_id: str) -> Record | None:
        """One architecture."""
        rows = self._rows(
            "SELECT label, structure, outline, shingles, source FROM entries "
            "WHERE scope = ? AND proposal_id = ?",
            (scope, proposal_id),
        )
        return Record(Entry(proposal_id, *rows[0][:3]), *rows[0][3:]) if rows else None

    def count(self, scope: str) -> int:
        """How many architectures a scope holds."""
        return int(self._rows("SELECT count(*) FROM entries WHERE scope = ?", (scope,))[0][0])

    def drop(self, scope: str) -> None:
        """Forget a scope."""
        self._rows("DELETE FROM entries WHERE scope = ?", (scope,))
        # Nothing of it is to be found in the log either.
        self._rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def check(self) -> None:
        """Read from the file."""
        self._rows("SELECT scope FROM entries LIMIT 1")

    def close(self) -> None:
        """Release the file."""
        self._database.close()

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._guarded():
            return self._database.execute(statement, values).fetchall()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA secure_delete = ON")
            database.executescript(SCHEMA)
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(str(verdict)[:200])
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise IndexBroken(
                f"the index {self._path} cannot be used ({error}); make sure that no other filter has it "
                "open and that the disk is not full, or move the file away and let it be rebuilt"
            ) from error
