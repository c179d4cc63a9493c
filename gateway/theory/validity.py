"""Valid rates of short and long answers under the Markov model (arXiv 2605.30103, result 4). Pure.

If each token goes wrong with the same probability whatever came before, an answer of L tokens is valid with
probability exp(-lambda L). Then V_full = V_delta^(L_full / L_delta). The model is fitted to one arm and
has to predict another; real errors depend on what came long before, and nothing here assumes that it fits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from gateway.theory.distributions import (
    CONFIDENCE,
    Interval,
    normal_quantile,
    root_of,
    share_interval,
)
from gateway.theory.reading import Estimate, Fit, Reading, percent

PAPER_DELTA_RATE = (0.753 + 0.721 + 0.666) / 3
"""Mean valid rate of deltas over three models (arXiv 2605.04903): 0.713."""
PAPER_FULL_RATE = 0.506
"""Valid rate of whole networks (arXiv 2601.02997), the same that arXiv 2605.30103 compares with."""
PAPER_PREDICTED_RATIO = 2.23
"""What arXiv 2605.30103 predicts for V_delta / V_full."""
PAPER_LENGTH_RATIOS = (4.0, 200 / 30)
"""Lines of a whole network over those of a delta: 200 and more to 30-50, 75-85 % fewer."""

_CLAIM = "V_full = V_delta^(L_full / L_delta): errors per token do not depend on what came before."
_CANNOT_TELL = (
    "A valid answer is one whose network ran; one that was turned away as a copy never ran and is left out. "
    "Length stands in for difficulty: long answers may be other answers, not more of the same, so a good "
    "prediction does not show that errors are independent. It says nothing of proposers without tokens."
)
_LEAST_ANSWERS = 10


@dataclass(frozen=True)
class Answer:
    """One answer of a proposer: its length in tokens, and whether a network that ran came of it."""

    length: float
    is_valid: bool


def predicted_rate(rate: float, length_ratio: float) -> float:
    """The valid rate of answers `length_ratio` times as long. Raises ValueError for a rate outside [0, 1]."""
    if not 0 <= rate <= 1 or length_ratio < 0:
        raise ValueError(f"rate {rate}, length ratio {length_ratio}")
    return float(rate**length_ratio)


def implied_length_ratio(delta_rate: float, full_rate: float) -> float:
    """The L_full / L_delta that two rates in (0, 1) would ask for."""
    return math.log(full_rate) / math.log(delta_rate)


def largest_ratio(full_rate: float) -> float:
    """Of V_delta / V_full: no rate is above 1."""
    return 1 / full_rate


def read_published_rates() -> Reading:
    """The papers' own figures against the model, and against arithmetic."""
    observed = PAPER_DELTA_RATE / PAPER_FULL_RATE
    largest = largest_ratio(PAPER_FULL_RATE)
    implied = implied_length_ratio(PAPER_DELTA_RATE, PAPER_FULL_RATE)
    by_length = [
        predicted_rate(PAPER_FULL_RATE, 1 / ratio) / PAPER_FULL_RATE for ratio in PAPER_LENGTH_RATIOS
    ]
    needed = PAPER_PREDICTED_RATIO * PAPER_FULL_RATE
    verdict = (
        f"A ratio of {PAPER_PREDICTED_RATIO} cannot be: with a full rate of {PAPER_FULL_RATE} it asks for a "
        f"delta rate of {needed:.2f}, and the largest possible ratio is {largest:.2f}. The observed "
        f"{observed:.2f} asks for whole networks {implied:.2f} times as long as deltas; by lines they are "
        f"{PAPER_LENGTH_RATIOS[0]:.1f} to {PAPER_LENGTH_RATIOS[1]:.1f} times as long, for which the model "
        f"predicts {by_length[0]:.2f} to {by_length[1]:.2f}. The direction fits, the size does not."
    )
    return Reading(
        "published_valid_rates",
        _CLAIM,
        Fit.FAILS,
        verdict,
        "The papers give no lengths in tokens, and count some failures of the platform as invalid.",
        predicted=Estimate(PAPER_PREDICTED_RATIO),
        observed=Estimate(observed),
        figures={"largest_ratio": largest, "implied_length_ratio": implied, "by_lines": by_length},
    )


def error_rate(answers: Sequence[Answer], confidence: float = CONFIDENCE) -> Estimate | None:
    """Lambda, the errors per token, by maximum likelihood with its likelihood interval.

    None where nothing bounds it: without answers of positive length, or with none that is valid.
    """
    used = [answer for answer in answers if answer.length > 0]
    if not any(answer.is_valid for answer in used):
        return None
    deviance = normal_quantile(0.5 + confidence / 2) ** 2
    high = 1 / min(answer.length for answer in used)
    while _log_likelihood(used, high) > _log_likelihood(used, high / 2) - deviance:
        high *= 2
    best = _best_rate(used, high)
    least = _log_likelihood(used, best) - deviance / 2
    low = 0.0 if best == 0 else root_of(lambda rate: _log_likelihood(used, rate) - least, 0.0, best)
    up = root_of(lambda rate: _log_likelihood(used, rate) - least, best, high)
    return Estimate(best, (low, up))


def predicted_share(rate: float, answers: Sequence[Answer]) -> float:
    """The share of answers of these lengths that are valid at `rate` errors per token."""
    return math.fsum(math.exp(-rate * answer.length) for answer in answers) / len(answers)


def read_validity(
    fitted: Sequence[Answer], held_out: Sequence[Answer], fitted_name: str, held_out_name: str
) -> Reading:
    """Fit the model to one arm and compare what it predicts for another, held-out one with what came.

    The two intervals are at 97.5 % each, so that data which the model made leave them both with at most 5 %.
    """
    if len(fitted) < _LEAST_ANSWERS or len(held_out) < _LEAST_ANSWERS:
        return _untold(
            f"it takes {_LEAST_ANSWERS} answers of known length in each arm; {fitted_name} has "
            f"{len(fitted)}, {held_out_name} {len(held_out)}."
        )
    each = 1 - (1 - CONFIDENCE) / 2
    rate = error_rate(fitted, each)
    if rate is None or rate.interval is None:
        return _untold(f"no answer of {fitted_name} is valid, which bounds nothing.")
    valid = sum(answer.is_valid for answer in held_out)
    observed = Estimate(valid / len(held_out), share_interval(valid, len(held_out), each))
    ends: Interval = (
        predicted_share(rate.interval[1], held_out),
        predicted_share(rate.interval[0], held_out),
    )
    predicted = Estimate(predicted_share(rate.value, held_out), ends)
    fit, verdict = _compared(predicted, observed, fitted_name, held_out_name)
    figures = {
        "fitted": fitted_name,
        "held_out": held_out_name,
        "errors_per_token": rate.value,
        "errors_per_token_interval": rate.interval,
        "mean_length_fitted": _mean_length(fitted),
        "mean_length_held_out": _mean_length(held_out),
    }
    return Reading("valid_rate", _CLAIM, fit, verdict, _CANNOT_TELL, predicted, observed, figures)


def split_by_length(answers: Sequence[Answer]) -> tuple[list[Answer], list[Answer]]:
    """The answers up to the median length, and the longer ones: two arms where a search has one."""
    middle = median([answer.length for answer in answers]) if answers else 0.0
    return (
        [answer for answer in answers if answer.length <= middle],
        [answer for answer in answers if answer.length > middle],
    )


def _compared(predicted: Estimate, observed: Estimate, fitted: str, held_out: str) -> tuple[Fit, str]:
    assert predicted.interval is not None
    assert observed.interval is not None
    told = (
        f"fitted to {fitted} it predicts {percent(predicted.value)} valid answers of {held_out}, "
        f"and {percent(observed.value)} came"
    )
    if predicted.interval[1] < observed.interval[0] or observed.interval[1] < predicted.interval[0]:
        side = "too few" if predicted.value < observed.value else "too many"
        return Fit.FAILS, f"The model does not fit: {told}; it expects {side}."
    return Fit.UNDECIDED, f"Not contradicted: {told}, which the uncertainty of both allows."


def _log_likelihood(answers: Sequence[Answer], rate: float) -> float:
    total = 0.0
    for answer in answers:
        if answer.is_valid:
            total -= rate * answer.length
        elif rate == 0:
            return -math.inf
        else:
            total += math.log(-math.expm1(-rate * answer.length))
    return total


def _best_rate(answers: Sequence[Answer], high: float) -> float:
    """Where the log-likelihood, which is concave, has slope zero."""
    if all(answer.is_valid for answer in answers):
        return 0.0

    def slope(rate: float) -> float:
        return math.fsum(
            -answer.length if answer.is_valid else answer.length / math.expm1(rate * answer.length)
            for answer in answers
            if answer.is_valid or rate * answer.length < 700
        )

    return root_of(slope, high * 1e-12, high)


def _mean_length(answers: Sequence[Answer]) -> float:
    return math.fsum(answer.length for answer in answers) / len(answers)


def _untold(why: str) -> Reading:
    return Reading("valid_rate", _CLAIM, Fit.UNTOLD, f"Cannot be told: {why}", _CANNOT_TELL)
