"""The process that holds one model, seen from the generator: started, spoken to, watched, ended.

It is asked for answers over its standard input and gives them on its standard output. It has an
environment of its own, without keys and without addresses. `receive` enforces what it may take: memory and
time. It must be started, and kept, by a thread that lives as long as it should: the kernel ends it with that
thread (PR_SET_PDEATHSIG), and so with the generator.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from generator_svc.held_up import HeldUp
from generator_svc.language_models.local import blocked
from generator_svc.language_models.local.child_environment import child_environment
from generator_svc.language_models.local.memory import kernel_kills, resident_memory
from generator_svc.language_models.local.protocol import (
    MAX_LINE_BYTES,
    Event,
    LineInvalid,
    Ready,
    read_event,
)
from generator_svc.language_models.model_store import StoredModel

WORKER = (sys.executable, "-m", "generator_svc.language_models.local.weights")
_LOOK_SECONDS = 0.25
_READ_BYTES = 256 * 1024
_LISTENS_WITHIN_SECONDS = 30.0
_FAREWELL_SECONDS = 5.0
_GIB = 1024**3


class TimeUp(Exception):
    """Nothing came in the given time; the process still runs."""


@dataclass(frozen=True)
class Bounds:
    """What a model's process may use."""

    memory_bytes: int
    threads: int


class WorkerProcess:
    """One model in a process of its own. Used by one thread."""

    def __init__(self, model: StoredModel, bounds: Bounds, command: Sequence[str] = WORKER) -> None:
        self.model = model
        self.ready: Ready | None = None
        """What it said when it had loaded the model, once somebody has heard it."""
        self._bounds = bounds
        self._buffer = bytearray()
        self._kernel_kills = kernel_kills()
        """Before it was last told something."""
        self._process = subprocess.Popen(
            [*command, str(model.folder), str(os.getpid())],
            env=child_environment(bounds.threads),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, line: bytes) -> None:
        """Tell it something. Raises HeldUp if it does not listen; that it is gone shows on receiving."""
        self._kernel_kills = kernel_kills()
        assert self._process.stdin is not None
        pipe, unsent = self._process.stdin.fileno(), memoryview(line)
        give_up = time.monotonic() + _LISTENS_WITHIN_SECONDS
        with contextlib.suppress(BrokenPipeError):
            while unsent:
                _, writable, _ = select.select([], [pipe], [], max(0.0, give_up - time.monotonic()))
                if not writable:
                    raise self._failed("its process does not listen")
                unsent = unsent[os.write(pipe, unsent) :]

    def receive(self, give_up: float) -> Event:
        """The next thing it says, until the moment `give_up` (monotonic). Raises TimeUp, HeldUp."""
        while True:
            line = self._next_line()
            if line is not None:
                try:
                    return read_event(line)
                except LineInvalid as error:
                    raise self._failed(f"its process said what is not understood: {error}") from error
            if len(self._buffer) > MAX_LINE_BYTES:
                raise self._failed("its process sent a line without end")
            if resident_memory(self.pid) > self._bounds.memory_bytes:
                raise self._too_large()
            if time.monotonic() >= give_up:
                raise TimeUp
            self._wait_for_more(give_up)

    def kill(self) -> None:
        """End it, and all that it started. Its memory is free when this returns."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _next_line(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _wait_for_more(self, give_up: float) -> None:
        assert self._process.stdout is not None
        patience = min(_LOOK_SECONDS, max(0.0, give_up - time.monotonic()))
        ready, _, _ = select.select([self._process.stdout], [], [], patience)
        if ready:
            read = os.read(self._process.stdout.fileno(), _READ_BYTES)
            if not read:
                raise self._died()
            self._buffer += read

    def _died(self) -> HeldUp:
        # It has closed its end. Let it tell its last words, and how it ended.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_FAREWELL_SECONDS)
        self.kill()
        code = self._process.returncode
        if code == -signal.SIGKILL and kernel_kills() > self._kernel_kills:
            return blocked.killed_for_memory(self._name)
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        hint = ", as the kernel does where memory is short" if code == -signal.SIGKILL else ""
        return self._failed(f"its process {how}{hint}")

    def _too_large(self) -> HeldUp:
        self.kill()
        allowed = self._bounds.memory_bytes / _GIB
        return blocked.memory_ran_out(self._name, f"its process may have {allowed:.1f} GiB and took more.")

    def _failed(self, why: str) -> HeldUp:
        self.kill()
        return blocked.model_failed(self._name, f"{why}.")

    @property
    def _name(self) -> str:
        return self.model.manifest.name
