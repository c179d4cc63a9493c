"""The runner's side of a launcher, here one that a test plays."""

import os
import socket
import tempfile
import threading
from functools import partial
from pathlib import Path

import pytest

from contracts.measurements import Limits
from sandbox_runner.sandboxes.docker.backend import DockerBackend
from sandbox_runner.sandboxes.docker.wire import MAX_MESSAGE_BYTES, PIPES, Runtime, encode
from sandbox_runner.sandboxes.port import SandboxSpec, SandboxUnavailable

SPEC = SandboxSpec("at-1", ("python",), Limits())


class PlayedLauncher:
    """Serves one sandbox: sends a file in the place of so many pipes, and knows no end of the guest."""

    def __init__(self, folder: Path, pipes: int) -> None:
        self.socket = folder / "launcher.sock"
        self.file = folder / "in the place of a pipe"
        self._pipes = pipes
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(self.socket))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.recv(MAX_MESSAGE_BYTES)
            with self.file.open("w") as file:
                reply = encode({"data": "/nowhere", "environment": "digest"})
                socket.send_fds(connection, [reply], [file.fileno()] * self._pipes)
            while connection.recv(MAX_MESSAGE_BYTES):
                connection.send(encode({"exit": None}))

    def received(self) -> int:
        """How many of its pipes this process holds."""
        self._thread.join()
        self._listener.close()
        links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
        return [os.readlink(link) for link in links if os.path.lexists(link)].count(str(self.file))


@pytest.fixture
def play():
    """Play a launcher that sends so many pipes."""
    with tempfile.TemporaryDirectory(prefix="launcher-") as folder:  # a socket's path is short
        yield partial(PlayedLauncher, Path(folder))


def test_a_sandbox_comes_with_its_pipes_and_takes_them_along(play):
    launcher = play(PIPES)
    sandbox = DockerBackend(Runtime.RUNC, launcher.socket).launch(SPEC)
    assert len({sandbox.to_guest, sandbox.from_guest, sandbox.output}) == PIPES
    assert (sandbox.data, sandbox.environment_digest) == (Path("/nowhere"), "digest")
    sandbox.close()
    assert launcher.received() == 0


@pytest.mark.parametrize("pipes", range(PIPES))
def test_pipes_that_the_kernel_drops_where_no_descriptor_is_left_make_no_sandbox(play, pipes):
    launcher = play(pipes)
    with pytest.raises(SandboxUnavailable, match="no descriptor left"):
        DockerBackend(Runtime.RUNC, launcher.socket).launch(SPEC)
    assert launcher.received() == 0
