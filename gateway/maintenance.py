"""`python -m gateway.maintenance save FILE` and `… restore FILE`: work on a state folder beside its gateway.

Prints one JSON document: what was done, or a problem with its remedy, and then exits with 2 where the caller
can mend it and with 3 where the machine failed.
"""

import argparse
import json
import sqlite3
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from contracts.service_logs import set_up_logs
from gateway.config import Settings
from gateway.infra.archive import ArchiveRefused
from gateway.infra.backup import HomeInUse, NothingToSave, Saved, restore, save
from gateway.infra.home_lock import HomeLock, HomeLocked

BAD_USAGE = 2
FAILED = 3


class DatabaseElsewhere(Exception):
    """The database is a server's, which has its own way of being saved."""


_REMEDIES: Mapping[type[Exception], str] = {
    DatabaseElsewhere: "Save it with pg_dump, then `deltanas backup FILE --files-only` for the rest.",
    NothingToSave: "Set DELTANAS_HOME to the state folder that is to be saved.",
    FileExistsError: "Choose another name, or move the older backup away.",
    HomeInUse: "Set DELTANAS_HOME to an empty folder.",
    HomeLocked: "End `deltanas up` of that folder first.",
    ArchiveRefused: "Take another backup; nothing was changed.",
}


def main() -> None:
    """Do it and exit."""
    set_up_logs("maintenance")
    arguments = _parser().parse_args()
    settings = Settings()
    try:
        done: Saved = arguments.work(settings, arguments)
    except tuple(_REMEDIES) as error:
        _explain(error, _REMEDIES[type(error)])
        sys.exit(BAD_USAGE)
    except (OSError, sqlite3.Error) as error:
        _explain(error, "Look whether the disk is full or read-only; nothing half made was left.")
        sys.exit(FAILED)
    print(json.dumps(asdict(done)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway.maintenance")
    verbs = parser.add_subparsers(required=True)
    for name, work in (("save", _save), ("restore", _restore)):
        verb = verbs.add_parser(name)
        verb.add_argument("file", type=Path)
        verb.set_defaults(work=work)
        if work is _save:
            verb.add_argument("--files-only", action="store_true")
    return parser


def _save(settings: Settings, arguments: argparse.Namespace) -> Saved:
    if settings.database_url is not None and not arguments.files_only:
        raise DatabaseElsewhere("DELTANAS_DATABASE_URL names a database outside of the state folder")
    return save(settings.home.absolute(), arguments.file, with_database=not arguments.files_only)


def _restore(settings: Settings, arguments: argparse.Namespace) -> Saved:
    lock = HomeLock(settings.home)
    lock.acquire()
    try:
        return restore(arguments.file, settings.home.absolute())
    finally:
        lock.release()


def _explain(error: Exception, remedy: str) -> None:
    print(json.dumps({"code": type(error).__name__, "detail": str(error)[:2000], "remedy": remedy}))


if __name__ == "__main__":
    main()
