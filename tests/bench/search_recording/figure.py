"""A recorded search as one picture: accuracies, elites and their bound, diversity, by cycle. Pure; SVG."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

Json = dict[str, Any]
Point = tuple[float, float]

_WIDTH, _HEIGHT, _TOP, _BOTTOM = 1080, 360, 36, 280
_PANELS = ((56, 340), (412, 696), (768, 1052))
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#444}.title{font-weight:600}.grid{stroke:#e3e3e3}"
    ".dot{fill:#999;fill-opacity:.55}.line{fill:none;stroke-width:2}.whisker{stroke:#2166ac;stroke-opacity:.45}"
)
_BLUE, _RED, _ORANGE = "#2166ac", "#b2182b", "#e08214"


def search_figure(record: Json) -> str:
    """The SVG."""
    last = max(cycle["cycle"] for cycle in record["cycles"])
    panels = (
        _accuracies(record, _Panel(*_PANELS[0], last, *_spread(_scores(record)))),
        _elites(record, _Panel(*_PANELS[1], last, 0.0, 1.0)),
        _diversity(record, _Panel(*_PANELS[2], last, 0.0, 1.0)),
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Accuracies, elites and diversity of a search of {last} cycles"><style>{_STYLE}</style>'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>\n' + "\n".join(panels) + "\n</svg>\n"
    )


class _Panel:
    """One set of axes: cycles 0 to the last from left to right, values from low to high."""

    def __init__(self, left: float, right: float, last: int, low: float, high: float) -> None:
        self.left, self.right, self.last, self.low, self.high = left, right, last, low, high
        self.lines: list[str] = []

    def at(self, cycle: float, value: float) -> Point:
        across = self.left + 8 + cycle / max(self.last, 1) * (self.right - self.left - 16)
        return round(across, 1), _height(value, self.low, self.high)

    def frame(self, title: str) -> None:
        self.lines.append(f'<text class="title" x="{self.left}" y="{_TOP - 16}">{title}</text>')
        for fifth in range(6):
            value = self.low + fifth / 5 * (self.high - self.low)
            y = _height(value, self.low, self.high)
            self.lines.append(
                f'<line class="grid" x1="{self.left}" x2="{self.right}" y1="{y}" y2="{y}"/>'
                f'<text x="{self.left - 6}" y="{y + 4}" text-anchor="end">{100 * value:.3g} %</text>'
            )
        for cycle in range(0, self.last + 1, max(1, self.last // 6)):
            x, _ = self.at(cycle, self.low)
            self.lines.append(f'<text x="{x}" y="{_BOTTOM + 18}" text-anchor="middle">{cycle}</text>')

    def curve(
        self, points: Sequence[Point], colour: str, name: str, place: int, dashed: bool = False
    ) -> None:
        placed = " ".join(f"{x},{y}" for x, y in (self.at(*point) for point in points))
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self.lines.append(f'<polyline class="line" stroke="{colour}"{dashes} points="{placed}"/>')
        self.label(name, colour, place)

    def label(self, name: str, colour: str, place: int) -> None:
        self.lines.append(
            f'<text x="{self.left}" y="{_BOTTOM + 40 + 17 * place}" style="fill:{colour}">● {name}</text>'
        )

    def drawn(self) -> str:
        return "\n".join(self.lines)


def _accuracies(record: Json, panel: _Panel) -> str:
    panel.frame("Accuracies, selection half (worst at the edge)")
    means, best, so_far = [], [], 0.0
    for cycle in record["cycles"]:
        scores = [
            one["accuracy"]
            for one in record["candidates"]
            if one["cycle"] == cycle["cycle"] and one.get("plausible")
        ]
        for score in scores:
            x, y = panel.at(cycle["cycle"], max(score, panel.low))
            panel.lines.append(f'<circle class="dot" cx="{x}" cy="{y}" r="2.5"/>')
        if scores:
            so_far = max(so_far, *scores)
            means.append((float(cycle["cycle"]), max(fmean(scores), panel.low)))
        best.append((float(cycle["cycle"]), so_far))
    panel.curve(best, _RED, "best so far", 0)
    panel.curve(means, _BLUE, "mean of the cycle", 1)
    return panel.drawn()


def _elites(record: Json, panel: _Panel) -> str:
    panel.frame("Share as good as the best baseline")
    reading = next(one for one in record["readings"] if one["instrument"] == "elite_bound")
    points = reading["figures"].get("cycles", [])
    for one in points:
        (x, low), (_, high) = (panel.at(one["cycle"], end) for end in one["mass_interval"])
        panel.lines.append(f'<line class="whisker" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>')
    if points:
        panel.curve(_series(points, "mass"), _BLUE, "observed, with intervals that hold together", 0)
        panel.curve(_series(points, "bound"), _RED, "the paper's bound 1 − (1 − ρ₀)^t", 1, dashed=True)
    return panel.drawn()


def _diversity(record: Json, panel: _Panel) -> str:
    panel.frame("Diversity of proposals, by cycle")
    measured = [cycle for cycle in record["cycles"] if cycle["cycle"] > 0 and cycle["diversity"]]
    rates: tuple[tuple[str, str, Callable[[Json], float | None]], ...] = (
        ("mean Jaccard distance", _BLUE, lambda found: found["mean_distance"]),
        ("distinct graphs per traced source", _ORANGE, lambda found: found["unique_graph_rate"]),
        (
            "new to the filter",
            _RED,
            lambda found: found["new"] / found["sources"] if found["sources"] else None,
        ),
    )
    for place, (name, colour, rate) in enumerate(rates):
        pairs = [(float(cycle["cycle"]), rate(cycle["diversity"])) for cycle in measured]
        known = [(at, value) for at, value in pairs if value is not None]
        if known:
            panel.curve(known, colour, name, place)
    return panel.drawn()


def _series(points: Sequence[Json], name: str) -> list[Point]:
    return [(float(one["cycle"]), one[name]) for one in points]


def _scores(record: Json) -> list[float]:
    return [one["accuracy"] for one in record["candidates"] if one.get("plausible")]


def _spread(scores: Sequence[float]) -> tuple[float, float]:
    """From the tenth worst of a hundred up, so that a few failures do not press the others together."""
    ordered = sorted(scores)
    low, high = ordered[len(ordered) // 10], ordered[-1]
    room = max(high - low, 0.01) * 0.08
    return max(0.0, low - room), min(1.0, high + room)


def _height(value: float, low: float, high: float) -> float:
    return round(_BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP), 1)
