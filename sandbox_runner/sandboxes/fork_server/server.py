"""The fork server seen from the runner: starts it, asks it for sandboxes, knows whether it lives.

It is started as a sandbox is, by bubblewrap and with the same view, but keeps the privileges with which
`first_process` begins after a cold start: it builds namespaces and changes the user. Of an attempt it is
given nothing but a socket, which it passes on unread to the child that it forks.
"""

import json
import os
import secrets
import select
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from contracts.measurements import MIB
from sandbox_runner import python_environment
from sandbox_runner.guest_packages import package_folders
from sandbox_runner.sandboxes import bubblewrap
from sandbox_runner.sandboxes.cgroups.files import GroupLimits, Hierarchy
from sandbox_runner.sandboxes.namespaces import ENTER_CGROUPS
from sandbox_runner.sandboxes.platform_code import SOURCE_INSIDE
from sandbox_runner.sandboxes.port import SandboxUnavailable

IMPORT_SECONDS = 120.0
"""Given up after this; some three seconds on an idle machine."""
MEMORY_BYTES = 2048 * MIB
PIDS = 512
"""A forked child is in its group until it has entered its own."""
DISK_BYTES = 16 * MIB
REAP_SECONDS = 2.0
HOME_INSIDE = "/tmp/zygote"  # noqa: S108  inside; a forked sandbox mounts a /tmp of its own
MODULES = ("sandbox_runner.guest.__main__",)
"""All that a guest imports before it waits for its job, and no more: what it imports later costs the same."""
READY = b"ready"
"""What it says once it serves."""
_MAX_ERROR_BYTES = 4096


Process = subprocess.Popen[bytes]


class ForkServer:
    """One fork server, from its start to its end. Every method may be called from any thread."""

    def __init__(self, hierarchy: Hierarchy, nothing: Path, submit: Callable[..., "Future[Process]"]) -> None:
        """Begin to import; returns at once. `nothing` is an empty folder, in the place of a sandbox's data.

        What `submit` calls starts the process, which dies with the thread that starts it. Raises OSError,
        SandboxUnavailable.
        """
        limits = GroupLimits(MEMORY_BYTES, PIDS, os.cpu_count() or 1)
        with ExitStack() as undo:
            self._group = hierarchy.create(f"fork-server-{secrets.token_hex(4)}", limits)
            undo.callback(self._group.remove)
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(self._control.close)
            # A pipe, as a sandbox's: the streams that Python opened on it are those of every forked guest.
            self._output, output = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            undo.callback(os.close, self._output)
            with theirs, open(output, "wb"):
                os.set_blocking(output, True)
                started = submit(_start, nothing, self._group.entrances, theirs.fileno(), output)
                self._process = started.result()
            undo.pop_all()
        self._is_ready = False
        self._memory_bytes = 0

    def wait_until_ready(self, seconds: float = IMPORT_SECONDS) -> None:
        """Block until it serves. Raises SandboxUnavailable with what it said when it does not."""
        deadline = time.monotonic() + seconds
        while not self._is_ready:
            if not self._look(max(0.0, deadline - time.monotonic())):
                raise SandboxUnavailable(f"the fork server did not start: {self._last_words()}")
            if time.monotonic() >= deadline:
                raise SandboxUnavailable(f"the fork server did not start within {seconds:.0f} s")

    @property
    def memory_bytes(self) -> int:
        """Anonymous and shared memory that it held when it began to serve: what its forks share with it."""
        return self._memory_bytes

    def is_alive(self) -> bool:
        """Whether it has not ended. What it forked dies with it, and only after this turns false.

        The kernel closes a process's descriptors before it ends the process namespace below it.
        """
        return self._look(0.0)

    def fork(
        self, setup: Mapping[str, Any], descriptors: Mapping[str, int], entrances: Sequence[Path]
    ) -> None:
        """Have a sandbox forked from `setup`; the status pipe tells how it went.

        `descriptors` go there under their names, `entrances` are opened here. Raises OSError.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs, ExitStack() as opened:
            groups = [os.open(entrance, os.O_WRONLY | os.O_CLOEXEC) for entrance in entrances]
            for group in groups:
                opened.callback(os.close, group)
            message = json.dumps({**setup, "descriptors": list(descriptors)}).encode()
            socket.send_fds(self._control, [b"f"], [theirs.fileno()], socket.MSG_DONTWAIT)
            socket.send_fds(ours, [message], [*descriptors.values(), *groups])

    def close(self) -> None:
        """End it, with every sandbox that it has forked. Idempotent."""
        if self._control.fileno() < 0:
            return
        if self._process.poll() is None:
            self._process.kill()
        # First: where the host has no descriptor left, what follows needs these.
        self._control.close()
        os.close(self._output)
        with suppress(OSError):  # what stays of the group is swept away by the next runner
            self._group.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(REAP_SECONDS)
        self._group.remove()

    def _look(self, seconds: float) -> bool:
        """Take in a word of the fork server, or its end. False once it has ended."""
        if self._control.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return True
        try:
            word = self._control.recv(len(READY), socket.MSG_DONTWAIT)
        except BlockingIOError:  # another thread has taken it
            return True
        except OSError:
            return False
        if word == READY:
            self._memory_bytes = self._group.usage().memory_bytes
            self._is_ready = True
        return bool(word)

    def _last_words(self) -> str:
        with suppress(BlockingIOError):
            text = os.read(self._output, _MAX_ERROR_BYTES).decode(errors="replace").strip()
            if text:
                return bubblewrap.explain(text)
        return "it ended without a word"


def _start(nothing: Path, entrances: Sequence[Path], control: int, output: int) -> Process:
    """Start bubblewrap around the fork server, with nothing in its environment."""
    with ExitStack() as files:
        names = [
            _memory_file(content, files)
            for content in ("root:x:0:0::/tmp:/usr/sbin/nologin\n", "root:x:0:\n")
        ]
        command = [
            *("/bin/sh", "-c", ENTER_CGROUPS, "enter-cgroups", *map(str, entrances)),
            *("--", bubblewrap.find_program()),
            *bubblewrap.namespace_options(as_root=True),
            *bubblewrap.file_system_options(nothing, DISK_BYTES, *names),
            *_own_source(),
            *("--", *python_environment.python_command(_boot(control))),
        ]
        return subprocess.Popen(
            command,
            env=python_environment.guest_environment(threads=1),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(control, *names),
        )


def _own_source() -> tuple[str, ...]:
    """Where the fork server's modules lie: a forked sandbox takes them away with the /tmp around them."""
    here = Path(__file__).resolve().parent
    return ("--ro-bind", str(here), f"{HOME_INSIDE}/sandbox_runner/sandboxes/{here.name}")


def _boot(control: int) -> str:
    """Leaves no name behind: the guest's program runs in the same module."""
    arguments = (control, MODULES, SOURCE_INSIDE, package_folders(python_environment.PACKAGES_INSIDE))
    return (
        f"__import__('sys').path[:0] = [{HOME_INSIDE!r}, {SOURCE_INSIDE!r}]\n"
        f"__import__({f'{__package__}.zygote'!r}).sandboxes.fork_server.zygote.serve(*{arguments!r})(globals())"
    )


def _memory_file(content: str, files: ExitStack) -> int:
    descriptor = os.memfd_create("names", os.MFD_CLOEXEC)
    files.callback(os.close, descriptor)
    os.write(descriptor, content.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
