"""The pool of waiting sandboxes: warm where the kind is the same, cold otherwise, and never twice."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest
from fakes import ScriptedBackend, ScriptedSandbox

from contracts.guest_wire import HEADER, FrameKind
from contracts.measurements import MIB, Limits
from sandbox_runner import starts as starts_module
from sandbox_runner.sandboxes.port import Sandbox, SandboxSpec, SandboxUnavailable
from sandbox_runner.starts import FORGET_SECONDS, MOST_WAITING_SECONDS, Starts

ONE = SandboxSpec("at-1", ("python",), Limits())
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
SOON = 5.0
"""Far more than anything here takes, on a busy machine too."""


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts_module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(starts_module, "IMPORT_LOOK_SECONDS", 0.005)


class Clock:
    """Time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Pool:
    """A pool over scripted sandboxes, and what a test asks of it."""

    def __init__(
        self, most_waiting: int, backend: ScriptedBackend | None = None, most_importing: int = 1
    ) -> None:
        self.backend = backend or Backend(_wait_for_a_job)
        self.clock = Clock()
        self.starts = Starts(self.backend, most_waiting, self.clock, most_importing=most_importing)

    def expect(self, spec: SandboxSpec = ONE, waiting: int = 1) -> None:
        self.starts.expect(spec)
        self.settle(waiting)

    def settle(self, waiting: int) -> None:
        eventually(lambda: self.starts.waiting() == waiting and len(self.open()) >= waiting)

    def open(self) -> list[ScriptedSandbox]:
        return [one for one in self.backend.sandboxes if not one.closed]

    def use(self, spec: SandboxSpec = ONE) -> tuple[Sandbox, bool]:
        """One attempt: its sandbox, and whether that had waited for it."""
        with self.starts.sandbox(spec) as sandbox:
            return sandbox, self.was_warm(sandbox)

    def use_at_once(self, count: int, spec: SandboxSpec = ONE) -> list[Sandbox]:
        with ExitStack() as running:
            return [running.enter_context(self.starts.sandbox(spec)) for _ in range(count)]

    def was_warm(self, sandbox: Sandbox) -> bool:
        return sandbox.spec.name.startswith("warm-")

    def warm_names(self) -> list[str]:
        return [spec.name for spec in self.backend.specs if spec.name.startswith("warm-")]


class Backend(ScriptedBackend):
    """Notes for each sandbox what it was launched for. It launches nothing while `trouble` is set."""

    trouble: Exception | None = None
    asked = 0

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self._one_at_a_time = threading.Lock()

    def launch(self, spec: SandboxSpec) -> ScriptedSandbox:
        with self._one_at_a_time:
            self.asked += 1
            if self.trouble:
                raise self.trouble
            sandbox = super().launch(spec)
            sandbox.spec = spec
            return sandbox


def _wait_for_a_job(guest: ScriptedSandbox) -> None:
    guest.hear()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.002)


def for_a_while(condition: Callable[[], bool]) -> bool:
    """Whether it stays true over several of the pool's rounds."""
    deadline = time.monotonic() + 0.08
    while time.monotonic() < deadline:
        if not condition():
            return False
        time.sleep(0.005)
    return True


@pytest.fixture
def make_pool() -> Iterator[Callable[..., Pool]]:
    made: list[Pool] = []

    def make(most_waiting: int, backend: ScriptedBackend | None = None, **options: int) -> Pool:
        made.append(Pool(most_waiting, backend, **options))
        return made[-1]

    yield make
    for pool in made:
        pool.starts.close()
        assert not pool.open()


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


def test_a_sandbox_is_closed_when_its_attempt_breaks(make_pool) -> None:
    pool = make_pool(1)
    pool.expect()
    with pytest.raises(ZeroDivisionError), pool.starts.sandbox(ONE) as sandbox:
        _ = 1 / 0

    assert sandbox.closed
    pool.settle(1)


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
    backend = Backend(_wait_for_a_job)
    backend.trouble = SandboxUnavailable("no cgroups here")
    pool = make_pool(4, backend)
    pool.starts.expect(ONE)

    assert for_a_while(lambda: backend.asked <= 3)
    eventually(lambda: backend.asked >= 2)
    assert "no cgroups here" in caplog.text
    backend.trouble = None
    pool.settle(1)


def test_whatever_a_launch_raises_the_pool_goes_on(make_pool) -> None:
    backend = Backend(_wait_for_a_job)
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
    pool = make_pool(1, Backend(_wait_for_a_job, broken="no cgroups here"))
    for _ in range(2):
        with pytest.raises(SandboxUnavailable, match="no cgroups here"):
            pool.use()


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


def test_close_ends_everything_and_leaves_no_thread() -> None:
    before = threading.active_count()
    pool = Pool(4)
    pool.use_at_once(4)
    pool.settle(4)

    pool.starts.close()

    assert not pool.open()
    assert threading.active_count() <= before
    assert pool.starts.waiting() == 0


def test_close_does_not_wait_for_the_pause_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts_module, "RETRY_SECONDS", 60.0)
    backend = Backend(_wait_for_a_job)
    backend.trouble = SandboxUnavailable("no cgroups here")
    pool = Pool(1, backend)
    pool.starts.expect(ONE)
    eventually(lambda: backend.asked == 1)

    started = time.monotonic()
    pool.starts.close()
    assert time.monotonic() - started < SOON


def test_one_sandbox_that_cannot_be_closed_does_not_keep_the_others(caplog) -> None:
    def stuck() -> None:
        raise OSError("busy")

    pool = Pool(3)
    pool.use_at_once(3)
    pool.settle(3)
    jammed, *others = pool.open()
    close, jammed.close = jammed.close, stuck

    pool.starts.close()

    assert all(one.closed for one in others)
    assert "busy" in caplog.text
    close()


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
