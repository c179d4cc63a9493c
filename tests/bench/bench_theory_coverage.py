"""How often the intervals of proxy reliability hold what was planted, and how wide they are.

    .venv/bin/python tests/bench/bench_theory_coverage.py [--repeats 2000]

Scores of 50 architectures are drawn from the model itself: normal, one noise for all. So this shows that the
intervals are computed rightly, and nothing of how well the model fits real trainings.
"""

import argparse
import json
import math
import random
from collections.abc import Callable
from statistics import fmean, median
from typing import Any

from gateway.theory.proxy_reliability import reliability, spearman_of_pearson
from gateway.theory.variance_components import Replication

ARCHITECTURES = 50
CONTENDERS = 12
Scores = list[list[float]]


def random_replicates(icc: float, runs: tuple[int, ...], draws: random.Random) -> Scores:
    """Every architecture has the next number of runs."""
    found = []
    for place in range(ARCHITECTURES):
        effect, noise = draws.gauss(0, math.sqrt(icc)), math.sqrt(1 - icc)
        found.append([effect + draws.gauss(0, noise) for _ in range(runs[place % len(runs)])])
    return found


def contenders_among_all(icc: float, draws: random.Random) -> Scores:
    """One run each, and two more of the twelve that came out best."""
    noise = math.sqrt(1 - icc)
    effects = [draws.gauss(0, math.sqrt(icc)) for _ in range(ARCHITECTURES)]
    firsts = sorted(((effect + draws.gauss(0, noise), effect) for effect in effects), reverse=True)
    return [
        [first, *(effect + draws.gauss(0, noise) for _ in range(2 if place < CONTENDERS else 0))]
        for place, (first, effect) in enumerate(firsts)
    ]


DESIGNS: dict[str, tuple[Replication, Callable[[float, random.Random], Scores]]] = {
    "2 runs each": (Replication.RANDOM, lambda icc, draws: random_replicates(icc, (2,), draws)),
    "3 runs each": (Replication.RANDOM, lambda icc, draws: random_replicates(icc, (3,), draws)),
    "2 or 3 runs": (Replication.RANDOM, lambda icc, draws: random_replicates(icc, (2, 3), draws)),
    "12 contenders of 50": (Replication.CONTENDERS, contenders_among_all),
}


def measured(design: str, icc: float, repeats: int) -> dict[str, Any]:
    """Coverage and width of the interval of Spearman's correlation with the truth, and the mean ICC found."""
    replication, drawn = DESIGNS[design]
    truth, covered, widths, found = spearman_of_pearson(math.sqrt(icc)), 0, [], []
    for seed in range(repeats):
        result = reliability(drawn(icc, random.Random(f"{design} {icc} {seed}")), replication)
        assert result is not None
        assert result.spearman_to_truth.interval is not None
        low, high = result.spearman_to_truth.interval
        covered += low <= truth <= high
        widths.append(high - low)
        found.append(result.components.icc.value)
    return {
        "design": design,
        "icc": icc,
        "repeats": repeats,
        "coverage": covered / repeats,
        "median_width": median(widths),
        "mean_icc": fmean(found),
    }


def main() -> None:
    """Print the table as JSON lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=2000)
    asked = parser.parse_args()
    for design in DESIGNS:
        for icc in (0.1, 0.5, 0.9):
            print(json.dumps(measured(design, icc, asked.repeats)), flush=True)


if __name__ == "__main__":
    main()
