"""The trainer, a child process: started, listened to, and ended when it stalls or takes too much memory.

The generator never loads a model's weights: their memory, their crashes and their libraries are the child's.
The kernel ends it with the thread that started it, and so with the generator.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError

from contracts.fine_tuning import FineTuneFailure, FineTuneResult
from generator_svc.fine_tuning.job_folder import JobFolder
from generator_svc.fine_tuning.limits import FineTuneLimits
from generator_svc.language_models.local.child_environment import child_environment
from generator_svc.language_models.local.memory import resident_memory

TRAINER = (sys.executable, "-m", "generator_svc.fine_tuning.trainer")
LOOK_SECONDS = 0.1
MAX_LINE_BYTES = 64 * 1024
MAX_WORDS_BYTES = 400
MAX_LOG_BYTES = 4 * 1024 * 1024
NEARLY = 0.9
"""Who is killed by somebody else with so much of its memory in use is taken for out of memory."""

_OBJECT = TypeAdapter(dict[str, Any])
_FAILURE = TypeAdapter(FineTuneFailure)
_RESULT = TypeAdapter(FineTuneResult)


@dataclass(frozen=True)
class TrainerEnd:
    """How a trainer ended: exactly one field is set."""

    result: FineTuneResult | None = None
    failure: FineTuneFailure | None = None
    stopped: bool = False
    """We were asked to end it."""
    out_of_memory: str | None = None
    """A sentence. It may do with less next time."""
    lost: str | None = None
    """It died without a word; a sentence."""


class TrainerProcess:
    """One run of the trainer."""

    def __init__(
        self, folder: JobFolder, limits: FineTuneLimits, save_memory: bool, command: Sequence[str] = TRAINER
    ) -> None:
        """Start it. Raises OSError."""
        self._memory_bytes = limits.trainer_memory_bytes()
        self._stall_seconds = limits.stall_seconds
        self._log = folder.log
        self._most_used = 0
        order = {
            "home": str(folder.path.parent.parent),
            "id": folder.id,
            "save_memory": save_memory,
            "starter": os.getpid(),
        }
        with folder.log.open("ab") as log:
            self._process = subprocess.Popen(
                list(command),
                env=child_environment(limits.trainer_threads()),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        with suppress(BrokenPipeError):
            _pipe(self._process.stdin).write(json.dumps(order).encode() + b"\n")
            _pipe(self._process.stdin).flush()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def follow(self, should_stop: Callable[[], bool], heard: Callable[[], None]) -> TrainerEnd:
        """Stay with it until it has ended. `heard` is called whenever it has said something."""
        try:
            return self._follow(should_stop, heard)
        finally:
            self._end()

    def _follow(self, should_stop: Callable[[], bool], heard: Callable[[], None]) -> TrainerEnd:
        output = _pipe(self._process.stdout)
        os.set_blocking(output.fileno(), False)
        pending, last_word = b"", time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while True:
                if selector.select(LOOK_SECONDS):
                    chunk = os.read(output.fileno(), MAX_LINE_BYTES)
                    if not chunk:
                        return self._silent_end()
                    last_word = time.monotonic()
                    *lines, pending = (pending + chunk).split(b"\n")
                    for line in lines:
                        end = _end_of(line)
                        if end is not None:
                            return end
                    heard()
                if should_stop():
                    return TrainerEnd(stopped=True)
                end = self._transgression(time.monotonic() - last_word, len(pending))
                if end is not None:
                    return end

    def _transgression(self, silent_seconds: float, pending_bytes: int) -> TrainerEnd | None:
        used = resident_memory(self.pid)
        self._most_used = max(used, self._most_used)
        _bound_log(self._log)
        if used > self._memory_bytes:
            return TrainerEnd(
                out_of_memory=f"The trainer used {used} bytes of memory; it may use {self._memory_bytes}."
            )
        if silent_seconds > self._stall_seconds:
            return TrainerEnd(
                failure=FineTuneFailure(
                    "stalled",
                    f"The trainer said nothing for {self._stall_seconds:g} s.",
                    "See trainer.log of the job; where the machine is that slow, raise "
                    "DELTANAS_FINE_TUNE_STALL_SECONDS. Sent again, the job goes on from its checkpoint.",
                    retryable=True,
                )
            )
        if pending_bytes > MAX_LINE_BYTES:
            return TrainerEnd(lost="the trainer wrote a line without end")
        return None

    def _silent_end(self) -> TrainerEnd:
        code = self._process.wait()
        if code == -signal.SIGKILL and self._most_used > NEARLY * self._memory_bytes:
            return TrainerEnd(
                out_of_memory=f"The trainer was killed when it used {self._most_used} bytes of memory."
            )
        how = f"was ended by signal {-code}" if code < 0 else f"exited with code {code}"
        return TrainerEnd(lost=f"the trainer {how}{self._last_words()}")

    def _last_words(self) -> str:
        """The end of the log's last line, such as the exception's name."""
        with suppress(OSError), self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - MAX_WORDS_BYTES))
            lines = log.read().decode("utf-8", "replace").split("\n")
            words = next((line for line in reversed(lines) if line.strip()), "")
            return "".join(letter for letter in f": {words}" if letter.isprintable()) if words else ""
        return ""

    def _end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                _pipe(pipe).close()


def _end_of(line: bytes) -> TrainerEnd | None:
    """What a line says about the end, if it is the last one."""
    try:
        message: dict[str, Any] = _OBJECT.validate_json(line)
        if "result" in message:
            return TrainerEnd(result=_RESULT.validate_python(message["result"]))
        if "failure" in message:
            failure = _FAILURE.validate_python(message["failure"])
            if failure.reason == "out_of_memory":
                return TrainerEnd(out_of_memory=failure.message)
            return TrainerEnd(failure=failure)
    except (ValueError, TypeError, ValidationError):
        return TrainerEnd(lost="the trainer wrote a line that is no JSON object of its own")
    return None


def _bound_log(path: Path) -> None:
    with suppress(OSError):
        if path.stat().st_size > MAX_LOG_BYTES:
            os.truncate(path, 0)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the trainer was started without pipes")
    return pipe
