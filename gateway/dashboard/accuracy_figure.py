"""The picture of accuracy by cycle: each candidate a dot, the best so far a line. Geometry only."""

from dataclasses import dataclass
from typing import Any

from gateway.dashboard.scales import Scale, scale_around, usual_floor
from gateway.dashboard.wording import accuracy, short_id, shortened

WIDTH, HEIGHT = 760, 316
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 740, 18, 282
_SPREAD = 0.36
"""Half the width, in columns, over which the dots of one cycle are spread."""
_CROWD = 150
"""More dots than this are drawn small and without their errors."""


@dataclass(frozen=True)
class Dot:
    """One measured candidate. `clipped` ones lie below the figure and are drawn on its floor."""

    x: float
    y: float
    kind: str
    clipped: bool
    error_top: float
    error_bottom: float
    title: str


@dataclass(frozen=True)
class AccuracyFigure:
    """Everything the template draws, in figure units."""

    dots: list[Dot]
    best_line: str
    best_end: tuple[float, float, str]
    y_ticks: list[tuple[float, str]]
    columns: list[tuple[float, str]]
    baseline_level: tuple[float, str] | None
    clipped: int
    crowded: bool
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = _RIGHT
    top: int = _TOP
    bottom: int = _BOTTOM


def accuracy_figure(candidates: list[dict[str, Any]], winner_id: str | None) -> AccuracyFigure | None:
    """The figure, or None when nothing has been measured."""
    measured = [c for c in candidates if c.get("accuracy") is not None]
    if not measured:
        return None
    cycles = max(c["cycle"] for c in measured)
    best_baseline = _best_baseline(measured)
    floor = min(
        usual_floor([c["accuracy"] for c in measured]), best_baseline["accuracy"] if best_baseline else 1
    )
    shown = [c["accuracy"] for c in measured if c["accuracy"] >= floor]
    y = scale_around(shown, _BOTTOM, _TOP, least_span=0.01)
    x = Scale(-0.5, cycles + 0.5, _LEFT, _RIGHT)
    slots = _columns(measured)
    dots = [_dot(c, x(cycle + offset), y, winner_id) for cycle, offset, c in slots]
    line, end = _best_so_far(slots, x, y)
    return AccuracyFigure(
        # Drawn last is seen best: ordinary candidates below, elites and the winner above.
        dots=sorted(dots, key=lambda dot: ("candidate", "baseline", "elite", "winner").index(dot.kind)),
        best_line=line,
        best_end=end,
        y_ticks=[(y(tick), f"{100 * tick:.4g} %") for tick in y.ticks()],
        columns=[(x(cycle), f"cycle {cycle}" if cycle else "baselines") for cycle in range(cycles + 1)],
        baseline_level=_level(best_baseline, y),
        clipped=sum(dot.clipped for dot in dots),
        crowded=len(dots) > _CROWD,
    )


def _columns(measured: list[dict[str, Any]]) -> list[tuple[int, float, dict[str, Any]]]:
    """Each candidate with its cycle and its sideways offset, in the order in which they were proposed."""
    ordered = sorted(measured, key=lambda c: (c["cycle"], c["slot"]))
    most: dict[int, int] = {}
    for candidate in ordered:
        most[candidate["cycle"]] = max(most.get(candidate["cycle"], 1), candidate["slot"])
    return [(c["cycle"], _SPREAD * (2 * c["slot"] / most[c["cycle"]] - 1), c) for c in ordered]


def _dot(candidate: dict[str, Any], x: float, y: Scale, winner_id: str | None) -> Dot:
    value, error = candidate["accuracy"], candidate.get("accuracy_standard_error") or 0.0
    what = candidate.get("summary") or candidate.get("name") or ""
    return Dot(
        x=x,
        y=y(value),
        kind=_kind(candidate, winner_id),
        clipped=value < y.low,
        error_top=y(value + error),
        error_bottom=y(value - error),
        title=f"{short_id(candidate)} {shortened(what, 80)}: {accuracy(value, error)}",
    )


def _kind(candidate: dict[str, Any], winner_id: str | None) -> str:
    if candidate["proposal_id"] == winner_id:
        return "winner"
    if candidate["cycle"] == 0:
        return "baseline"
    return "elite" if candidate.get("elite") else "candidate"


def _best_so_far(
    slots: list[tuple[int, float, dict[str, Any]]], x: Scale, y: Scale
) -> tuple[str, tuple[float, float, str]]:
    """A stair from the first candidate to the last, and where it ends."""
    best = slots[0][2]["accuracy"]
    path = [f"M{x(slots[0][0] + slots[0][1])},{y(best)}"]
    for cycle, offset, candidate in slots[1:]:
        if candidate["accuracy"] > best:
            best = candidate["accuracy"]
            path.append(f"H{x(cycle + offset)}V{y(best)}")
    path.append(f"H{_RIGHT}")
    return "".join(path), (_RIGHT, y(best), f"{100 * best:.2f} %")


def _best_baseline(measured: list[dict[str, Any]]) -> dict[str, Any] | None:
    return max((c for c in measured if c["cycle"] == 0), key=lambda c: c["accuracy"], default=None)


def _level(baseline: dict[str, Any] | None, y: Scale) -> tuple[float, str] | None:
    if baseline is None:
        return None
    return y(baseline["accuracy"]), f"best baseline, {shortened(baseline.get('name') or '', 30)}"
