"""Scores shrunken towards the mean of all, by as much as their noise says: the lucky maximum undone. Pure.

Best linear unbiased prediction in the one-way model of `variance_components` (C. R. Henderson, Biometrics 31,
1975; G. K. Robinson, "That BLUP is a good thing", Statistical Science 6, 1991), which is the empirical Bayes
estimate of B. Efron and C. Morris (JASA 70, 1975) once variances are estimated:

    mean + lambda_i (mean of its runs - mean)
    lambda_i = n_i sigma^2_arch / (n_i sigma^2_arch + sigma^2_noise)

A candidate with one run is drawn in further than one with three, so that the best of many single runs does
not win by its luck. Variances are to come from all candidates, contenders and others; they are not made here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.theory.variance_components import VarianceComponents


@dataclass(frozen=True)
class Shrunken:
    """One architecture's estimate, in the units of the scores."""

    value: float
    deviation: float
    """Standard deviation of what it is off by, were the variances known."""


def population_mean(scores: Sequence[Sequence[float]], components: VarianceComponents) -> float:
    """The mean of architectures by generalised least squares. Raises ValueError where there is no score."""
    weights = [_weight(len(runs), components) for runs in scores]
    total = math.fsum(weights)
    if total <= 0:
        raise ValueError("a mean needs at least one score")
    means = [math.fsum(runs) / len(runs) if runs else 0.0 for runs in scores]
    return math.fsum(weight * mean for weight, mean in zip(weights, means, strict=True)) / total


def shrunken(runs: Sequence[float], mean: float, components: VarianceComponents) -> Shrunken:
    """The estimate of an architecture with these runs; without any it is the mean itself."""
    between = components.architecture
    spread = len(runs) * between + components.noise
    kept = len(runs) * between / spread if spread > 0 else 1.0
    own = math.fsum(runs) / len(runs) if runs else mean
    return Shrunken(mean + kept * (own - mean), math.sqrt(between * (1 - kept)))


def _weight(runs: int, components: VarianceComponents) -> float:
    """The inverse variance of an architecture's mean, up to a factor that all share."""
    if not runs:
        return 0.0
    return 1 / (components.architecture + components.noise / runs)
