"""How far a ranking by a short training can be trusted (arXiv 2605.30103, result 6). Pure.

rho_S = (6 / pi) arcsin(rho_P / 2) ties Spearman's to Pearson's correlation of two normal variables
(K. Pearson, 1907). Rho_P has two meanings, and both are given: of a noisy score with the noiseless one it is
sqrt(ICC), of two scores that are equally noisy it is ICC.

It is a ceiling, set by noise alone. Longer training adds an interaction of architecture and budget that
lowers the real correlation, and failures at chance are not normal. It holds over the whole population, not
among elites, where the spread that there is to find is smaller.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.theory.distributions import CONFIDENCE, difference_interval, normal_quantile
from gateway.theory.reading import Estimate, Fit, Reading, span
from gateway.theory.variance_components import Replication, VarianceComponents, variance_components

_CLAIM = "rho_S = (6 / pi) arcsin(rho_P / 2), so a ranking by proxy needs sigma^2_arch >> sigma^2_noise."
_CANNOT_TELL = (
    "It is a ceiling: how well short trainings rank long ones is told by training some for long, a random "
    "sample. It takes normal scores with one noise for all; failures at chance, and noise that differs from "
    "good to bad networks, break it. Noise of one common seed, and of the images scored on, is in neither."
)
_DRAWS = 20_000
_LEAST_PAIRS = 5


@dataclass(frozen=True)
class Reliability:
    """Of rankings by one run each, both meanings of rho_P."""

    components: VarianceComponents
    pearson_to_truth: Estimate
    """sqrt(ICC): a run against the noiseless score."""
    spearman_to_truth: Estimate
    pearson_between_runs: Estimate
    """ICC: a run against another of the same architecture."""
    spearman_between_runs: Estimate


@dataclass(frozen=True)
class CeilingGap:
    """The noise ceiling less the Spearman correlation that was measured, over one set of pairs."""

    pairs: int
    ceiling: Estimate
    measured: Estimate
    gap: Estimate


def spearman_of_pearson(rho: float) -> float:
    """Spearman's correlation of two normal variables with Pearson's `rho` in [-1, 1]."""
    return 6 / math.pi * math.asin(rho / 2)


def reliability(
    scores: Sequence[Sequence[float]], replication: Replication, confidence: float = CONFIDENCE
) -> Reliability | None:
    """From runs by architecture. None where the variances cannot be told apart."""
    components = variance_components(scores, replication, confidence)
    if components is None:
        return None
    between = components.icc
    to_truth = _mapped(between, math.sqrt)
    return Reliability(
        components=components,
        pearson_to_truth=to_truth,
        spearman_to_truth=_mapped(to_truth, spearman_of_pearson),
        pearson_between_runs=between,
        spearman_between_runs=_mapped(between, spearman_of_pearson),
    )


def measured_spearman(
    pairs: Sequence[tuple[float, float]], confidence: float = CONFIDENCE
) -> Estimate | None:
    """Spearman's correlation with its interval on Fisher's scale (Bonett and Wright, Psychometrika 65, 2000).

    None for fewer than five pairs, or where one of the two does not vary.
    """
    if len(pairs) < _LEAST_PAIRS:
        return None
    one, other = (_average_ranks(values) for values in zip(*pairs, strict=True))
    rho = _pearson(one, other)
    if rho is None:
        return None
    bounded = min(max(rho, -0.999999), 0.999999)
    spread = math.sqrt((1 + bounded**2 / 2) / (len(pairs) - 3))
    half = normal_quantile(0.5 + confidence / 2) * spread
    centre = math.atanh(bounded)
    return Estimate(rho, (min(rho, math.tanh(centre - half)), max(rho, math.tanh(centre + half))))


def ceiling_gap(ceiling: Estimate, pairs: Sequence[tuple[float, float]]) -> CeilingGap | None:
    """What noise cannot explain. `pairs` of proxy and long score are of a *random* sample of candidates."""
    measured = measured_spearman(pairs)
    if measured is None:
        return None
    interval = difference_interval(ceiling.value, _ends(ceiling), measured.value, _ends(measured))
    return CeilingGap(len(pairs), ceiling, measured, Estimate(ceiling.value - measured.value, interval))


def top_pairs(pairs: Sequence[tuple[float, float]], share: float) -> list[tuple[float, float]]:
    """The pairs whose proxy is in its top `share`: the elites of the sample."""
    count = max(1, round(share * len(pairs)))
    return sorted(pairs, key=lambda pair: -pair[0])[:count]


@lru_cache(maxsize=64)
def spearman_within_top(rho: float, share: float, seed: int = 0) -> float:
    """The Spearman correlation to expect within the proxy's top `share`, of normal variables with `rho`.

    By simulation with a fixed seed; its error is about 0.01.
    """
    draws = random.Random(seed)  # noqa: S311 - a statistic, not a secret
    rest = math.sqrt(1 - rho * rho)
    pairs = []
    for _ in range(_DRAWS):
        proxy = draws.gauss(0, 1)
        pairs.append((proxy, rho * proxy + rest * draws.gauss(0, 1)))
    kept = top_pairs(pairs, share)
    return _pearson(*(_average_ranks(values) for values in zip(*kept, strict=True))) or 0.0


def read_reliability(scores: Sequence[Sequence[float]], replication: Replication | None) -> Reading:
    """The instrument's word on runs by architecture; `replication` is None where nobody was trained twice."""
    found = None if replication is None else reliability(scores, replication)
    if found is None or replication is None:
        verdict = (
            "Cannot be told from this search: it takes at least three architectures, some of them trained "
            "again with other seeds, and nothing is said of noise by runs with one seed."
        )
        return Reading("proxy_reliability", _CLAIM, Fit.UNTOLD, verdict, _CANNOT_TELL)
    low, high = _ends(found.components.icc)
    if high < 0.5:
        fit, verdict = Fit.FAILS, "Noise outweighs the architectures: do not trust rankings by one run."
    elif low > 0.5:
        fit, verdict = Fit.HOLDS, "Architectures outweigh the noise of one run."
    else:
        fit, verdict = Fit.UNDECIDED, "Whether architectures outweigh the noise of one run is open."
    verdict += (
        f" ICC {found.components.icc.value:.2f} ({span((low, high), 2)}); noise alone limits Spearman to "
        f"{found.spearman_to_truth.value:.2f} against the truth and {found.spearman_between_runs.value:.2f} "
        f"between two runs. Of {found.components.architectures} architectures "
        f"{found.components.trained_again} were trained more than once."
    )
    return Reading(
        "proxy_reliability",
        _CLAIM,
        fit,
        verdict,
        _CANNOT_TELL,
        predicted=found.spearman_to_truth,
        figures=_figures(found, replication),
    )


def read_ceiling_gap(
    runs: Reliability | None,
    pairs: Sequence[tuple[float, float]],
    elite_share: float,
    *,
    is_longer: bool = True,
) -> list[Reading]:
    """Measured Spearman on a random audit sample beside the ceiling: over all, and within its elites.

    A longer training is compared with the ceiling towards the truth, another equally short one with that
    between two runs.
    """
    if runs is None:
        verdict = "Cannot be told: there is no ceiling to compare with."
        return [
            Reading(name, _CLAIM, Fit.UNTOLD, verdict, _CANNOT_TELL) for name in ("ceiling", "ceiling_elites")
        ]
    rho = runs.pearson_to_truth if is_longer else runs.pearson_between_runs
    within = _mapped(rho, lambda value: spearman_within_top(round(value, 3), elite_share))
    return [
        _read_gap("ceiling", "the whole sample", ceiling_gap(_mapped(rho, spearman_of_pearson), pairs)),
        _read_gap("ceiling_elites", "its elites", ceiling_gap(within, top_pairs(pairs, elite_share))),
    ]


def _read_gap(name: str, where: str, found: CeilingGap | None) -> Reading:
    claim = "The measured Spearman correlation of short and long trainings is the noise ceiling."
    if found is None:
        verdict = f"Cannot be told: {where} has fewer than {_LEAST_PAIRS} pairs, or scores that do not vary."
        return Reading(name, claim, Fit.UNTOLD, verdict, _CANNOT_TELL)
    interval = _ends(found.gap)
    told = (
        f"over {where} of {found.pairs} pairs Spearman is {found.measured.value:.2f} where noise allows "
        f"{found.ceiling.value:.2f}; gap {found.gap.value:.2f} ({span(interval, 2)})"
    )
    if interval[0] > 0:
        fit, verdict = Fit.FAILS, f"Noise does not explain it all: {told}."
    elif interval[1] < 0:
        fit, verdict = Fit.FAILS, f"The model does not fit, the ceiling is exceeded: {told}."
    else:
        fit, verdict = Fit.UNDECIDED, f"Not contradicted: {told}."
    return Reading(name, claim, fit, verdict, _CANNOT_TELL, found.ceiling, found.measured)


def _figures(found: Reliability, replication: Replication) -> dict[str, object]:
    components = found.components
    return {
        "architectures": components.architectures,
        "trained_again": components.trained_again,
        "runs": components.runs,
        "replication": replication.value,
        "variance_architecture": components.architecture,
        "variance_noise": components.noise,
        "icc": components.icc.value,
        "icc_interval": components.icc.interval,
        "pearson_to_truth": found.pearson_to_truth.value,
        "spearman_to_truth": found.spearman_to_truth.value,
        "spearman_between_runs": found.spearman_between_runs.value,
    }


def _mapped(estimate: Estimate, rising: Callable[[float], float]) -> Estimate:
    low, high = _ends(estimate)
    return Estimate(rising(estimate.value), (rising(low), rising(high)))


def _ends(estimate: Estimate) -> tuple[float, float]:
    return estimate.interval or (estimate.value, estimate.value)


def _average_ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value; equal ones share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for place in order[first : last + 1]:
            ranks[place] = (first + last) / 2
        first = last + 1
    return ranks


def _pearson(one: Sequence[float], other: Sequence[float]) -> float | None:
    """None where one of the two does not vary."""
    mean, mean_other = math.fsum(one) / len(one), math.fsum(other) / len(other)
    product = math.fsum((a - mean) * (b - mean_other) for a, b in zip(one, other, strict=True))
    spread = math.fsum((a - mean) ** 2 for a in one) * math.fsum((b - mean_other) ** 2 for b in other)
    return product / math.sqrt(spread) if spread > 0 else None
