"""Saves a state folder while its gateway runs, and makes a new one of what was saved.

First the database, by SQLite's online backup in one read transaction, which keeps no writer waiting; then
the files that rows name. Those are on disk before the row that names them, are never changed, and go after
it: so all that the saved rows name is saved, but for what somebody removed meanwhile. The copy is vacuumed,
so what had been deleted does not travel with it. The index of novelty is left out: it is made again from
the database. So are models and standard data sets, which are fetched again, and jobs' working folders,
which the gateway sends again.
"""

import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contracts.names import STANDARD_DATASETS
from gateway.infra.archive import ArchiveRefused, FileChanged, Manifest, read_archive, write_archive

DATABASE = "gateway.sqlite3"
_DATABASE_FILES = (DATABASE, *(f"{DATABASE}-{log}" for log in ("wal", "shm", "journal")))
"""SQLite plays the log of another database into one that it finds beside it."""
FOLDERS = ("adapters", "baseline-imports", "datasets")
"""Of a state folder: what rows name and nobody can fetch again."""
_DERIVED = "views"
"""Splits that were drawn of a data set; they are drawn again."""


log = logging.getLogger(__name__)


class NothingToSave(Exception):
    """The state folder has no database."""


class HomeInUse(Exception):
    """The folder to restore into holds something already."""


@dataclass(frozen=True)
class Saved:
    """What a backup holds."""

    created_at: str
    schema: str
    """Revision of the database's schema; empty where the database was not saved."""
    files: int
    size_bytes: int


def save(home: Path, target: Path, *, with_database: bool = True) -> Saved:
    """Write a backup. Raises NothingToSave, FileExistsError, OSError, sqlite3.Error."""
    if target.exists():
        raise FileExistsError(f"{target} is there already; choose another name")
    with tempfile.TemporaryDirectory(prefix=".deltanas-backup-", dir=target.absolute().parent) as scratch:
        files = {}
        schema = ""
        if with_database:
            copy = Path(scratch) / DATABASE
            schema = _copy_database(home / DATABASE, copy)
            files[DATABASE] = copy
        files |= dict(_kept_files(home))
        created_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        manifest = _write_what_stays(target, files, {"created_at": created_at, "schema": schema})
    return _saved(manifest)


def restore(source: Path, home: Path) -> Saved:
    """Fill an empty state folder. Nothing is there until everything was checked.

    Raises HomeInUse, ArchiveRefused, OSError.
    """
    taken = [name for name in (*_DATABASE_FILES, *FOLDERS) if (home / name).exists()]
    if taken:
        raise HomeInUse(f"{home} holds {taken[0]} already; restore into an empty folder")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = Path(tempfile.mkdtemp(prefix=".restoring-", dir=home))
    try:
        manifest = read_archive(source, scratch)
        if (scratch / DATABASE).exists():
            _check_database(scratch / DATABASE)
        # The database last: without it nothing else is looked at.
        for name in (*FOLDERS, DATABASE):
            if (scratch / name).exists():
                (scratch / name).rename(home / name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _saved(manifest)


def _write_what_stays(target: Path, files: dict[str, Path], about: dict[str, str]) -> Manifest:
    """Write the archive, without what goes meanwhile: that belongs to no row, or to one somebody removed."""
    while True:
        try:
            return write_archive(target, files, about)
        except FileChanged as changed:
            log.info("%s: it is left out", changed)
            files = {name: path for name, path in files.items() if name != changed.name and path.exists()}


def _copy_database(source: Path, copy: Path) -> str:
    if not source.is_file():
        raise NothingToSave(f"there is no {source}; is DELTANAS_HOME set to the right folder?")
    copy.touch(mode=0o600)
    with (
        closing(sqlite3.connect(f"file:{source}?mode=rw", uri=True, timeout=60)) as running,
        closing(sqlite3.connect(copy, isolation_level=None)) as made,
    ):
        running.backup(made)  # all pages in one go: one moment, however much is written meanwhile
        made.execute("PRAGMA journal_mode=DELETE")
        made.execute("VACUUM")
        return _check(made)


def _check_database(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as opened:
            _check(opened)
    except sqlite3.Error as error:
        raise ArchiveRefused(f"its database cannot be opened: {error}") from error


def _check(database: sqlite3.Connection) -> str:
    """The revision of the schema, once the file was found whole. Raises sqlite3.DatabaseError."""
    (verdict,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(str(verdict)[:200])
    (revision,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(revision)


def _kept_files(home: Path) -> Iterator[tuple[str, Path]]:
    """Names and paths of all files to save; nothing that is a link, and nothing half made."""
    for folder in FOLDERS:
        for parent, folders, files in os.walk(home / folder):
            here = Path(parent)
            folders[:] = [name for name in folders if _is_kept(folder, here, home, name)]
            for name in files:
                path = here / name
                if path.is_file() and not path.is_symlink() and not name.endswith(".part"):
                    yield path.relative_to(home).as_posix(), path


def _is_kept(folder: str, here: Path, home: Path, name: str) -> bool:
    if (here / name).is_symlink() or name.startswith("."):
        return False
    if folder != "datasets":
        return True
    return name not in STANDARD_DATASETS if here == home / folder else name != _DERIVED


def _saved(manifest: Manifest) -> Saved:
    return Saved(
        created_at=str(manifest.about.get("created_at", ""))[:40],
        schema=str(manifest.about.get("schema", ""))[:40],
        files=len(manifest.files),
        size_bytes=sum(file.size_bytes for file in manifest.files),
    )
