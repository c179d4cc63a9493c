"""The pool of waiting sandboxes: warm where the kind is the same, cold otherwise, and never twice."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest
from fakes import ScriptedSandbox
from warm_pool import ONE, eventually, for_a_while

from contracts.guest_wire import HEADER, FrameKind
from contracts.measurements import MIB
from sandbox_runner.sandboxes.port import Sandbox
from sandbox_runner.starts import FORGET_SECONDS

LIMITS_THAT_DIFFER = {
    "wall_seconds": 901.0,
    "cpu_seconds": 901.0,
    "startup_seconds": 91.0,
    "predict_batch_seconds": 21.0,
    "memory_bytes": 4097 * MIB,
    "pids": 129,
    "disk_bytes": 257 * MIB,
    "output_bytes": 2 * MIB,
}


def test_an_attempt_gets_the_sandbox_that_waits(make_pool) -> None:
    pool = make_pool(1)
    pool.expect()
    waiting = pool.open()

    sandbox, warm = pool.use(replace(ONE, name="at-2"))

    assert warm
    assert [sandbox] == waiting


def test_without_a_pool_every_start_is_cold_and_nothing_is_remembered(make_pool) -> None:
    pool = make_pool(0)
    pool.starts.expect(ONE)

    used = [pool.use() for _ in range(3)]

    assert [warm for _, warm in used] == [False] * 3
    assert len({id(sandbox) for sandbox, _ in used}) == len(pool.backend.sandboxes) == 3
    assert not any(thread.name == "warm-scripted" for thread in threading.enumerate())


def test_a_warm_sandbox_never_serves_twice(make_pool) -> None:
    pool = make_pool(1)
    pool.expect()
    served = []
    for _ in range(5):
        pool.settle(1)
        sandbox, warm = pool.use()
        assert warm
        assert sandbox.closed
        served.append(sandbox)

    assert len({id(sandbox) for sandbox in served}) == 5


@pytest.mark.parametrize("limit", LIMITS_THAT_DIFFER)
def test_a_start_is_cold_when_any_limit_differs(make_pool, limit: str) -> None:
    pool = make_pool(1)
    pool.expect()
    other = replace(ONE, limits=replace(ONE.limits, **{limit: LIMITS_THAT_DIFFER[limit]}))

    assert pool.use(other)[1] is False


@pytest.mark.parametrize(
    "change", [{"threads": 2}, {"device": "GPU-0"}, {"environment": {"A": "1"}}, {"argv": ("python", "-c")}]
)
def test_a_start_is_cold_when_anything_but_the_name_differs(make_pool, change) -> None:
    pool = make_pool(1)
    pool.expect()

    assert pool.use(replace(ONE, **change))[1] is False


def test_a_waiting_sandbox_bears_nothing_of_the_attempt_that_was_asked_for_before(make_pool) -> None:
    pool = make_pool(2)
    pool.use(replace(ONE, name="at-of-a-tenant-1"))
    pool.settle(1)

    assert all("tenant" not in name for name in pool.warm_names())
    assert len(set(pool.warm_names())) == len(pool.warm_names())


def test_as_many_wait_as_were_in_use_at_a_time(make_pool) -> None:
    pool = make_pool(8)
    pool.expect()
    pool.use_at_once(3)
    pool.settle(3)

    assert for_a_while(lambda: len(pool.open()) == 3)
    taken = pool.use_at_once(3)
    assert all(pool.was_warm(sandbox) for sandbox in taken)


def test_fewer_wait_once_a_burst_is_long_past(make_pool) -> None:
    pool = make_pool(8)
    pool.use_at_once(5)
    pool.settle(5)
    for _ in range(4):
        pool.clock.now += FORGET_SECONDS - 1
        pool.use()

    eventually(lambda: for_a_while(lambda: len(pool.open()) == 1 == pool.starts.waiting()))


def test_those_that_run_for_long_count_as_in_use(make_pool) -> None:
    pool = make_pool(8)
    with ExitStack() as running:
        for _ in range(3):
            running.enter_context(pool.starts.sandbox(ONE))
        for _ in range(4):
            pool.clock.now += FORGET_SECONDS
            assert for_a_while(lambda: True)
        eventually(lambda: pool.starts.waiting() == 3)


def test_never_more_wait_than_fit(make_pool) -> None:
    pool = make_pool(2)
    others = [replace(ONE, threads=threads) for threads in (1, 2, 3)]
    for spec in others:
        pool.use_at_once(4, spec)
        assert for_a_while(lambda: len(pool.open()) <= 2)

    pool.settle(2)


def test_a_kind_asked_for_later_gets_a_place_in_a_pool_that_is_full_of_another(make_pool) -> None:
    pool = make_pool(2)
    pool.use_at_once(2)
    pool.settle(2)
    later = replace(ONE, threads=2)
    pool.clock.now += 1

    assert pool.use(later)[1] is False
    eventually(lambda: {one.spec.threads for one in pool.open()} == {1, 2} and pool.starts.waiting() == 2)
    assert pool.use(later)[1] is True
    assert pool.use(ONE)[1] is True


def test_a_kind_that_nobody_asks_for_is_forgotten(make_pool) -> None:
    pool = make_pool(4)
    pool.use_at_once(2)
    pool.settle(2)
    pool.clock.now += FORGET_SECONDS

    pool.settle(0)
    eventually(lambda: not pool.open())
    assert for_a_while(lambda: not pool.open())


def test_a_sandbox_that_still_imports_is_taken_when_none_is_further(make_pool, monkeypatch) -> None:
    pool = make_pool(2, most_importing=2)
    monkeypatch.setattr(ScriptedSandbox, "imports", False)
    pool.use_at_once(2)
    eventually(lambda: len(pool.open()) == 2)
    slow, other = pool.open()
    assert pool.starts.waiting() == 0
    os.write(other.guest_writes, HEADER.pack(FrameKind.IMPORTED, 0))

    with pool.starts.sandbox(ONE) as first:
        assert first is other
    with pool.starts.sandbox(ONE) as first:
        assert first is slow


def test_no_more_import_at_a_time_than_may(make_pool, monkeypatch) -> None:
    monkeypatch.setattr(ScriptedSandbox, "imports", False)
    pool = make_pool(3, most_importing=1)
    pool.use_at_once(3)
    eventually(lambda: len(pool.open()) == 1)
    time.sleep(0.05)
    [first] = pool.open()

    os.write(first.guest_writes, HEADER.pack(FrameKind.IMPORTED, 0))

    eventually(lambda: len(pool.open()) == 2)
    time.sleep(0.05)
    assert len(pool.open()) == 2


def test_many_attempts_at_once_each_have_a_sandbox_of_their_own(make_pool) -> None:
    pool = make_pool(4)
    specs = [ONE, replace(ONE, threads=2), replace(ONE, threads=3)]
    held: set[int] = set()
    served: list[Sandbox] = []
    guard = threading.Lock()

    def attempt(number: int) -> bool:
        with pool.starts.sandbox(specs[number % len(specs)]) as sandbox:
            with guard:
                assert id(sandbox) not in held
                held.add(id(sandbox))
                served.append(sandbox)
            assert not sandbox.closed
            assert sandbox.spec.threads == number % len(specs) + 1
            time.sleep(0.001)
            with guard:
                held.remove(id(sandbox))
            return pool.was_warm(sandbox)

    with ThreadPoolExecutor(8) as lanes:
        warm = list(lanes.map(attempt, range(150)))

    assert len({id(sandbox) for sandbox in served}) == 150
    assert all(sandbox.closed for sandbox in served)
    assert any(warm)
    assert len(pool.open()) <= 4
