"""How much of the spread of scores is between architectures, and how much is noise of retraining. Pure.

One-way random effects: score of run j of architecture i = mean + a_i + e_ij, with variances sigma^2_arch and
sigma^2_noise. The intraclass correlation is ICC = sigma^2_arch / (sigma^2_arch + sigma^2_noise).

Who was trained again matters. Architectures drawn at random: Wald's interval, exact under normality whatever
the numbers of runs (A. Wald, Annals of Mathematical Statistics 11, 1940). Contenders picked by their first
score: the likelihood over *all* architectures, those trained once included, for it does not see the picking
(D. B. Rubin, Biometrika 63, 1976); anything that looks at the contenders alone is biased.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.theory.distributions import CONFIDENCE, f_quantile, normal_quantile, root_of
from gateway.theory.reading import Estimate

_GRID = 50
_LARGEST_RATIO = 1e9
"""Of the variances; beyond it noise is none at all."""


class Replication(StrEnum):
    """How it was decided which architectures were trained more than once."""

    RANDOM = "random"
    """All of them, or some without regard to their scores."""
    CONTENDERS = "contenders"
    """Those with good first scores; the others must be among the groups, with their one score."""


@dataclass(frozen=True)
class VarianceComponents:
    """Variances are in squared units of the scores."""

    architectures: int
    trained_again: int
    """Architectures with more than one run: all that is known of noise comes from these."""
    runs: int
    architecture: float
    noise: float
    icc: Estimate


@dataclass(frozen=True)
class _Stratum:
    """All architectures with one number of runs."""

    runs: int
    architectures: int
    mean: float
    between: float
    """Sum of squares of the architectures' means around `mean`."""


@dataclass(frozen=True)
class _Groups:
    """All that the likelihood sees of the scores."""

    strata: tuple[_Stratum, ...]
    within: float
    """Sum of squares around the architectures' own means."""

    @property
    def architectures(self) -> int:
        return sum(one.architectures for one in self.strata)

    @property
    def runs(self) -> int:
        return sum(one.runs * one.architectures for one in self.strata)


def variance_components(
    scores: Sequence[Sequence[float]], replication: Replication, confidence: float = CONFIDENCE
) -> VarianceComponents | None:
    """Point estimates by restricted maximum likelihood; one sequence of scores for each architecture.

    None where nothing can be told: fewer than three architectures, none trained twice, or runs that do not
    differ at all.
    """
    groups = _grouped(scores)
    if groups.architectures < 3 or groups.runs == groups.architectures or groups.within <= 0:
        return None
    best = _most_likely(groups)
    if replication is Replication.RANDOM:
        low, high = _wald(groups, confidence)
    else:
        low, high = _likelihood_interval(groups, best, confidence)
    noise = _residual(groups, _ratio(best)) / (groups.runs - 1)
    return VarianceComponents(
        architectures=groups.architectures,
        trained_again=sum(one.architectures for one in groups.strata if one.runs > 1),
        runs=groups.runs,
        architecture=_ratio(best) * noise,
        noise=noise,
        icc=Estimate(best, (low, high)),
    )


def _grouped(scores: Sequence[Sequence[float]]) -> _Groups:
    within = 0.0
    means: dict[int, list[float]] = {}
    for values in scores:
        if values:
            mean = math.fsum(values) / len(values)
            means.setdefault(len(values), []).append(mean)
            within += math.fsum((value - mean) ** 2 for value in values)
    return _Groups(tuple(_stratum(runs, of_these) for runs, of_these in sorted(means.items())), within)


def _stratum(runs: int, means: Sequence[float]) -> _Stratum:
    centre = math.fsum(means) / len(means)
    return _Stratum(runs, len(means), centre, math.fsum((mean - centre) ** 2 for mean in means))


def _weights(groups: _Groups, ratio: float) -> list[float]:
    """Of one architecture of each stratum: the inverse variance of its mean, in units of sigma^2_noise."""
    return [one.runs / (1 + one.runs * ratio) for one in groups.strata]


def _between(groups: _Groups, ratio: float) -> float:
    """Weighted sum of squares of the means: chi-squared over sigma^2_noise when `ratio` is the true one."""
    weighed = list(zip(_weights(groups, ratio), groups.strata, strict=True))
    total = math.fsum(weight * one.architectures for weight, one in weighed)
    centre = math.fsum(weight * one.architectures * one.mean for weight, one in weighed) / total
    return math.fsum(
        weight * (one.between + one.architectures * (one.mean - centre) ** 2) for weight, one in weighed
    )


def _residual(groups: _Groups, ratio: float) -> float:
    return groups.within + _between(groups, ratio)


def _wald(groups: _Groups, confidence: float) -> tuple[float, float]:
    above, below = groups.architectures - 1, groups.runs - groups.architectures
    mean_square = groups.within / below
    tail = (1 - confidence) / 2

    def icc_at(probability: float) -> float:
        wanted = f_quantile(probability, above, below) * above * mean_square
        return _crossing(lambda icc: _between(groups, _ratio(icc)) - wanted)

    return icc_at(1 - tail), icc_at(tail)


def _crossing(falling: Callable[[float], float]) -> float:
    """Where a falling function of the ICC crosses zero; 0 where it is negative throughout."""
    return 0.0 if falling(0.0) <= 0 else root_of(falling, 0.0, 1.0)


def _likelihood_interval(groups: _Groups, best: float, confidence: float) -> tuple[float, float]:
    """Where twice the restricted log-likelihood is within chi-squared (1) of its peak."""
    least = _log_likelihood(groups, best) - normal_quantile(0.5 + confidence / 2) ** 2 / 2

    def spare(icc: float) -> float:
        return _log_likelihood(groups, icc) - least

    low = 0.0 if best == 0 or spare(0.0) >= 0 else root_of(spare, 0.0, best)
    return low, root_of(spare, best, 1.0)


def _log_likelihood(groups: _Groups, icc: float) -> float:
    """Restricted, with the mean and sigma^2_noise profiled out, up to a constant."""
    ratio = _ratio(icc)
    residual = _residual(groups, ratio)
    weighed = list(zip(_weights(groups, ratio), groups.strata, strict=True))
    spread = math.fsum(one.architectures * math.log1p(one.runs * ratio) for one in groups.strata)
    total = math.fsum(weight * one.architectures for weight, one in weighed)
    return -(spread + math.log(total) + (groups.runs - 1) * math.log(residual)) / 2


def _most_likely(groups: _Groups) -> float:
    """The ICC of the largest likelihood: the best of a grid, then golden sections around it."""
    places = [step / _GRID for step in range(_GRID)] + [1 - 0.1**power for power in range(3, 9)]
    best = max(range(len(places)), key=lambda place: _log_likelihood(groups, places[place]))
    low, high = places[max(best - 1, 0)], places[min(best + 1, len(places) - 1)]
    golden = (math.sqrt(5) - 1) / 2
    while high - low > 1e-9:
        one, other = high - golden * (high - low), low + golden * (high - low)
        if _log_likelihood(groups, one) >= _log_likelihood(groups, other):
            high = other
        else:
            low = one
    middle = (low + high) / 2
    return 0.0 if _log_likelihood(groups, 0.0) >= _log_likelihood(groups, middle) else middle


def _ratio(icc: float) -> float:
    return min(icc / (1 - icc), _LARGEST_RATIO) if icc < 1 else _LARGEST_RATIO
