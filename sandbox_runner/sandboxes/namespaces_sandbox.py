"""One running sandbox of the tier `namespaces`, seen from the host: its pipes, its accounts, its end."""

import logging
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from sandbox_runner import python_environment
from sandbox_runner.sandboxes import bubblewrap
from sandbox_runner.sandboxes.cgroups.files import Group
from sandbox_runner.sandboxes.port import Exit, SandboxUnavailable, Usage

logger = logging.getLogger(__name__)

MAX_STATUS_BYTES = 4096
REAP_SECONDS = 2.0
BURIAL_PAUSE_SECONDS = 1.0


class Process(Protocol):
    """What ends a sandbox first: a child of this process, or what stands for it."""

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        ...

    def kill(self) -> None:
        """Send it SIGKILL."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Reap it. Raises subprocess.TimeoutExpired."""
        ...


class SandboxPipes:
    """Both ends of the four pipes of a sandbox, and the small files that are handed to it as descriptors."""

    def __init__(self) -> None:
        self._guest_ends: list[int] = []
        self._host_ends: list[int] = []
        try:
            self.guest_read, self.to_guest = self._open_pipe(guest_reads=True)
            self.guest_write, self.from_guest = self._open_pipe()
            self.guest_output, self.output = self._open_pipe()
            self.guest_status, self.status = self._open_pipe()
        except OSError:
            self.close()
            raise

    def add_file(self, content: bytes) -> int:
        """A descriptor, positioned at the start, of a memory file with `content`."""
        descriptor = os.memfd_create("sandbox", os.MFD_CLOEXEC)
        self._guest_ends.append(descriptor)
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def inherited(self) -> tuple[int, ...]:
        """The descriptors that the sandbox's processes start with."""
        return tuple(self._guest_ends)

    def close_guest_ends(self) -> None:
        """Leave the guest's ends to the guest, so that its end is an end of file here."""
        while self._guest_ends:
            os.close(self._guest_ends.pop())

    def close(self) -> None:
        """Close everything. Idempotent."""
        self.close_guest_ends()
        while self._host_ends:
            os.close(self._host_ends.pop())

    def _open_pipe(self, guest_reads: bool = False) -> tuple[int, int]:
        read, write = os.pipe2(os.O_CLOEXEC)
        guest, host = (read, write) if guest_reads else (write, read)
        self._guest_ends.append(guest)
        self._host_ends.append(host)
        os.set_blocking(host, False)
        return guest, host


class NamespacesSandbox:
    """A running sandbox. Every method may be called from any thread."""

    def __init__(
        self,
        process: "Process",
        pipes: SandboxPipes,
        group: Group,
        data: Path,
        on_close: Callable[[], None],
    ) -> None:
        self.to_guest, self.from_guest, self.output = pipes.to_guest, pipes.from_guest, pipes.output
        self.data = data
        self.environment_digest = python_environment.environment_digest()
        self._process = process
        self._pipes = pipes
        self._group = group
        self._on_close = on_close
        self._lock = threading.RLock()
        self._status = b""
        self._exit: Exit | None = None
        self._killed = False
        self._closed = False

    def wait_until_started(self, seconds: float) -> None:
        """Block until the guest's program is loaded. Raises SandboxUnavailable with what went wrong."""
        deadline = time.monotonic() + seconds
        status = select.poll()  # select(2) knows no descriptor above 1023
        status.register(self._pipes.status, select.POLLIN)
        while b"\n" not in self._status:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise SandboxUnavailable(f"the sandbox did not start within {seconds:.0f} s")
            if status.poll(remaining * 1000) and not self._read_status():
                raise SandboxUnavailable(f"the sandbox did not start: {self._said_before_the_end()}")
        first, _, self._status = self._status.partition(b"\n")
        if first != b"started":
            said = bubblewrap.explain(first.decode(errors="replace"))
            raise SandboxUnavailable(f"the sandbox did not start: {said}")

    def usage(self) -> Usage:
        """Read the accounting; works after the end, too, until `close`."""
        return self._group.usage()

    def exit(self) -> Exit | None:
        """How the first process ended, or None while it runs. Never blocks. Raises SandboxUnavailable."""
        with self._lock:
            if self._exit is None and not self._closed:
                ended = not self._read_status()
                word, _, number = self._status.decode(errors="replace").strip().partition(" ")
                if word == "exited":
                    self._exit = Exit(int(number), None)
                elif word == "signalled":
                    self._exit = Exit(None, int(number))
                elif ended:
                    self._exit = self._end_without_a_word()
            return self._exit

    def kill(self) -> None:
        """End every process in the sandbox within a second, whatever they do. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._killed = True
            if self._process.poll() is None:
                self._process.kill()
            if not self._group.kill():
                logger.warning("the kernel is still taking down the killed processes of a sandbox")

    def close(self) -> None:
        """Kill, then free every descriptor, cgroup, mount and file of the sandbox. Idempotent."""
        with self._lock:
            if self._closed:
                return
            with suppress(SandboxUnavailable, OSError):
                self.exit()
            self._closed = True
            # First: where the host has no descriptor left, what follows needs these.
            self._pipes.close()
            if self._process.poll() is None:
                self._process.kill()
            if self._is_taken_down():
                self._bury()
                return
        try:
            threading.Thread(target=self._wait_and_bury, name="sandbox-burial", daemon=True).start()
        except RuntimeError:  # no thread to be had; without this nobody would ever end it
            self._wait_and_bury()

    def _is_taken_down(self) -> bool:
        """End what is left in the group, and the group. False when that has to be tried again."""
        try:
            return self._group.kill() and self._group.remove()
        except OSError as error:
            logger.warning("a sandbox cannot be taken down yet: %s", error)
            return False

    def _wait_and_bury(self) -> None:
        """Wait for the kernel to take down what was killed: memory shared by many can cost it seconds."""
        while not self._is_taken_down():
            time.sleep(BURIAL_PAUSE_SECONDS)
        self._bury()

    def _bury(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(REAP_SECONDS)
        self._on_close()

    def _end_without_a_word(self) -> Exit:
        """Process 1 itself was killed, by `kill` or by the memory limit, and everything with it.

        A guest cannot do that: whoever else did belongs to the host. Raises SandboxUnavailable then.
        """
        if not self._killed and not self.usage().memory_limit_hits:
            raise SandboxUnavailable("the sandbox was ended from outside")
        return Exit(None, signal.SIGKILL)

    def _read_status(self) -> bool:
        """Take what process 1 has said. False when it will say no more."""
        try:
            text = os.read(self._pipes.status, MAX_STATUS_BYTES)
        except BlockingIOError:
            return True
        self._status += text
        return bool(text)

    def _said_before_the_end(self) -> str:
        """The error text of the shell or of bubblewrap."""
        with suppress(BlockingIOError):
            text = os.read(self.output, MAX_STATUS_BYTES).decode(errors="replace").strip()
            if text:
                return bubblewrap.explain(text)
        return "it ended without a word"
