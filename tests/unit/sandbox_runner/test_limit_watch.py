import pytest

from contracts.measurements import Limits
from sandbox_runner.limits import LimitWatch
from sandbox_runner.phases import Phase
from sandbox_runner.sandboxes.port import Usage
from sandbox_runner.stops import StopKind

IDLE = Usage(0.0, 0, 0, 0)
LIMITS = Limits(wall_seconds=100, cpu_seconds=50, startup_seconds=10, predict_batch_seconds=2)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> LimitWatch:
    return LimitWatch(LIMITS, clock)


def test_nothing_is_exceeded_at_the_limit_itself(watch: LimitWatch, clock: Clock) -> None:
    clock.now += 10

    assert watch.exceeded(Phase.BUILDING, Usage(50.0, 0, 0, 99)) is None


def test_startup_ends_with_the_building(watch: LimitWatch, clock: Clock) -> None:
    clock.now += 11

    stop = watch.exceeded(Phase.BUILDING, IDLE)
    assert stop is not None
    assert stop.kind is StopKind.STARTUP_TIMEOUT
    assert watch.exceeded(Phase.TRAINING, IDLE) is None


def test_the_wall_holds_in_every_phase(watch: LimitWatch, clock: Clock) -> None:
    clock.now += 101

    for phase in (Phase.STARTING, Phase.TRAINING, Phase.FINISHING):
        stop = watch.exceeded(phase, IDLE)
        assert stop is not None
        assert stop.kind is StopKind.WALL_TIMEOUT


def test_memory_comes_before_time(watch: LimitWatch, clock: Clock) -> None:
    clock.now += 101

    stop = watch.exceeded(Phase.TRAINING, Usage(99.0, 0, 1, 0))
    assert stop is not None
    assert stop.kind is StopKind.MEMORY


def test_a_batch_has_its_own_clock_until_it_is_answered(watch: LimitWatch, clock: Clock) -> None:
    watch.batch_sent()
    clock.now += 2.5
    stop = watch.exceeded(Phase.PREDICTING, IDLE)
    assert stop is not None
    assert "predict_batch_seconds = 2" in stop.message

    watch.batch_answered()
    assert watch.exceeded(Phase.PREDICTING, IDLE) is None
