"""One supervised process: started with its own environment, ended with all that it started.

A child dies with its supervisor whatever ends that one, because the kernel is told so before the
child's program begins. Its output goes to a log of bounded size.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from contracts.log_lines import readable
from deltanas.services import Service

MAX_LOG_BYTES = 4 * 1024 * 1024
_LAST_BYTES = 128 * 1024
"""Of a log's end that is read for its last words: a record with its trace is there as a whole."""
"""A log is moved aside (one older copy is kept) when it grows beyond this."""

_PR_SET_PDEATHSIG = 1
_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 15.0
_DELAYS_GROW = 10
"""So often at the most: a service may die thousands of times before somebody mends it."""
_STEADY_SECONDS = 30.0
"""A child that ran this long has recovered: its next restart is quick again."""

_libc = ctypes.CDLL(None, use_errno=True)


class Child:
    """A service's process and its restarts. Starts on `start`, then `tend` keeps it running."""

    def __init__(self, service: Service, log_folder: Path) -> None:
        self.service = service
        self.log_path = log_folder / f"{service.name}.log"
        self.quick_deaths = 0
        """Deaths in a row that each came soon after a start."""
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_after = 0.0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process now."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.service.argv,
                env=dict(self.service.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                umask=self.service.umask,
                start_new_session=True,
                preexec_fn=_dies_with(os.getpid()),  # safe: the supervisor has one thread
            )
        self._started_at = time.monotonic()

    def tend(self) -> str | None:
        """Restart the process when it is due. Gives a sentence when it has just died, or does not start."""
        self._bound_log()
        if self._process is None:
            return self._start_again() if time.monotonic() >= self._start_after else None
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return self._bury(self._process)

    def terminate(self) -> None:
        """Ask the process to end."""
        if self._process:
            self._process.terminate()

    def finish(self, seconds: float) -> None:
        """Wait up to `seconds` for the end, then make sure of it, its whole process group included."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=max(seconds, 0.01))
        except subprocess.TimeoutExpired:
            _kill_group(self._process.pid)
            self._process.wait()
        self._process = None

    def last_words(self, lines: int = 8) -> str:
        """The end of the log, as text."""
        with self.log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_BYTES))
            last = log.read().decode("utf-8", "replace").splitlines()[-lines:]
        shown = [text for line in last for text in readable(line).splitlines()]
        return "\n".join(shown[-lines:])

    def _start_again(self) -> str | None:
        try:
            self.start()
        except OSError as error:  # the machine has no process, memory or descriptor left just now
            return self._put_off(f"could not be started ({error.strerror or error})", lived=0.0)
        return None

    def _bury(self, process: subprocess.Popen[bytes]) -> str:
        # Not reaped yet, so the group's number cannot belong to anybody else.
        _kill_group(process.pid)
        code = process.wait()
        self._process = None
        how = f"was ended by {_signal_name(-code)}" if code < 0 else f"exited with code {code}"
        return self._put_off(how, lived=time.monotonic() - self._started_at)

    def _put_off(self, how: str, lived: float) -> str:
        """Set the next start; what has happened, as a sentence."""
        self.quick_deaths = 1 if lived > _STEADY_SECONDS else self.quick_deaths + 1
        grown = 3 ** min(self.quick_deaths - 1, _DELAYS_GROW)
        delay = min(_FIRST_DELAY_SECONDS * grown, _LONGEST_DELAY_SECONDS)
        self._start_after = time.monotonic() + delay
        return f"{self.service.name} {how}; starting it again in {delay:.1f} s"

    def _bound_log(self) -> None:
        # The child appends to the file it was given, so the content moves and the file stays.
        if not (self.log_path.exists() and self.log_path.stat().st_size > MAX_LOG_BYTES):
            return
        older = self.log_path.with_suffix(".log.1")
        try:
            shutil.copyfile(self.log_path, older)
        except OSError:  # the disk is full: the newest lines are worth more than a copy of the older ones
            older.unlink(missing_ok=True)
        os.truncate(self.log_path, 0)


def _dies_with(supervisor: int) -> Callable[[], None]:
    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(1)

    return prepare


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals, which have none
        return f"signal {number}"


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
