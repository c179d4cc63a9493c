"""DELTANAS_HOME: where state lives, and the one lock that says which server owns it.

`server.lock` is held exclusively by the running supervisor and holds its address, so that every
command finds it; the kernel frees it however the supervisor ends. `users.lock` is held in common by
the commands that use a server, so that one started in the background knows when nobody needs it.
What the services keep in the folder is theirs and not described here.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Self

_PATIENCE_SECONDS = 1.0
"""A reader holds the lock for an instant to see whether it is free; an owner-to-be waits that out."""
_RECORD_BYTES = 512


@dataclass(frozen=True)
class ServerRecord:
    """The server that owns a home. `address` is empty for the instant before it is known."""

    address: str
    pid: int
    started: bool = False
    """Whether all its services have answered once."""


class ServerRunning(Exception):
    """Another server owns this home already."""

    def __init__(self, home: "Home", record: ServerRecord) -> None:
        where = record.address or "an address not yet known"
        super().__init__(f"a server for {home.path} already runs at {where} (process {record.pid})")
        self.record = record


class HomeUnusable(Exception):
    """The state folder cannot be created or written."""


@dataclass(frozen=True)
class Home:
    """One state folder."""

    path: Path

    @classmethod
    def locate(cls) -> Self:
        """DELTANAS_HOME, or the platform's user data folder; created if missing. Raises HomeUnusable."""
        chosen = os.environ.get("DELTANAS_HOME")
        data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
        home = cls(Path(chosen).expanduser().absolute() if chosen else Path(data) / "deltanas")
        try:
            home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            home.logs.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise HomeUnusable(
                f"cannot write {home.path}: {error.strerror}; set DELTANAS_HOME to another folder"
            ) from error
        return home

    @property
    def logs(self) -> Path:
        """The folder of the services' logs."""
        return self.path / "logs"

    @property
    def _lock_path(self) -> Path:
        return self.path / "server.lock"

    def running_server(self) -> ServerRecord | None:
        """Who holds the lock now; None when nobody does."""
        try:
            with self._lock_path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return _parse_record(file.read(4096))
        except FileNotFoundError:
            pass
        return None

    @contextmanager
    def own(self, record: ServerRecord) -> Iterator[Callable[[ServerRecord], None]]:
        """Hold the lock, with `record` in it; gives what replaces the record. Raises ServerRunning."""
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _lock_within(descriptor, fcntl.LOCK_EX, _PATIENCE_SECONDS):
                raise ServerRunning(self, _parse_record(os.pread(descriptor, 4096, 0)))
            _write_record(descriptor, record)
            yield partial(_write_record, descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def use(self) -> Iterator[None]:
        """Keep a background server alive. Waits while one is just ending."""
        with self._users_file() as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield

    @contextmanager
    def no_users(self) -> Iterator[bool]:
        """True when nobody uses the server; then nobody can begin to until the block ends."""
        with self._users_file() as descriptor:
            yield _lock_within(descriptor, fcntl.LOCK_EX, 0)

    @contextmanager
    def _users_file(self) -> Iterator[int]:
        descriptor = os.open(self.path / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _lock_within(descriptor: int, kind: int, seconds: float) -> bool:
    give_up = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                return False
            time.sleep(0.02)
        else:
            return True


def _write_record(descriptor: int, record: ServerRecord) -> None:
    # One write of fixed length: a reader sees the old record or the new one.
    os.pwrite(descriptor, json.dumps(asdict(record)).encode().ljust(_RECORD_BYTES), 0)


def _parse_record(text: bytes) -> ServerRecord:
    try:
        document = json.loads(text)
        return ServerRecord(str(document["address"]), int(document["pid"]), document["started"] is True)
    except (ValueError, KeyError, TypeError):
        return ServerRecord("", 0)
