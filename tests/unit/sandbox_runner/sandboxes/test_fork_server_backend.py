"""When a forking backend does not fork, and what it says then."""

import errno
import os
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

from contracts.jobs import BackendReport
from contracts.measurements import MIB, Limits
from contracts.names import IsolationTier
from sandbox_runner.python_environment import GUEST_MEMORY_BYTES, guest_spec
from sandbox_runner.sandboxes.fork_server import backend as forking
from sandbox_runner.sandboxes.fork_server.backend import ForkingBackend, user_names, without_what_is_shared
from sandbox_runner.sandboxes.fork_server.server import ForkServer
from sandbox_runner.sandboxes.port import SandboxSpec


def test_only_a_runner_that_is_root_forks(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    backend = ForkingBackend(tmp_path)
    try:
        assert not backend.wait_until_forking(0)
        assert backend.why_cold() == forking.NOT_ROOT
        assert backend._preparation is None
    finally:
        backend.close()


def test_a_fork_server_that_cannot_start_is_not_tried_again_at_once(tmp_path, monkeypatch):
    tried = []

    def refuse(*_):
        tried.append(1)
        raise OSError("no room")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(ForkingBackend, "hierarchy", lambda _: None)
    monkeypatch.setattr(forking, "ForkServer", refuse)
    backend = ForkingBackend(tmp_path)
    try:
        for _ in range(3):
            assert not backend.wait_until_forking(0.05)
            backend._preparation.join()
        assert "no room" in backend.why_cold()
        assert len(tried) == 1
    finally:
        backend.close()


class ProvedServer:
    """In the place of a fork server that serves until somebody ends it."""

    def __init__(self, *_):
        self.alive = True

    def wait_until_ready(self):
        pass

    def is_alive(self):
        return self.alive

    def close(self):
        self.alive = False


def test_a_fork_server_that_has_ended_forks_no_more_until_another_is_proved(tmp_path, monkeypatch):
    passed = BackendReport("namespaces", IsolationTier.NAMESPACES, True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(ForkingBackend, "hierarchy", lambda _: None)
    monkeypatch.setattr(forking, "ForkServer", ProvedServer)
    monkeypatch.setattr(forking, "probe_backend", lambda _: passed)
    backend = ForkingBackend(tmp_path)
    try:
        assert backend.wait_until_forking(10)
        assert backend.why_cold() == ""
        first = backend._server
        first.alive = False

        assert not backend.wait_until_forking(0.05)
        assert backend.why_cold() == "the fork server has ended"

        backend._next_try = 0.0  # RETRY_SECONDS are over
        assert backend.wait_until_forking(10)
        assert backend._server is not first
    finally:
        backend.close()


def test_what_is_shared_with_the_fork_server_is_not_allowed_a_second_time():
    """A forked candidate meets the wall where a cold one does, whose sandbox bears its own imports."""
    shared = 360 * MIB
    guest = guest_spec("guest", Limits(memory_bytes=256 * MIB), 1)
    other = SandboxSpec(name="other", argv=(), limits=Limits(memory_bytes=96 * MIB))

    forked = without_what_is_shared(guest, shared)
    assert forked.limits.memory_bytes == 256 * MIB + GUEST_MEMORY_BYTES - shared
    assert forked.limits.pids == guest.limits.pids
    assert without_what_is_shared(other, shared) == other


def test_the_user_of_a_forked_sandbox_has_the_name_it_has_after_a_cold_start():
    assert dict(user_names(61_005)) == {
        "/etc/passwd": "candidate:x:61005:61005::/tmp:/usr/sbin/nologin\n",
        "/etc/group": "candidate:x:61005:\n",
    }


def test_a_fork_server_gives_its_descriptors_back_once_even_where_none_is_left(tmp_path):
    def refuse():
        raise OSError(errno.EMFILE, "Too many open files")

    group = SimpleNamespace(kill=refuse, remove=lambda: False, entrances=(Path("nowhere"),))
    process = SimpleNamespace(poll=lambda: 0, wait=lambda _: 0)
    started = Future()
    started.set_result(process)
    server = ForkServer(SimpleNamespace(create=lambda *_: group), tmp_path, lambda *_: started)
    output = server._output
    server.close()
    assert not server.is_alive()
    with open(os.devnull) as another:
        os.dup2(another.fileno(), output)  # somebody else has the number now
    server.close()
    os.close(output)  # and still has it
