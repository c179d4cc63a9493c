"""The pool of waiting sandboxes on bad days: what died is never handed out, and closing leaves nothing."""

import errno
import threading
import time

import pytest
from warm_pool import ONE, SOON, Backend, eventually, for_a_while, wait_for_a_job

from sandbox_runner import starts as starts_module
from sandbox_runner.sandboxes.port import SandboxUnavailable
from sandbox_runner.starts import FORGET_SECONDS, MOST_WAITING_SECONDS


def test_a_sandbox_is_closed_when_its_attempt_breaks(make_pool) -> None:
    pool = make_pool(1)
    pool.expect()
    with pytest.raises(ZeroDivisionError), pool.starts.sandbox(ONE) as sandbox:
        _ = 1 / 0

    assert sandbox.closed
    pool.settle(1)


def test_a_dead_waiting_sandbox_is_replaced_before_anybody_asks(make_pool) -> None:
    pool = make_pool(1)
    pool.expect()
    dead = pool.open()[0]
    dead.leave(None, 9)

    eventually(lambda: dead.closed and pool.starts.waiting() == 1)
    assert pool.open() != [dead]


def test_a_dead_waiting_sandbox_is_never_handed_out(make_pool, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = make_pool(3)
    pool.use_at_once(3)
    pool.settle(3)
    monkeypatch.setattr(starts_module, "RETRY_SECONDS", SOON)  # so that nobody but the taker can notice
    time.sleep(0.03)
    dead, living = pool.open()[:2], pool.open()[2]
    for one in dead:
        one.leave(0)

    assert pool.use()[0] is living
    assert all(one.closed for one in dead)


def test_a_sandbox_that_the_platform_has_lost_is_never_handed_out(make_pool) -> None:
    def lost() -> None:
        raise SandboxUnavailable("the launcher has gone")

    pool = make_pool(1)
    pool.expect()
    gone = pool.open()[0]
    gone.exit = lost

    sandbox, _ = pool.use()
    assert sandbox is not gone
    eventually(lambda: gone.closed)


def test_a_host_that_cannot_look_at_a_waiting_sandbox_gets_another_and_keeps_its_pool(make_pool) -> None:
    def cannot_look():
        raise OSError(errno.EMFILE, "Too many open files")

    pool = make_pool(1)
    pool.expect()
    unseen = pool.open()[0]
    unseen.exit = cannot_look

    with pool.starts.sandbox(ONE) as sandbox:
        assert sandbox is not unseen
    assert unseen.closed
    pool.settle(1)


def test_nobody_gets_a_sandbox_that_has_waited_for_too_long(make_pool) -> None:
    pool = make_pool(1)
    pool.expect()
    old = pool.open()[0]
    for _ in range(int(MOST_WAITING_SECONDS / (FORGET_SECONDS - 1)) + 1):
        pool.clock.now += FORGET_SECONDS - 1
        pool.starts.expect(ONE)

    assert pool.use()[0] is not old
    eventually(lambda: old.closed)
    pool.settle(1)


def test_a_launch_that_fails_pauses_the_pool_and_does_not_spin(make_pool, monkeypatch, caplog) -> None:
    monkeypatch.setattr(starts_module, "RETRY_SECONDS", 0.05)
    backend = Backend(wait_for_a_job)
    backend.trouble = SandboxUnavailable("no cgroups here")
    pool = make_pool(4, backend)
    pool.starts.expect(ONE)

    assert for_a_while(lambda: backend.asked <= 3)
    eventually(lambda: backend.asked >= 2)
    assert "no cgroups here" in caplog.text
    backend.trouble = None
    pool.settle(1)


def test_whatever_a_launch_raises_the_pool_goes_on(make_pool) -> None:
    backend = Backend(wait_for_a_job)
    backend.trouble = ValueError("filedescriptor out of range")
    pool = make_pool(1, backend)
    pool.starts.expect(ONE)
    eventually(lambda: backend.asked >= 2)
    backend.trouble = None

    pool.settle(1)


def test_sandboxes_that_die_as_soon_as_they_wait_are_not_launched_without_end(make_pool, monkeypatch) -> None:
    monkeypatch.setattr(starts_module, "RETRY_SECONDS", 0.05)
    pool = make_pool(1, Backend(lambda guest: guest.leave(1)))
    pool.starts.expect(ONE)
    eventually(lambda: len(pool.backend.sandboxes) >= 2)

    assert for_a_while(lambda: len(pool.backend.sandboxes) <= 5)


def test_who_asks_is_told_when_nothing_can_be_launched(make_pool) -> None:
    pool = make_pool(1, Backend(wait_for_a_job, broken="no cgroups here"))
    for _ in range(2):
        with pytest.raises(SandboxUnavailable, match="no cgroups here"):
            pool.use()


def test_close_ends_everything_and_leaves_no_thread(make_pool) -> None:
    before = threading.active_count()
    pool = make_pool(4)
    pool.use_at_once(4)
    pool.settle(4)

    pool.starts.close()

    assert not pool.open()
    assert threading.active_count() <= before
    assert pool.starts.waiting() == 0


def test_close_does_not_wait_for_the_pause_after_a_failure(make_pool, monkeypatch) -> None:
    monkeypatch.setattr(starts_module, "RETRY_SECONDS", 60.0)
    backend = Backend(wait_for_a_job)
    backend.trouble = SandboxUnavailable("no cgroups here")
    pool = make_pool(1, backend)
    pool.starts.expect(ONE)
    eventually(lambda: backend.asked == 1)

    started = time.monotonic()
    pool.starts.close()
    assert time.monotonic() - started < SOON


def test_one_sandbox_that_cannot_be_closed_does_not_keep_the_others(make_pool, caplog) -> None:
    def stuck() -> None:
        raise OSError("busy")

    pool = make_pool(3)
    pool.use_at_once(3)
    pool.settle(3)
    jammed, *others = pool.open()
    close, jammed.close = jammed.close, stuck

    pool.starts.close()

    assert all(one.closed for one in others)
    assert "busy" in caplog.text
    close()
