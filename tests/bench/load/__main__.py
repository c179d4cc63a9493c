"""What a gateway bears: durable submissions, a long queue, many listeners, and what dispatch adds.

On SQLite and PostgreSQL in one run, each with the settings that the product ships. `--quick` shows that it
works; figures come from the whole run on an otherwise idle machine, and the load is told with them.

    PYTHONPATH=tests/bench:tests/unit:tests/integration .venv/bin/python -m load --quick
"""

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from load import disk, dispatch_overhead, listeners, long_queue, open_loop
from load.deadline import Deadline
from load.loaded_gateway import databases, gateway_on

WHOLE = {"first_rate": 20.0, "step_seconds": 10.0, "most_steps": 40, "depth": 10_000, "listeners": 500,
         "alone": 200, "together": 500, "syncs": 500, "part_seconds": 600.0}  # fmt: skip
QUICK = {"first_rate": 5.0, "step_seconds": 2.0, "most_steps": 2, "depth": 300, "listeners": 30,
         "alone": 5, "together": 20, "syncs": 20, "part_seconds": 30.0}  # fmt: skip
PARTS = ("submissions", "queue", "listeners", "dispatch")


def main() -> None:
    """Measure, print, and write `--json`."""
    parser = argparse.ArgumentParser(prog="load", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of: " + ", ".join(PARTS))
    parser.add_argument("--databases", default=",".join(databases()))
    parser.add_argument("--json", type=Path, help="also write the figures there")
    chosen = parser.parse_args()
    sizes = QUICK if chosen.quick else WHOLE
    figures: dict[str, Any] = {"machine": _machine(), "sizes": sizes}
    with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
        figures["fdatasync"] = disk.measure(Path(folder), int(sizes["syncs"]))
    _tell("machine", figures["machine"])
    _tell("fdatasync of 4 KiB", figures["fdatasync"])
    for database in chosen.databases.split(","):
        figures[database] = _measured(database, chosen.parts.split(","), sizes)
    figures["load_at_the_end"] = os.getloadavg()
    figures["ratios"] = _ratios(figures)
    _tell("postgresql / sqlite", figures["ratios"])
    _tell("load at the end", {"1_5_15_minutes": figures["load_at_the_end"]})
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(figures, indent=1))


def _measured(database: str, parts: list[str], sizes: dict[str, float]) -> dict[str, Any]:
    """Each part on a gateway and a database of its own, and for so many seconds at the most."""
    found: dict[str, Any] = {}
    seconds = sizes["part_seconds"]
    if "submissions" in parts:
        with gateway_on(database) as gateway:
            ramp = open_loop.ramp(
                gateway,
                sizes["first_rate"],
                sizes["step_seconds"],
                int(sizes["most_steps"]),
                Deadline(seconds),
            )
        found["submissions"] = ramp.document()
        for step in ramp.steps:
            _tell(f"{database}: {step.rate:.0f} submissions/s", {
                "holds": step.holds, "accepted": f"{step.accepted} of {step.offered}",
                **({"refused": step.refused} if step.refused else {}),
                "p50_ms": round(1000 * step.p50, 1), "p99_ms": round(1000 * step.p99, 1),
                "gateway_cpu_ms_each": round(1000 * step.gateway_cpu_seconds / step.offered, 2),
            })  # fmt: skip
    if "queue" in parts:
        with gateway_on(database) as gateway:
            found["queue"] = long_queue.measure(gateway, int(sizes["depth"]), seconds)
        _tell(f"{database}: a long queue", found["queue"])
    if "listeners" in parts:
        with gateway_on(database) as gateway:
            found["listeners"] = listeners.measure(gateway, int(sizes["listeners"]), seconds)
        _tell(f"{database}: listeners", found["listeners"])
    if "dispatch" in parts:
        with gateway_on(database, slots=0) as gateway:
            found["dispatch"] = dispatch_overhead.measure(
                gateway, int(sizes["alone"]), int(sizes["together"]), seconds
            )
        _tell(f"{database}: dispatch with a runner that runs nothing", found["dispatch"])
    return found


_COMPARED = {
    "submissions/s that hold": ("submissions", "best", "rate"),
    "page of a long queue, p50": ("queue", "page", "p50_ms"),
    "cancellations/s": ("queue", "cancelled_per_second"),
    "listeners told, p99": ("listeners", "together", "p99_ms"),
    "dispatch of one, p50": ("dispatch", "alone", "p50_ms"),
}


def _ratios(figures: dict[str, Any]) -> dict[str, float]:
    """PostgreSQL's figures over SQLite's, of the same run."""
    found = {}
    for name, path in _COMPARED.items():
        ours, theirs = (_at(figures.get(database), path) for database in ("postgresql", "sqlite"))
        if ours and theirs:
            found[name] = round(ours / theirs, 2)
    return found


def _at(found: Any, path: tuple[str, ...]) -> float | None:
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _machine() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
        "python": platform.python_version(),
    }


def _tell(title: str, figures: dict[str, Any]) -> None:
    words = ", ".join(
        f"{name} ({', '.join(f'{key} {value}' for key, value in figure.items())})"
        if isinstance(figure, dict)
        else f"{name} {figure}"
        for name, figure in figures.items()
    )
    print(f"{title}: {words}", flush=True)


if __name__ == "__main__":
    main()
