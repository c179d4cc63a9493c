"""One lock on the state folder: never two gateways, hence never two conductors, on one database."""

import fcntl
import os
from pathlib import Path


class HomeLocked(Exception):
    """Another gateway runs on this state folder."""


class HomeLock:
    """Held from `acquire` until `release` or the end of the process, however it ends."""

    def __init__(self, home: Path) -> None:
        self._path = home / "gateway.lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Create the folder, private to its owner, and take the lock. Raises HomeLocked at once."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise HomeLocked(f"another gateway already runs on {self._path.parent}") from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the next gateway in. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
