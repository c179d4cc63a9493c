"""From an attempt's arrival to the candidate's first line: cold and out of the pool, on every backend here.

An honest little network is evaluated again and again; what counts is the `startup_seconds` that the runner
itself measures, checks and hand-over of the data included. What a waiting sandbox costs is what it holds.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from threading import Event

sys.path.insert(0, str(Path(__file__).parents[1] / "behaviour"))

from sandbox_harness import BACKENDS

from contracts.measurements import MIB, Limits
from sandbox_runner.python_environment import guest_spec
from sandbox_runner.sandboxes.port import SandboxBackend
from sandbox_runner.specimens.arena import Arena
from sandbox_runner.specimens.specimen import CONTROL
from sandbox_runner.starts import Starts

ROUNDS = {"cold": 7, "warm": 15}
WARM_SECONDS = 120.0


def startup_seconds(arena: Arena) -> float:
    """One honest evaluation; returns what it measured of its start."""
    outcome = arena.run(CONTROL, Event())
    assert outcome.measurement is not None, outcome.failure
    return outcome.measurement.startup_seconds


def wait_until_warm(starts: Starts) -> None:
    """Until a sandbox waits, fully imported."""
    deadline = time.monotonic() + WARM_SECONDS
    while not starts.waiting():
        assert time.monotonic() < deadline, "nothing became warm"
        time.sleep(0.02)


def waiting_bytes(backend: SandboxBackend) -> int:
    """What a sandbox holds whose guest waits for its job."""
    sandbox = backend.launch(guest_spec("bench-idle", Limits(), 1))
    try:
        deadline = time.monotonic() + WARM_SECONDS
        while sandbox.usage().cpu_seconds and time.monotonic() < deadline:
            before = sandbox.usage().cpu_seconds
            time.sleep(1.0)
            if sandbox.usage().cpu_seconds - before < 0.01:
                break
        return sandbox.usage().memory_bytes
    finally:
        sandbox.close()


def measure(backend: SandboxBackend) -> None:
    """Print one backend's rows."""
    medians = {}
    for way, rounds in ROUNDS.items():
        starts = Starts(backend, most_waiting=0 if way == "cold" else 1)
        taken = []
        folder = tempfile.TemporaryDirectory(prefix="bench-warm-")
        with folder, Arena(Path(folder.name), starts) as arena:
            for _ in range(rounds):
                if way == "warm":
                    wait_until_warm(starts)
                taken.append(1000 * startup_seconds(arena))
        starts.close()
        medians[way] = statistics.median(taken)
        print(
            f"  {backend.name:<14}{way:<6}p50 {medians[way]:9.1f} ms   max {max(taken):9.1f}"
            f"   cold × {medians[way] / medians['cold']:.3f}   ({rounds} starts)",
            flush=True,
        )
    print(f"  {backend.name:<14}waits with {waiting_bytes(backend) / MIB:.0f} MiB and no CPU")


def main() -> None:
    """All backends that hold on this machine; the others by name, with the reason."""
    print("\nfrom the attempt's arrival to the candidate's first line")
    for name, make in BACKENDS.items():
        backend = make()
        report = backend.probe()
        if report.available:
            measure(backend)
        else:
            print(f"  {name:<14}not measured: {'; '.join(report.problems)}")
        backend.close()


if __name__ == "__main__":
    main()
