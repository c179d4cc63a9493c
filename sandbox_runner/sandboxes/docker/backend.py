"""The tiers `docker+runc` and `docker+runsc` as the runner uses them: everything is asked of the launcher."""

import os
import socket
import threading
import time
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

from contracts.jobs import BackendReport
from contracts.names import IsolationTier
from sandbox_runner.sandboxes.docker.settings import LAUNCHER_COMMAND
from sandbox_runner.sandboxes.docker.wire import (
    MAX_MESSAGE_BYTES,
    PIPES,
    Request,
    RequestRefused,
    Runtime,
    Start,
    decode,
    encode,
    start_message,
)
from sandbox_runner.sandboxes.port import Exit, SandboxSpec, SandboxUnavailable, Usage
from sandbox_runner.sandboxes.probe import probe_backend

TIERS = {Runtime.RUNC: IsolationTier.DOCKER_RUNC, Runtime.RUNSC: IsolationTier.DOCKER_RUNSC}
CONNECT_SECONDS = 5.0
CONNECT_PAUSE_SECONDS = 0.05
START_SECONDS = 90.0
"""From the request until the guest's program is loaded; the launcher itself gives up earlier."""
ANSWER_SECONDS = 40.0
"""Longer than the launcher waits for its engine, which a fork bomb can hold up on a busy machine."""
CLOSE_SECONDS = 40.0


class DockerBackend:
    """Starts sandboxes in containers of one runtime."""

    forks = False

    def __init__(self, runtime: Runtime, launcher: Path) -> None:
        """`launcher` is the socket that the launcher listens on."""
        self.tier = TIERS[runtime]
        self.name = self.tier.value
        self._runtime = runtime
        self._launcher = launcher

    def probe(self) -> BackendReport:
        """Prove, by trying, that every limit and wall really holds on this machine. Never raises."""
        return probe_backend(self)

    def launch(self, spec: SandboxSpec) -> "DockerSandbox":
        """Start a sandbox; returns when the guest's program is loaded. Raises SandboxUnavailable."""
        start = Start(
            runtime=self._runtime,
            name=spec.name,
            argv=spec.argv,
            environment=spec.environment,
            memory_bytes=spec.limits.memory_bytes,
            pids=spec.limits.pids,
            disk_bytes=spec.limits.disk_bytes,
            wall_seconds=spec.limits.wall_seconds,
            threads=spec.threads,
            device=spec.device,
        )
        connection = self._connect()
        try:
            connection.settimeout(START_SECONDS)
            connection.send(_encode(start_message(start)))
            reply, pipes = _receive(connection)
            connection.settimeout(ANSWER_SECONDS)
        except OSError as error:
            connection.close()
            raise SandboxUnavailable(f"the sandbox launcher does not answer: {error}") from error
        except SandboxUnavailable:
            connection.close()
            raise
        if len(pipes) != PIPES:  # the kernel has dropped the others
            for pipe in pipes:
                os.close(pipe)
            connection.close()
            raise SandboxUnavailable("this process has no descriptor left for the pipes of a sandbox")
        return DockerSandbox(connection, Path(reply["data"]), str(reply["environment"]), pipes)

    def close(self) -> None:
        """Nothing is held: the sandboxes are the launcher's."""

    def _connect(self) -> socket.socket:
        """Connect; a launcher that is just being started (again) is waited for."""
        deadline = time.monotonic() + CONNECT_SECONDS
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                connection.connect(str(self._launcher))
            except OSError as error:
                connection.close()
                is_absent = isinstance(error, FileNotFoundError | ConnectionRefusedError)
                if is_absent and time.monotonic() < deadline:
                    time.sleep(CONNECT_PAUSE_SECONDS)
                    continue
                raise SandboxUnavailable(
                    f"no sandbox launcher listens at {self._launcher} ({error.strerror or error}); "
                    f"start it: {LAUNCHER_COMMAND}"
                ) from error
            return connection


class DockerSandbox:
    """A running sandbox, seen through its connection. Every method may be called from any thread."""

    def __init__(
        self, connection: socket.socket, data: Path, environment_digest: str, pipes: list[int]
    ) -> None:
        self.to_guest, self.from_guest, self.output = pipes
        self.data = data
        self.environment_digest = environment_digest
        self._connection = connection
        self._pipes = pipes
        self._lock = threading.Lock()
        self._exit: Exit | None = None
        self._closed = False

    def usage(self) -> Usage:
        """Read the accounting. Raises SandboxUnavailable when launcher or engine have lost the sandbox."""
        return Usage(**self._ask(Request.USAGE)["usage"])

    def exit(self) -> Exit | None:
        """How the guest ended, or None while it runs. Raises SandboxUnavailable as `usage` does."""
        if self._exit is None and not self._closed:
            ended = self._ask(Request.EXIT)["exit"]
            self._exit = None if ended is None else Exit(**ended)
        return self._exit

    def kill(self) -> None:
        """End everything in it; without its launcher it ends by itself. Idempotent."""
        with suppress(SandboxUnavailable):
            self._ask(Request.KILL)

    def close(self) -> None:
        """Kill, and wait until the launcher has removed everything. Idempotent."""
        if self._closed:
            return
        with suppress(SandboxUnavailable):
            self.exit()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for pipe in self._pipes:
                os.close(pipe)
            with suppress(OSError, SandboxUnavailable):
                self._connection.settimeout(CLOSE_SECONDS)
                self._connection.send(_encode({"request": Request.CLOSE}))
                _receive(self._connection)
            self._connection.close()

    def _ask(self, request: Request) -> dict[str, Any]:
        with self._lock:
            if self._closed:
                raise SandboxUnavailable("the sandbox is closed")
            try:
                self._connection.send(_encode({"request": request}))
                return _receive(self._connection)[0]
            except OSError as error:
                # A late answer would be taken for that to the next question: nothing more is asked here.
                with suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)
                raise SandboxUnavailable(f"the sandbox launcher has gone: {error}") from error


def _encode(message: dict[str, Any]) -> bytes:
    try:
        return encode(message)
    except RequestRefused as error:
        raise SandboxUnavailable(str(error)) from error


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """One reply and the descriptors that came with it. Raises SandboxUnavailable, OSError."""
    space = socket.CMSG_SPACE(PIPES * array("i").itemsize)
    packet, ancillary, _, _ = connection.recvmsg(MAX_MESSAGE_BYTES, space, socket.MSG_CMSG_CLOEXEC)
    pipes = array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            pipes.frombytes(content[: len(content) - len(content) % pipes.itemsize])
    if not packet:
        raise SandboxUnavailable("the sandbox launcher has gone")
    reply = decode(packet)
    if "unavailable" in reply:
        raise SandboxUnavailable(str(reply["unavailable"]))
    return reply, list(pipes)
