"""From an attempt's arrival to the candidate's first line: cold, out of the pool, forked; on every tier.

An honest little network is evaluated again and again; what counts is the `startup_seconds` that the runner
itself measures, checks and hand-over of the data included. The last columns are what a waiting guest costs.

    python tests/bench/bench_warm_starts.py [namespaces | docker+runc | docker+runsc ...]
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Event

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parents[1] / "behaviour"))
# Before both, the packages: the folders of unit tests bear their names.
sys.path.insert(0, str(Path(__file__).parents[2]))

from sample_attempts import make_attempt
from sandbox_harness import BACKENDS

from contracts.measurements import MIB, Limits
from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.datasets.library import Library
from sandbox_runner.python_environment import environment_digest, guest_spec
from sandbox_runner.sandboxes.fork_server.backend import ForkingBackend
from sandbox_runner.sandboxes.port import SandboxBackend
from sandbox_runner.specimens import quadrants
from sandbox_runner.starts import Starts

COLD_ROUNDS, WARM_ROUNDS = 5, 15
WARM_SECONDS = 120.0
IDLE_SECONDS = 5.0
NUMBERS = count()


def startup_milliseconds(starts: Starts, home: Path) -> float:
    """One honest evaluation; returns what it measured of its start."""
    spec = make_attempt(f"at_bench_{next(NUMBERS)}", epochs=1)
    bench = Bench(starts, Library(home), environment_digest())
    outcome = run_attempt(spec, bench, Event(), lambda _: None)
    assert outcome.measurement is not None, outcome.failure
    return 1000 * outcome.measurement.startup_seconds


def until(condition: Callable[[], object]) -> None:
    """Wait for it. Raises AssertionError when it takes too long."""
    deadline = time.monotonic() + WARM_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "nothing became warm"
        time.sleep(0.02)


@dataclass(frozen=True)
class Waiting:
    """What a sandbox costs whose guest waits for its job."""

    mebibytes: float
    cpu_share: float
    """Of one core."""


def waiting_cost(backend: SandboxBackend) -> Waiting:
    """What the kernel charges to such a sandbox once its imports are over and its memory grows no more."""
    sandbox = backend.launch(guest_spec("bench-idle", Limits(), 1))
    try:
        until(lambda: sandbox.usage().memory_bytes > 0)
        before = -2 * MIB
        while sandbox.usage().memory_bytes - before > MIB:
            before = sandbox.usage().memory_bytes
            time.sleep(2)
        spent = sandbox.usage().cpu_seconds
        time.sleep(IDLE_SECONDS)
        used = sandbox.usage()
        return Waiting(used.memory_bytes / MIB, (used.cpu_seconds - spent) / IDLE_SECONDS)
    finally:
        sandbox.close()


@contextmanager
def forking(folder: Path) -> Iterator[ForkingBackend]:
    """The backend of a runner that is root, once its fork server is proved."""
    backend = ForkingBackend(folder)
    try:
        assert backend.wait_until_forking(WARM_SECONDS), backend.why_cold()
        yield backend
    finally:
        backend.close()


def row(name: str, way: str, taken: list[float], cold: float | None, idle: Waiting) -> float:
    """Print one line; returns its median."""
    median = statistics.median(taken)
    ratio = f"cold × {median / cold:.3f}" if cold else ""
    print(
        f"  {name:<14}{way:<8}p50 {median:8.1f} ms   max {max(taken):8.1f}   {ratio:<14}"
        f" {idle.mebibytes:5.0f} MiB  {idle.cpu_share:5.1%} CPU   ({len(taken)} starts)",
        flush=True,
    )
    return median


def measure(name: str, backend: SandboxBackend, home: Path) -> None:
    """Print one backend's rows."""
    idle = waiting_cost(backend)
    starts = Starts(backend, most_waiting=0)
    cold = row(name, "cold", [startup_milliseconds(starts, home) for _ in range(COLD_ROUNDS)], None, idle)
    starts = Starts(backend, most_waiting=1)
    taken = []
    for _ in range(WARM_ROUNDS):
        starts.expect(guest_spec("bench", Limits(), 1))
        until(starts.waiting)
        taken.append(startup_milliseconds(starts, home))
    starts.close()
    row(name, "waited", taken, cold, idle)
    if name == "namespaces":
        with forking(home / "forks") as forks:
            starts = Starts(forks, most_waiting=0)
            taken = [startup_milliseconds(starts, home) for _ in range(2 * WARM_ROUNDS)]
            row(name, "forked", taken, cold, waiting_cost(forks))


def main() -> None:
    """All backends that hold on this machine, or those named; the others by name, with the reason."""
    named = sys.argv[1:] or list(BACKENDS)
    print("\nfrom the attempt's arrival to the candidate's first line; what a waiting guest costs")
    with tempfile.TemporaryDirectory(prefix="bench-warm-") as folder:
        quadrants.write_quadrants(Path(folder))
        for name in named:
            backend = BACKENDS[name]()
            report = backend.probe()
            if report.available:
                measure(name, backend, Path(folder))
            else:
                print(f"  {name:<14}not measured: {'; '.join(report.problems)}")
            backend.close()


if __name__ == "__main__":
    main()
