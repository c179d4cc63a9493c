"""The folders through which sandboxes get their data: one for each, on the file system of the data sets.

A runner's folders lie in one of its own, locked while it lives; what dead runners left is swept away.
"""

import logging
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from sandbox_runner.sandboxes.cgroups.files import lock_folder

logger = logging.getLogger(__name__)

CLOSED_MODE, OPEN_MODE = 0o700, 0o755
"""Nobody else on the host passes the closed one; a sandbox's user sees the open one where it is mounted."""


class DataFolders:
    """Makes and removes the folders. Raises OSError when the disk refuses."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock: int | None = None
        self._own = root / secrets.token_hex(6)
        self._claim()
        try:
            _sweep(root)
        except OSError:
            self.close()
            raise

    def make(self, name: str) -> Path:
        """A new, empty folder. Raises FileExistsError when a living sandbox has that name."""
        folder = self._own / name
        try:
            folder.mkdir()
        except FileNotFoundError:
            self._claim()  # Somebody has tidied up the state folder.
            folder.mkdir()
        folder.chmod(OPEN_MODE)
        return folder

    def remove(self, folder: Path) -> None:
        """Remove a folder and the links in it; the files that they name stay where they came from."""
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            logger.warning("%s could not be removed", folder)

    def close(self) -> None:
        """Remove everything, after the sandboxes are closed."""
        shutil.rmtree(self._own, ignore_errors=True)
        self._unlock()

    def _claim(self) -> None:
        self._unlock()
        self._root.mkdir(mode=CLOSED_MODE, parents=True, exist_ok=True)
        self._own.mkdir(mode=CLOSED_MODE)
        self._lock = lock_folder(self._own)

    def _unlock(self) -> None:
        if self._lock is not None:
            with suppress(OSError):
                os.close(self._lock)
            self._lock = None


def _sweep(root: Path) -> None:
    for left in root.iterdir():
        lock = lock_folder(left)
        if lock is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
