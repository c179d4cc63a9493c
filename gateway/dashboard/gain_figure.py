"""The picture of the finals: the gain on each seed, their mean and its interval. Geometry only."""

from dataclasses import dataclass
from typing import Any

from gateway.dashboard.scales import scale_around
from gateway.dashboard.wording import percent, signed_points

WIDTH, HEIGHT = 560, 112


@dataclass(frozen=True)
class GainFigure:
    """Everything the template draws, in figure units."""

    zero: float
    mean: float
    interval: tuple[float, float] | None
    seeds: list[tuple[float, str]]
    ticks: list[tuple[float, str]]
    label: str
    width: int = WIDTH
    height: int = HEIGHT


def gain_figure(final: dict[str, Any] | None) -> GainFigure | None:
    """The figure, or None when there are no finals."""
    if not final or final.get("mean_gain") is None:
        return None
    pairs = [p for p in final["per_seed"] if None not in (p["winner_accuracy"], p["baseline_accuracy"])]
    gains = [pair["winner_accuracy"] - pair["baseline_accuracy"] for pair in pairs]
    interval = final.get("gain_interval")
    x = scale_around([0.0, final["mean_gain"], *gains, *(interval or [])], 14, WIDTH - 14, least_span=0.004)
    return GainFigure(
        zero=x(0.0),
        mean=x(final["mean_gain"]),
        interval=(x(interval[0]), x(interval[1])) if interval else None,
        seeds=[(x(gain), _seed_title(pair, gain)) for pair, gain in zip(pairs, gains, strict=True)],
        ticks=[(x(tick), _tick(tick)) for tick in x.ticks(6)],
        label=f"{signed_points(final['mean_gain'])} points",
    )


def _seed_title(pair: dict[str, Any], gain: float) -> str:
    return (
        f"seed {pair['seed']}: {percent(pair['winner_accuracy'])} against "
        f"{percent(pair['baseline_accuracy'])}, {signed_points(gain)} points"
    )


def _tick(value: float) -> str:
    return "0" if abs(value) < 1e-9 else f"{100 * value:+.4g}".replace("-", "−")
