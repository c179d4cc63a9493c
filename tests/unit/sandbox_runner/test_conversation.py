"""What the host's own pauses cost a guest: nothing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import SimpleNamespace

import pytest
from fakes import ScriptedSandbox

from contracts.guest_wire import FrameKind
from contracts.measurements import Limits
from sandbox_runner import conversation
from sandbox_runner.channel import Lengths
from sandbox_runner.conversation import Conversation
from sandbox_runner.limits import LimitWatch
from sandbox_runner.metering import Meter
from sandbox_runner.phases import Phase
from sandbox_runner.sandboxes.port import Exit, Usage
from sandbox_runner.stops import GuestStopped, StopKind


class Clock:
    """Each look at it takes a hundredth of a second."""

    now = 1000.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(conversation, "time", SimpleNamespace(monotonic=clock))
    return clock


@contextmanager
def speaking_with(sandbox: ScriptedSandbox, clock: Clock) -> Iterator[Conversation]:
    watch = LimitWatch(Limits(wall_seconds=100), Meter(clock), clock)
    try:
        with Conversation(sandbox, watch, Event(), lambda _: None) as guest:
            guest.greet()
            yield guest
    finally:
        sandbox.close()


def leaves_when_told(guest: ScriptedSandbox) -> None:
    guest.hear()
    guest.leave(0)


def test_a_pause_before_the_first_line_is_not_taken_off_the_candidates_time(clock: Clock) -> None:
    sandbox = ScriptedSandbox(leaves_when_told)
    usage = sandbox.usage

    def look_slowly() -> Usage:
        clock.now += 10
        return usage()

    with speaking_with(sandbox, clock) as guest:
        sandbox.usage = look_slowly
        guest.enter(Phase.BUILDING)
        sandbox.usage = usage
        guest.finish()

    assert 0 < guest.watch.meter.wall_seconds < 10


def test_how_long_the_host_takes_to_clear_up_is_not_the_candidates_wall_time(clock: Clock) -> None:
    sandbox = ScriptedSandbox(leaves_when_told)
    kill = sandbox.kill

    def kill_slowly() -> None:
        clock.now += 200
        kill()

    sandbox.kill = kill_slowly
    with speaking_with(sandbox, clock) as guest:
        guest.enter(Phase.BUILDING)
        guest.finish()

    assert guest.watch.exceeded(Phase.FINISHING, sandbox.usage()) is None
    assert guest.watch.meter.wall_seconds < 100


def test_a_guest_that_was_paused_with_its_host_may_still_end_after_it_has_closed_its_channel(
    clock: Clock,
) -> None:
    sandbox = ScriptedSandbox(lambda guest: os.dup2(guest.guest_prints, guest.guest_writes))
    looks = 0

    def exit_after_a_pause() -> Exit | None:
        nonlocal looks
        looks += guest._hung_up_at is not None
        if looks == 1:
            clock.now += 10
        return Exit(3, None) if looks > 1 else None

    with speaking_with(sandbox, clock) as guest:
        sandbox.exit = exit_after_a_pause
        with pytest.raises(GuestStopped) as stopped:
            guest.hear(FrameKind.READY, Lengths(0, 0))

    assert stopped.value.stop.kind is StopKind.EXITED
