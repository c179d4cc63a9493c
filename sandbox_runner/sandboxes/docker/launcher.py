"""The one process that may use the container engine: it starts sandboxes of a fixed make for the runner.

It listens on a unix socket for processes of one user. One connection is one sandbox: when it ends, the
sandbox does. What the sandboxes of a launcher that was killed leave behind is swept away by its successor.
"""

import errno
import fcntl
import logging
import os
import signal
import socket
import struct
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from contracts.service_logs import set_up_logs
from sandbox_runner.sandboxes.data_folders import DataFolders
from sandbox_runner.sandboxes.docker.containers import PASSABLE_MODE, Containers, RunningContainer
from sandbox_runner.sandboxes.docker.engine import Engine, EngineUnavailable
from sandbox_runner.sandboxes.docker.guest_image import SANDBOX_USERS, ImageRefused, find_image
from sandbox_runner.sandboxes.docker.settings import LauncherSettings
from sandbox_runner.sandboxes.docker.wire import (
    MAX_MESSAGE_BYTES,
    Request,
    RequestRefused,
    decode,
    encode,
    read_start,
)
from sandbox_runner.sandboxes.port import SandboxUnavailable

logger = logging.getLogger(__name__)

FIRST_MESSAGE_SECONDS = 10.0
SWEEP_SECONDS = 5.0
LEAVE_SECONDS = 20.0
STRAIN_PAUSE_SECONDS = 0.5
STRAIN = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED}
"""The machine cannot take a connection in just now. Nobody's sandbox ends for that."""
MAX_CONNECTIONS = len(SANDBOX_USERS) + 16
PEER_CREDENTIALS = struct.Struct("3i")
PRIVATE_UMASK, PRIVATE_MODE = 0o177, 0o700
DATA_FOLDERS = "container-data"


class AlreadyRunning(Exception):
    """Another launcher works for the same state folder."""


class Launcher:
    """Serves connections until it is told to stop."""

    def __init__(self, settings: LauncherSettings) -> None:
        """Raises AlreadyRunning, ImageRefused, EngineUnavailable, OSError."""
        self._client = settings.client
        settings.home.mkdir(_folder_mode(self._client), parents=True, exist_ok=True)
        self._lock = _lock(settings.home / "launcher.lock")
        self._data_folders = DataFolders(settings.home / DATA_FOLDERS)
        self._containers = Containers(
            Engine(settings.docker_host),
            find_image(settings.guest_image),
            settings.home,
            self._data_folders,
            self._client,
        )
        self._listener = _listen(settings.socket, self._client)
        self._socket = settings.socket
        self._stopped = threading.Event()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._connections_lock = threading.Lock()

    def run(self) -> None:
        """Serve until `stop`; then end every sandbox."""
        sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)
        sweeper.start()
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if error.errno not in STRAIN:
                    break
                logger.warning("no connection can be taken in just now: %s", error)
                self._stopped.wait(STRAIN_PAUSE_SECONDS)
                continue
            self._accept(connection)
        self._socket.unlink(missing_ok=True)
        for connection, thread in self._open_connections():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(LEAVE_SECONDS)
        sweeper.join(LEAVE_SECONDS)
        self._data_folders.close()
        os.close(self._lock)

    def stop(self) -> None:
        """Have `run` return. Callable from a signal handler."""
        self._stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)

    def _accept(self, connection: socket.socket) -> None:
        with self._connections_lock:
            if _peer(connection) != self._client or len(self._connections) >= MAX_CONNECTIONS:
                connection.close()
                return
            thread = threading.Thread(target=self._serve, args=(connection,), name="sandbox", daemon=True)
            self._connections[connection] = thread
        try:
            thread.start()
        except RuntimeError as error:  # no thread to be had
            logger.warning("a connection is turned away: %s", error)
            self._forget(connection)

    def _open_connections(self) -> list[tuple[socket.socket, threading.Thread]]:
        with self._connections_lock:
            return list(self._connections.items())

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._serve_sandbox(connection)
        except OSError as error:
            logger.info("a runner has gone: %s", error)
        except Exception:
            logger.exception("a sandbox is given up")
        finally:
            self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        with self._connections_lock:
            del self._connections[connection]
        connection.close()

    def _serve_sandbox(self, connection: socket.socket) -> None:
        """Start what the first message asks for, then answer until the connection ends."""
        connection.settimeout(FIRST_MESSAGE_SECONDS)
        try:
            start = read_start(decode(_receive(connection)))
            running = self._containers.start(start)
        except (RequestRefused, SandboxUnavailable) as error:
            connection.send(encode({"unavailable": str(error)[:4000]}))
            return
        try:
            relay = running.relay
            pipes = [relay.to_guest, relay.from_guest, relay.output]
            reply = {"data": str(running.data), "environment": self._containers.environment_digest}
            socket.send_fds(connection, [encode(reply)], pipes)
            relay.close_host_ends()
            connection.settimeout(None)
            while self._answer(connection, running):
                pass
        finally:
            self._containers.close(start.name, running)
        with suppress(OSError):
            connection.send(encode({"closed": True}))

    def _answer(self, connection: socket.socket, running: RunningContainer) -> bool:
        """Answer one request. False when the sandbox is to end."""
        packet = _receive(connection)
        if not packet:
            return False
        try:
            request = decode(packet).get("request")
            if request == Request.CLOSE:
                return False
            reply = _carry_out(request, running)
        except (RequestRefused, SandboxUnavailable) as error:
            reply = {"unavailable": str(error)[:4000]}
        connection.send(encode(reply))
        return True

    def _sweep(self) -> None:
        while not self._stopped.is_set():
            try:
                self._containers.sweep()
            except EngineUnavailable as error:
                logger.debug("not swept: %s", error)
            self._stopped.wait(SWEEP_SECONDS)


def _carry_out(request: object, running: RunningContainer) -> dict[str, Any]:
    if request == Request.USAGE:
        return {"usage": vars(running.usage())}
    if request == Request.EXIT:
        ended = running.exit()
        return {"exit": None if ended is None else vars(ended)}
    if request == Request.KILL:
        running.kill()
        return {"killed": True}
    raise RequestRefused("an unknown request")


def _receive(connection: socket.socket) -> bytes:
    """One packet; empty when the connection has ended. Raises RequestRefused on one that is too long."""
    packet, _, flags, _ = connection.recvmsg(MAX_MESSAGE_BYTES)
    if flags & socket.MSG_TRUNC:
        raise RequestRefused(f"a message is longer than {MAX_MESSAGE_BYTES} bytes")
    return packet


def _peer(connection: socket.socket) -> int:
    """The user id of whoever has connected, by the kernel's word."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS.size)
    return int(PEER_CREDENTIALS.unpack(credentials)[1])


def _listen(path: Path, client: int) -> socket.socket:
    """A listener that only `client` can reach. What a dead launcher left at `path` is replaced."""
    path.parent.mkdir(_folder_mode(client), parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(PRIVATE_UMASK)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    if client != os.geteuid():
        os.chown(path, client, -1)
    listener.listen(64)
    return listener


def _folder_mode(client: int) -> int:
    """Another user has to pass through the folders that the launcher makes."""
    return PRIVATE_MODE if client == os.geteuid() else PASSABLE_MODE


def _lock(path: Path) -> int:
    """A descriptor that holds the lock on this state folder. Raises AlreadyRunning."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise AlreadyRunning(f"another launcher holds {path}") from error
    return descriptor


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    set_up_logs("launcher")
    try:
        launcher = Launcher(LauncherSettings())
    except (AlreadyRunning, ImageRefused, EngineUnavailable, OSError, ValueError) as error:
        print(f"the launcher cannot start: {error}", file=sys.stderr)
        return 3
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: launcher.stop())
    launcher.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
