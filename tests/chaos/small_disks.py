"""A file system with little room, which a test fills to the last byte (a tmpfs; root alone may mount it)."""

import errno
import subprocess
from pathlib import Path

CHUNK_BYTES = 65_536


class SmallDisk:
    """Mounted on a folder that it makes."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        folder.mkdir()
        self.folder = folder
        self._ballast = folder / "ballast"
        size = f"size={megabytes}m,mode=1777"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True, timeout=60)

    def fill(self) -> None:
        """Take all that is left."""
        for size in (CHUNK_BYTES, 1):
            with self._ballast.open("ab", buffering=0) as file:
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError as error:
                    assert error.errno == errno.ENOSPC, error  # noqa: PT017  the disk has to be full

    def make_room(self) -> None:
        """Give it back."""
        self._ballast.unlink()

    def remove(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True, timeout=60)
