"""The picture of a study: each network a dot, what was recorded against what we measured; one SVG. Pure.

Both axes are logarithmic in the error rate, where most networks of an easy dataset would else be one spot.
"""

import math
from html import escape
from typing import Any

Json = dict[str, Any]

_SIDE, _LEFT, _TOP, _END = 520, 64, 16, 456
_LEAST_ERROR = 1e-4
_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#444}.grid{stroke:#e3e3e3}"
    ".equal{stroke:#999;stroke-dasharray:4 4}.dot{fill:#2166ac;fill-opacity:.65;stroke:#fff}"
)


def fidelity_figure(report: Json) -> str | None:
    """The SVG of a report; None where no network ran."""
    rows = [row for row in report["networks"] if row["accuracy"] is not None]
    if not rows:
        return None
    depths = [_depth(row[key]) for row in rows for key in ("accuracy", "recorded_accuracy")]
    low, high = min(depths) - 0.05, max(depths) + 0.05

    def x(accuracy: float) -> float:
        return round(_LEFT + (_depth(accuracy) - low) / (high - low) * (_END - _TOP), 1)

    def y(accuracy: float) -> float:
        return round(_END - (_depth(accuracy) - low) / (high - low) * (_END - _TOP), 1)

    right = _LEFT + _END - _TOP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIDE} {_SIDE}" role="img" '
        f'aria-label="Recorded and measured accuracy of {len(rows)} networks">',
        f'<style>{_STYLE}</style><rect width="{_SIDE}" height="{_SIDE}" fill="#fff"/>',
    ]
    for tick in _TICKS:
        if low <= _depth(tick) <= high:
            label = f"{100 * tick:g} %"
            lines += [
                f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="{_TOP}" y2="{_END}"/>'
                f'<text x="{x(tick)}" y="{_END + 20}" text-anchor="middle">{label}</text>',
                f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y(tick)}" y2="{y(tick)}"/>'
                f'<text x="{_LEFT - 8}" y="{y(tick) + 4}" text-anchor="end">{label}</text>',
            ]
    lines.append(f'<line class="equal" x1="{_LEFT}" y1="{_END}" x2="{right}" y2="{_TOP}"/>')
    lines += [
        f'<circle class="dot" cx="{x(row["recorded_accuracy"])}" cy="{y(row["accuracy"])}" r="4.5"><title>'
        f"{escape(row['name'])}: {100 * row['accuracy']:.2f} %, recorded "
        f"{100 * row['recorded_accuracy']:.2f} %</title></circle>"
        for row in rows
    ]
    across, along = (_LEFT + right) / 2, (_TOP + _END) / 2
    lines += [
        f'<text x="{across}" y="{_END + 44}" text-anchor="middle">recorded after one epoch</text>',
        f'<text transform="translate(14 {along}) rotate(-90)" text-anchor="middle">measured</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _depth(accuracy: float) -> float:
    """Powers of ten that the error rate lies below 1."""
    return -math.log10(max(1 - accuracy, _LEAST_ERROR))
