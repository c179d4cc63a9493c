"""One picture of a study: valid shares with intervals, and the best accuracy so far by cycle. Pure; SVG."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Json = dict[str, Any]

_WIDTH, _HEIGHT, _TOP, _BOTTOM = 860, 380, 30, 300
_PANELS = ((60, 400), (490, 840))
_COLOURS = ("#2166ac", "#b2182b", "#4d4d4d", "#e08214")
_SHARE_WORDS = {
    "delta_before": ("delta", "before"),
    "delta_after": ("delta", "after"),
    "source_before": ("source", "before"),
    "source_after": ("source", "after"),
}
_ARM_WORDS = {
    "fine_tuning": "fine-tuning",
    "feedback_memory": "feedback memory",
    "mutation": "mutation",
    "best_of_n": "best of N",
}
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#444}.title{font-weight:600}.grid{stroke:#e3e3e3}"
    ".bar{fill:#2166ac;fill-opacity:.75}.whisker{stroke:#222;stroke-width:1.5}"
    ".line{fill:none;stroke-width:2}"
)


def study_figure(model: str, summaries: Mapping[str, Json]) -> str | None:
    """None where neither shares nor searches were measured."""
    panels = []
    if "a" in summaries:
        panels.append(_shares(summaries["a"]["arms"], *_PANELS[0]))
    if "b" in summaries:
        panels.append(_searches(summaries["b"]["arms"], *_PANELS[1]))
    if not any(panels):
        return None
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Valid share and best accuracy of {escape(model, quote=True)}"><style>{_STYLE}</style>'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>\n' + "\n".join(panels) + "\n</svg>\n"
    )


def _shares(arms: Mapping[str, Json], left: float, right: float) -> str:
    lines = [_title("Valid share, 95 % interval", left), *_grid(0.0, 1.0, left, right)]
    width = (right - left) / max(len(arms), 1)
    for place, (name, arm) in enumerate(arms.items()):
        middle = round(left + (place + 0.5) * width, 1)
        for row, word in enumerate((*_SHARE_WORDS[name], f"n = {arm['valid']['of']}")):
            lines.append(_text(middle, _BOTTOM + 18 + 16 * row, word))
        if arm["valid"]["share"] is None:
            continue
        top = _height(arm["valid"]["share"], 0.0, 1.0)
        low, high = (_height(bound, 0.0, 1.0) for bound in arm["valid"]["interval"])
        lines.append(
            f'<rect class="bar" x="{middle - 22}" y="{top}" width="44" height="{round(_BOTTOM - top, 1)}"/>'
            f'<line class="whisker" x1="{middle}" x2="{middle}" y1="{low}" y2="{high}"/>'
        )
    return "\n".join(lines)


def _searches(arms: Mapping[str, Json], left: float, right: float) -> str:
    series = {
        name: [(cycle["cycle"], cycle["best_so_far"]["mean"]) for cycle in arm["cycles"]]
        for name, arm in arms.items()
    }
    known = [value for points in series.values() for _, value in points if value is not None]
    lines = [_title("Best accuracy so far by cycle, mean over seeds", left)]
    if not known:
        return "\n".join(lines)
    spread = max(max(known) - min(known), 0.01)
    low, high = max(0.0, min(known) - 0.1 * spread), min(1.0, max(known) + 0.1 * spread)
    lines += _grid(low, high, left, right)
    last = max(cycle for points in series.values() for cycle, _ in points)

    def x(cycle: int) -> float:
        return round(left + 20 + (cycle - 1) / max(last - 1, 1) * (right - left - 40), 1)

    lines += [_text(x(cycle), _BOTTOM + 18, str(cycle)) for cycle in range(1, last + 1)]
    for place, (name, points) in enumerate(series.items()):
        lines += _curve(
            name, place, [(x(at), _height(value, low, high)) for at, value in points if value is not None]
        )
        lines.append(
            f'<text x="{left + 175 * (place % 2)}" y="{_BOTTOM + 42 + 18 * (place // 2)}" '
            f'style="fill:{_COLOURS[place]}">● {_ARM_WORDS[name]}</text>'
        )
    return "\n".join(lines)


def _curve(name: str, place: int, points: Sequence[tuple[float, float]]) -> list[str]:
    joined = " ".join(f"{x},{y}" for x, y in points)
    colour = _COLOURS[place]
    return [
        f'<polyline class="line" stroke="{colour}" points="{joined}"/>',
        *(
            f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"><title>{_ARM_WORDS[name]}</title></circle>'
            for x, y in points
        ),
    ]


def _grid(low: float, high: float, left: float, right: float) -> list[str]:
    lines = []
    for fifth in range(6):
        value = low + fifth / 5 * (high - low)
        y = _height(value, low, high)
        lines.append(
            f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
            f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{100 * value:.4g} %</text>'
        )
    return lines


def _height(value: float, low: float, high: float) -> float:
    return round(_BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP), 1)


def _title(text: str, left: float) -> str:
    return f'<text class="title" x="{left}" y="{_TOP - 12}">{text}</text>'


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="middle">{escape(text)}</text>'
