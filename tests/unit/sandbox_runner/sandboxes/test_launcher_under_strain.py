"""A launcher on a machine that has nothing left for a moment: it turns away who comes, and stays."""

import errno
import os
import socket
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from sandbox_runner.sandboxes.docker import launcher as launcher_module
from sandbox_runner.sandboxes.docker.launcher import Launcher
from sandbox_runner.sandboxes.docker.settings import LauncherSettings


@pytest.fixture
def launcher(monkeypatch):
    """One that nothing was asked of yet. It needs no engine before somebody asks for a sandbox."""
    monkeypatch.setattr(launcher_module, "STRAIN_PAUSE_SECONDS", 0.01)
    with tempfile.TemporaryDirectory(prefix="launcher-") as folder:  # a socket's path is short
        made = Launcher(LauncherSettings(home=Path(folder), docker_host="unix:///nowhere/docker.sock"))
        serving = threading.Thread(target=made.run)
        yield SimpleNamespace(itself=made, start=serving.start, socket=str(Path(folder) / "launcher.sock"))
        if serving.ident is None:
            serving.start()
        made.stop()
        serving.join()


def answer_to(launcher, packet: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(20)
        connection.connect(launcher.socket)
        connection.send(packet)
        return connection.recv(10_000)


def test_without_a_descriptor_left_it_goes_on_once_there_is_one(launcher):
    listener, troubles = launcher.itself._listener, [errno.EMFILE, errno.ENFILE, errno.ECONNABORTED]

    def accept():
        if troubles:
            number = troubles.pop()
            raise OSError(number, os.strerror(number))
        return listener.accept()

    launcher.itself._listener = SimpleNamespace(accept=accept, shutdown=listener.shutdown)
    launcher.start()
    assert b"unavailable" in answer_to(launcher, b"{")
    assert not troubles


def test_without_a_thread_left_it_turns_away_who_comes_and_serves_the_next(launcher, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", refuse)
        launcher.itself._accept(theirs)
        assert ours.recv(10_000) == b""
    assert launcher.itself._open_connections() == []
    launcher.start()
    assert b"unavailable" in answer_to(launcher, b"{")
