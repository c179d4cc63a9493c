"""The `options` of a mutation request, checked: operator weights and mutations per delta."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generator_svc.proposers.port import OptionsInvalid

MAX_MUTATIONS_PER_DELTA = 8
MAX_WEIGHT = 1e6


@dataclass(frozen=True)
class MutationOptions:
    """How often each operator is drawn, relative to the others, and how many mutations one delta joins."""

    weights: Mapping[str, float]
    fewest: int = 1
    most: int = 3


def read_options(options: Mapping[str, Any], defaults: Mapping[str, float]) -> MutationOptions:
    """`defaults` are the known operators with their weights. Raises OptionsInvalid."""
    unknown = sorted(str(key) for key in options if key not in {"weights", "mutations_per_delta"})
    if unknown:
        raise OptionsInvalid(
            f"options.{unknown[0][:60]}",
            f"unknown option {', '.join(name[:60] for name in unknown[:5])}",
            "Known options: weights, mutations_per_delta.",
        )
    fewest, most = _read_count(options.get("mutations_per_delta", (1, 3)))
    return MutationOptions(_read_weights(options.get("weights", {}), defaults), fewest, most)


def _read_weights(given: Any, defaults: Mapping[str, float]) -> dict[str, float]:
    known = ", ".join(defaults)
    if not isinstance(given, Mapping):
        raise OptionsInvalid(
            "options.weights", "must be an object of name: number", f"Known: {known}.", given
        )
    weights = dict(defaults)
    for name, weight in given.items():
        if name not in defaults:
            raise OptionsInvalid(
                f"options.weights.{str(name)[:60]}",
                f"unknown mutation {str(name)[:60]!r}",
                f"Known: {known}.",
            )
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= MAX_WEIGHT:
            raise OptionsInvalid(
                f"options.weights.{name}",
                f"must be a number from 0 to {MAX_WEIGHT:g}",
                "0 switches it off.",
                weight,
            )
        weights[name] = float(weight)
    if math.fsum(weights.values()) <= 0:
        raise OptionsInvalid("options.weights", "every mutation is switched off", "Leave one weight above 0.")
    return weights


def _read_count(given: Any) -> tuple[int, int]:
    field = "options.mutations_per_delta"
    remedy = f"Write [fewest, most] with 1 ≤ fewest ≤ most ≤ {MAX_MUTATIONS_PER_DELTA}."
    numbers = list(given) if isinstance(given, list | tuple) else []
    if len(numbers) != 2 or any(isinstance(n, bool) or not isinstance(n, int) for n in numbers):
        raise OptionsInvalid(field, "must be two whole numbers", remedy, given)
    fewest, most = numbers
    if not 1 <= fewest <= most <= MAX_MUTATIONS_PER_DELTA:
        raise OptionsInvalid(field, "is out of range", remedy, given)
    return fewest, most
