import pytest

from contracts.measurements import Limits
from sandbox_runner.limits import PLATFORM_START_SECONDS, LimitWatch
from sandbox_runner.metering import Meter
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
def waiting(clock: Clock) -> LimitWatch:
    """The guest was 30 s late and waits for its job."""
    watch = LimitWatch(LIMITS, Meter(clock), clock)
    clock.now += 30
    return watch


@pytest.fixture
def watch(waiting: LimitWatch) -> LimitWatch:
    """The candidate's first line has come."""
    waiting.meter.enter(Phase.BUILDING, IDLE)
    return waiting


def test_nothing_is_exceeded_at_the_limit_itself(watch: LimitWatch, clock: Clock) -> None:
    clock.now += 10

    assert watch.exceeded(Phase.BUILDING, Usage(50.0, 0, 0, 99)) is None


def test_startup_ends_with_the_building(watch: LimitWatch, clock: Clock) -> None:
    clock.now += 11

    stop = watch.exceeded(Phase.BUILDING, IDLE)
    assert stop is not None
    assert "startup_seconds = 10" in stop.message
    assert watch.exceeded(Phase.TRAINING, IDLE) is None


def test_the_wall_holds_in_every_phase_of_the_candidate(watch: LimitWatch, clock: Clock) -> None:
    clock.now += 101

    for phase in (Phase.TRAINING, Phase.PREDICTING, Phase.FINISHING):
        stop = watch.exceeded(phase, IDLE)
        assert stop is not None
        assert stop.kind is StopKind.WALL_TIMEOUT


def test_before_the_first_line_only_the_platforms_own_limit_holds(waiting: LimitWatch, clock: Clock) -> None:
    clock.now += PLATFORM_START_SECONDS - 31
    assert waiting.exceeded(Phase.STARTING, Usage(999.0, 0, 0, 0)) is None

    clock.now += 2
    stop = waiting.exceeded(Phase.STARTING, IDLE)
    assert stop is not None
    assert "not ready" in stop.message


def test_what_the_waiting_guest_has_spent_is_not_the_candidates(waiting: LimitWatch) -> None:
    assert waiting.exceeded(Phase.STARTING, Usage(48.0, 5000, 0, 0)) is None
    waiting.meter.guest_waits(Usage(49.0, 300, 0, 0))
    waiting.meter.enter(Phase.BUILDING, Usage(49.5, 310, 0, 0))

    assert waiting.exceeded(Phase.TRAINING, Usage(98.9, 900, 0, 0)) is None
    stop = waiting.exceeded(Phase.TRAINING, Usage(99.1, 500, 0, 0))
    assert stop is not None
    assert "cpu_seconds = 50" in stop.message
    assert waiting.meter.peak_memory_bytes == 600


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


def test_while_the_runner_itself_stood_still_no_clock_runs_but_cpu_seconds_count(
    watch: LimitWatch, clock: Clock
) -> None:
    watch.batch_sent()
    clock.now += 101
    watch.pardon(100)
    assert watch.exceeded(Phase.PREDICTING, Usage(1.0, 0, 0, 0)) is None

    stop = watch.exceeded(Phase.PREDICTING, Usage(51.0, 0, 0, 0))
    assert stop is not None
    assert "cpu_seconds = 50" in stop.message


def test_the_meter_tells_startup_wall_and_phases_apart(clock: Clock) -> None:
    meter = Meter(clock)
    clock.now += 3
    meter.guest_waits(Usage(2.0, 0, 0, 0))
    meter.enter(Phase.BUILDING, Usage(2.1, 0, 0, 0))
    clock.now += 5
    meter.enter(Phase.TRAINING, Usage(3.0, 0, 0, 0))
    meter.enter(Phase.PREDICTING, Usage(9.0, 0, 0, 0))
    meter.read(Usage(9.5, 0, 0, 0))

    assert (meter.startup_seconds, meter.wall_seconds) == (3, 5)
    assert meter.cpu_seconds == 7.5
    assert meter.cpu_seconds_in(Phase.TRAINING) == 6.0
    assert meter.cpu_seconds_in(Phase.PREDICTING) == 0.5
    assert meter.cpu_seconds_in(Phase.FINISHING) == 0.0


def test_gpu_memory_is_counted_above_what_the_gpu_held_before(clock: Clock) -> None:
    held = [300, 350, 900, 400, None]
    meter = Meter(clock)
    assert meter.peak_gpu_memory_bytes is None
    meter.look_at_gpu(lambda: held.pop(0))
    meter.guest_waits(IDLE)
    for _ in range(4):
        meter.read(IDLE)

    assert meter.peak_gpu_memory_bytes == 600
