"""When a forking backend does not fork, and what it says then."""

import os

from sandbox_runner.sandboxes.fork_server import backend as forking
from sandbox_runner.sandboxes.fork_server.backend import ForkingBackend, user_names


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


def test_the_user_of_a_forked_sandbox_has_the_name_it_has_after_a_cold_start():
    assert dict(user_names(61_005)) == {
        "/etc/passwd": "candidate:x:61005:61005::/tmp:/usr/sbin/nologin\n",
        "/etc/group": "candidate:x:61005:\n",
    }
