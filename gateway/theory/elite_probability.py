"""How likely an elite is, cycle by cycle (arXiv 2605.30103, result 3). Pure.

Three things that are easily taken for each other stand apart here. The paper's bound is
C_t >= 1 - (1 - rho_0)^t, read as it stands: C_t is the probability that a candidate of cycle t is elite. The
*mass* is that probability by itself, which need only not fall under rho_0. The *any-hit* curve
1 - (1 - rho_0)^N says when the first elite among N independent candidates turns up, learning or not.

Elite is an accuracy of at least gamma. Gamma comes from the baselines, before anything is proposed: a share
of the first candidates would make rho_0 that share whatever the search did.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.theory.distributions import CONFIDENCE, Interval, share_interval
from gateway.theory.reading import Estimate, Fit, Reading, percent

_CLAIM = "C_t >= 1 - (1 - rho_0)^t, with C_t the probability that a candidate of cycle t is elite."
_CANNOT_TELL = (
    "One search is one draw: whether a first elite came early says little of the curve. Accuracies are "
    "single runs with one seed, so some of the elites are lucky. A rise of the mass may come from better "
    "parents as well as from a proposer that learns. Gamma, the best of few baselines, is luck in part."
)


@dataclass(frozen=True)
class CycleHits:
    """Candidates of a cycle, and how many of them were elite. What did not run is no elite."""

    cycle: int
    candidates: int
    hits: int


@dataclass(frozen=True)
class ElitePoint:
    """One cycle, `t` cycles after the one that rho_0 was taken from."""

    cycle: int
    t: int
    bound: Estimate
    """Predicted: 1 - (1 - rho_0)^t."""
    mass: Estimate
    """Observed: the share of elites among the cycle's candidates; compare it with `bound` and with rho_0."""
    any_hit: Estimate
    """Predicted: that one of the candidates so far is elite, were they independent with rho_0."""
    has_hit: bool
    """Observed: whether one of them was."""


@dataclass(frozen=True)
class EliteCurves:
    """Rho_0 from the first cycle of proposals, and every later cycle beside it."""

    initial: Estimate
    points: tuple[ElitePoint, ...]


def elite_threshold(baseline_accuracies: Sequence[float]) -> float | None:
    """Gamma: the best baseline's accuracy. None without a baseline that ran."""
    return max(baseline_accuracies, default=None)


def count_hits(cycle: int, accuracies: Sequence[float | None], gamma: float) -> CycleHits:
    """A cycle's hits; None stands for a candidate that did not run."""
    hits = sum(accuracy is not None and accuracy >= gamma for accuracy in accuracies)
    return CycleHits(cycle, len(accuracies), hits)


def elite_curves(cycles: Sequence[CycleHits], confidence: float = CONFIDENCE) -> EliteCurves | None:
    """Predicted and observed, by cycle; None for fewer than two cycles with candidates.

    The first cycle gives rho_0 and is no test of it. All intervals hold at once: half of what is left of
    `confidence` goes to rho_0, the other half is shared by the cycles.
    """
    used = sorted((one for one in cycles if one.candidates), key=lambda one: one.cycle)
    if len(used) < 2:
        return None
    first, later = used[0], used[1:]
    spare = (1 - confidence) / 2
    initial = Estimate(first.hits / first.candidates, share_interval(first.hits, first.candidates, 1 - spare))
    points, candidates, has_hit = [], 0, False
    for one in later:
        t = one.cycle - first.cycle
        candidates += one.candidates
        has_hit = has_hit or one.hits > 0
        interval = share_interval(one.hits, one.candidates, 1 - spare / len(later))
        points.append(
            ElitePoint(
                cycle=one.cycle,
                t=t,
                bound=_at_least_once(initial, t),
                mass=Estimate(one.hits / one.candidates, interval),
                any_hit=_at_least_once(initial, candidates),
                has_hit=has_hit,
            )
        )
    return EliteCurves(initial, tuple(points))


def read_elite_probability(cycles: Sequence[CycleHits], gamma: float | None) -> list[Reading]:
    """The bound, the mass and the any-hit curve, each for itself."""
    curves = None if gamma is None else elite_curves(cycles)
    if curves is None or gamma is None:
        verdict = "Cannot be told: it takes a baseline that ran and two cycles with candidates."
        names = ("elite_bound", "elite_mass", "elite_any_hit")
        return [Reading(name, _CLAIM, Fit.UNTOLD, verdict, _CANNOT_TELL) for name in names]
    return [_read_bound(curves, gamma), _read_mass(curves, gamma), _read_any_hit(curves, gamma)]


def _read_bound(curves: EliteCurves, gamma: float) -> Reading:
    last = curves.points[-1]
    broken = [one for one in curves.points if _above(one.bound, one.mass)]
    if broken:
        worst = max(broken, key=lambda one: _ends(one.bound)[0] - _ends(one.mass)[1])
        fit = Fit.FAILS
        verdict = (
            f"The bound does not hold: in cycle {worst.cycle} at most {percent(_ends(worst.mass)[1])} of "
            f"candidates are elite, and it asks for at least {percent(_ends(worst.bound)[0])}."
        )
    elif all(_ends(one.mass)[0] >= _ends(one.bound)[1] for one in curves.points):
        fit, verdict = Fit.HOLDS, "The mass is above the bound in every cycle, beyond doubt."
    else:
        fit = Fit.UNDECIDED
        verdict = (
            f"Not contradicted: after {last.t} cycles {percent(last.mass.value)} of candidates are elite, "
            f"the bound asks for {percent(last.bound.value)}, and their intervals overlap."
        )
    return Reading(
        "elite_bound", _CLAIM, fit, verdict, _CANNOT_TELL, last.bound, last.mass, _figures(curves, gamma)
    )


def _read_mass(curves: EliteCurves, gamma: float) -> Reading:
    last = curves.points[-1]
    fallen = [one for one in curves.points if _above(curves.initial, one.mass)]
    if fallen:
        fit = Fit.FAILS
        verdict = f"The model does not fit: in cycle {fallen[0].cycle} elites are rarer than at the start."
    elif _above(last.mass, curves.initial):
        fit, verdict = (
            Fit.HOLDS,
            "Elites are more frequent in the last cycle than at first, beyond doubt.",
        )
    else:
        fit = Fit.UNDECIDED
        verdict = (
            f"Neither a rise nor a fall is shown: {percent(curves.initial.value)} of candidates were elite "
            f"at first, {percent(last.mass.value)} in the last cycle."
        )
    claim = "The probability that a candidate is elite is never below rho_0."
    return Reading(
        "elite_mass", claim, fit, verdict, _CANNOT_TELL, curves.initial, last.mass, {"gamma": gamma}
    )


def _read_any_hit(curves: EliteCurves, gamma: float) -> Reading:
    last = curves.points[-1]
    if not last.has_hit and _ends(last.any_hit)[0] >= CONFIDENCE:
        fit, verdict = (
            Fit.FAILS,
            "The model does not fit: no elite came where one was all but certain.",
        )
    else:
        found = "an elite was found" if last.has_hit else "none was found"
        fit = Fit.UNDECIDED
        verdict = f"Since the first cycle {found}; the chance of one was {percent(last.any_hit.value)}."
    claim = "Of N independent candidates at least one is elite with probability 1 - (1 - rho_0)^N."
    return Reading(
        "elite_any_hit",
        claim,
        fit,
        verdict,
        _CANNOT_TELL + " Candidates of one family are not independent.",
        last.any_hit,
        Estimate(float(last.has_hit)),
        {"gamma": gamma},
    )


def _at_least_once(chance: Estimate, tries: int) -> Estimate:
    low, high = _ends(chance)
    return Estimate(_once(chance.value, tries), (_once(low, tries), _once(high, tries)))


def _once(chance: float, tries: int) -> float:
    """1 - (1 - chance)^tries, without losing small chances to rounding."""
    if tries == 0:
        return 0.0
    return 1.0 if chance >= 1 else -math.expm1(tries * math.log1p(-chance))


def _above(one: Estimate, other: Estimate) -> bool:
    return _ends(one)[0] > _ends(other)[1]


def _ends(estimate: Estimate) -> Interval:
    return estimate.interval or (estimate.value, estimate.value)


def _figures(curves: EliteCurves, gamma: float) -> dict[str, Any]:
    return {
        "gamma": gamma,
        "rho_0": curves.initial.value,
        "rho_0_interval": curves.initial.interval,
        "cycles": [
            {
                "cycle": one.cycle,
                "t": one.t,
                "bound": one.bound.value,
                "bound_interval": one.bound.interval,
                "mass": one.mass.value,
                "mass_interval": one.mass.interval,
                "any_hit": one.any_hit.value,
                "any_hit_interval": one.any_hit.interval,
                "has_hit": one.has_hit,
            }
            for one in curves.points
        ],
    }
