"""The index on disk: every admitted architecture by scope and proposal id, in one SQLite file.

What an admission has answered is on disk, so a killed process loses nothing. Scopes are read into
memory when first asked for; a few stay there. The source is kept beside its fingerprint, so that a
new version of the fingerprints can be made from it. A file that cannot be read raises, always: an
index that has forgotten would call every copy new.
"""

import sqlite3
import threading
import zlib
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from filter_svc.canonical import NotScreenable
from filter_svc.fingerprints import FINGERPRINT_VERSION, PERMUTATIONS, Fingerprint, fingerprint
from filter_svc.neighbourhood import Compared, Neighbourhood

SCOPES_IN_MEMORY = 16
BUSY_SECONDS = 5.0
"""How long to wait for a process that is just letting go of the file."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS architectures (
    scope TEXT NOT NULL,
    proposal_id TEXT NOT NULL,
    label TEXT NOT NULL,
    version TEXT NOT NULL,
    digest BLOB NOT NULL,
    shingles BLOB NOT NULL,
    sketch BLOB NOT NULL,
    source BLOB NOT NULL,
    structure BLOB,
    PRIMARY KEY (scope, proposal_id)
) WITHOUT ROWID, STRICT
"""
BY_STRUCTURE = """
CREATE INDEX IF NOT EXISTS by_structure ON architectures (scope, structure) WHERE structure IS NOT NULL
"""
UPSERT = """
INSERT INTO architectures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET label = excluded.label, version = excluded.version, digest = excluded.digest,
    shingles = excluded.shingles, sketch = excluded.sketch, source = excluded.source,
    structure = excluded.structure
"""


class IndexBroken(Exception):
    """The index cannot be used; nothing can be said to be novel. The message says what to do."""


@dataclass(frozen=True)
class Admitted:
    """An architecture as it was admitted."""

    proposal_id: str
    label: str
    source: str
    structure: bytes | None
    """Equal where two architectures compute the same; None where nobody has looked."""


class NoveltyIndex:
    """All scopes. Safe to use from several threads; one process at a time holds the file."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises IndexBroken."""
        self._path = path
        self._lock = threading.RLock()
        self._scopes: OrderedDict[str, Neighbourhood] = OrderedDict()
        with self._guarded():
            self._database = self._open()

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._database.close()

    def admit(
        self, scope: str, proposal_id: str, source: str, label: str = "", structure: bytes | None = None
    ) -> None:
        """Add an architecture; the same id again replaces it. Raises NotScreenable, IndexBroken."""
        made = fingerprint(source)
        with self._guarded():
            neighbourhood = self._loaded(scope)
            self._database.execute(UPSERT, _row(scope, proposal_id, label, made, source, structure))
            neighbourhood.put(proposal_id, label, made)

    def compare(
        self,
        scope: str,
        made: Fingerprint,
        threshold: float,
        exclude: str,
        among: Collection[str] | None = None,
    ) -> list[Compared]:
        """What of the scope, or `among` some of it, is near, nearest first, without the proposal itself.

        Raises IndexBroken.
        """
        with self._guarded():
            return self._loaded(scope).compare(made, threshold, exclude, among)

    def find(self, scope: str, proposal_id: str) -> Admitted | None:
        """An architecture of the scope, or None where it has none of that id. Raises IndexBroken."""
        with self._guarded():
            query = "SELECT label, source, structure FROM architectures WHERE scope = ? AND proposal_id = ?"
            row = self._database.execute(query, (scope, proposal_id)).fetchone()
            return None if row is None else Admitted(proposal_id, row[0], _text(row[1]), row[2])

    def with_structure(self, scope: str, structure: bytes) -> tuple[str, ...]:
        """The ids of the scope's architectures that have this structure, sorted. Raises IndexBroken."""
        with self._guarded():
            query = (
                "SELECT proposal_id FROM architectures WHERE scope = ? AND structure = ? ORDER BY proposal_id"
            )
            return tuple(row[0] for row in self._database.execute(query, (scope, structure)).fetchall())

    def count(self, scope: str) -> int:
        """How many architectures a scope holds. Raises IndexBroken."""
        with self._guarded():
            query = "SELECT count(*) FROM architectures WHERE scope = ?"
            return int(self._database.execute(query, (scope,)).fetchone()[0])

    def drop(self, scope: str) -> None:
        """Forget a scope. Raises IndexBroken."""
        with self._guarded():
            self._scopes.pop(scope, None)
            self._database.execute("DELETE FROM architectures WHERE scope = ?", (scope,))
            # Nothing of it is to be found in the log either.
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def check(self) -> None:
        """Read from the file. Raises IndexBroken."""
        with self._guarded():
            self._database.execute("SELECT scope FROM architectures LIMIT 1").fetchone()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, OSError, zlib.error) as error:
                self._scopes.clear()
                raise IndexBroken(
                    f"the index {self._path} cannot be used ({error}); make sure that no other filter has it "
                    "open and that the disk is not full, or move the file away and let it be rebuilt"
                ) from error

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            # Exclusive, because a second process would not see what the first one holds in memory.
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA secure_delete = ON")
            database.execute(SCHEMA)
            columns = {name for (_, name, *_) in database.execute("PRAGMA table_info(architectures)")}
            if "structure" not in columns:
                database.execute("ALTER TABLE architectures ADD COLUMN structure BLOB")
            database.execute(BY_STRUCTURE)
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(str(verdict)[:200])
        except BaseException:
            database.close()
            raise
        return database

    def _loaded(self, scope: str) -> Neighbourhood:
        neighbourhood = self._scopes.get(scope)
        if neighbourhood is None:
            neighbourhood = self._read(scope)
            self._scopes[scope] = neighbourhood
            if len(self._scopes) > SCOPES_IN_MEMORY:
                self._scopes.popitem(last=False)
        self._scopes.move_to_end(scope)
        return neighbourhood

    def _read(self, scope: str) -> Neighbourhood:
        neighbourhood = Neighbourhood()
        query = (
            "SELECT proposal_id, label, version, digest, shingles, sketch, source, structure "
            "FROM architectures WHERE scope = ? ORDER BY proposal_id"
        )
        for (
            proposal_id,
            label,
            version,
            digest,
            shingles,
            sketch,
            source,
            structure,
        ) in self._database.execute(query, (scope,)).fetchall():
            if version == FINGERPRINT_VERSION:
                made = _stored(digest, shingles, sketch)
            else:
                text, made = _made_again(source)
                self._database.execute(UPSERT, _row(scope, proposal_id, label, made, text, structure))
            neighbourhood.put(proposal_id, label, made)
        return neighbourhood


def _row(
    scope: str, proposal_id: str, label: str, made: Fingerprint, source: str, structure: bytes | None
) -> tuple[str | bytes | None, ...]:
    return (
        scope,
        proposal_id,
        label,
        FINGERPRINT_VERSION,
        made.digest,
        made.shingles.astype("<u8").tobytes(),
        made.sketch.astype("<u8").tobytes(),
        zlib.compress(source.encode()),
        structure,
    )


def _made_again(source: bytes) -> tuple[str, Fingerprint]:
    text = _text(source)
    try:
        return text, fingerprint(text)
    except NotScreenable as error:
        raise sqlite3.DatabaseError(f"a stored source cannot be read again: {error}") from error


def _text(source: bytes) -> str:
    try:
        return zlib.decompress(source).decode()
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError(f"a stored source cannot be read again: {error}") from error


def _stored(digest: bytes, shingles: bytes, sketch: bytes) -> Fingerprint:
    if len(digest) != 32 or not shingles or len(shingles) % 8 or len(sketch) != 8 * PERMUTATIONS:
        raise sqlite3.DatabaseError("a stored fingerprint has the wrong size")
    return Fingerprint(
        digest,
        np.frombuffer(shingles, dtype="<u8").astype(np.uint64),
        np.frombuffer(sketch, dtype="<u8").astype(np.uint64),
    )
