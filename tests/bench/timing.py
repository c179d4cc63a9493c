"""Compares ways of doing one thing in one run: each in turn, again and again, medians and their ratios."""

import statistics
import time
from collections.abc import Callable, Mapping


def compare(title: str, ways: Mapping[str, Callable[[], object]], rounds: int) -> None:
    """Print the median of each way in milliseconds, and its ratio to the first."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for run in ways.values():
        run()
    for _ in range(rounds):
        for name, run in ways.items():
            begin = time.perf_counter()
            run()
            taken[name].append(1000 * (time.perf_counter() - begin))
    reference = statistics.median(next(iter(taken.values())))
    print(f"\n{title} (median of {rounds}, in turn)")
    for name, values in taken.items():
        median = statistics.median(values)
        print(f"  {name:<44}{median:10.2f} ms  × {median / reference:.2f}   min {min(values):.2f}")
