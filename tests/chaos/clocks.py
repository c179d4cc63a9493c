"""The clock of a host, as some of its processes see it: libfaketime stands between them and the kernel."""

import os
from pathlib import Path

PACKAGE = "libfaketime"


def library() -> Path | None:
    """Where the library is installed, or None."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


class Clock:
    """Runs true until it is set. Only the time of day jumps; what measures spans goes on, as on any host."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, seconds: int) -> None:
        """Let it be so far ahead of the true time; below 0: behind it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}s\n")
        os.chmod(new, 0o644)
        new.replace(self._file)

    @property
    def within(self) -> tuple[str, ...]:
        """The command that runs another one by this clock."""
        settings = {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": self._file,
            "FAKETIME_NO_CACHE": 1,
            "FAKETIME_DONT_FAKE_MONOTONIC": 1,
        }
        return ("env", *(f"{name}={value}" for name, value in settings.items()))
