"""A recorded search as Markdown: what became of its proposals, its cycles, every instrument. Pure."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any

Json = dict[str, Any]


def tables(record: Json) -> str:
    """Three tables."""
    return (
        "\n\n".join((_ends(record["candidates"]), _course(record), _instruments(record["readings"]))) + "\n"
    )


def _ends(candidates: Sequence[Json]) -> str:
    counted = Counter(_end(one) for one in candidates if one["cycle"] > 0)
    rows = [f"| {name} | {count} |" for name, count in counted.most_common()]
    return "\n".join(["| proposals that were | |", "|---|---|", *rows])


def _end(one: Json) -> str:
    layer = one["copy_of"]["layer"] if "copy_of" in one else "the same program"
    words = {"judged": "trained and scored", "duplicate": f"copies ({layer})"}
    return words.get(one["state"], f"{one['state']}: {one.get('reason', 'no reason')}")


def _course(record: Json) -> str:
    rows = [
        "| cycle | proposals | scored | mean accuracy | best so far | new | other graphs | mean distance |",
        "|---|---|---|---|---|---|---|---|",
    ]
    best = max(one["accuracy"] for one in record["candidates"] if one["cycle"] == 0 and "accuracy" in one)
    for cycle in record["cycles"]:
        here = [one for one in record["candidates"] if one["cycle"] == cycle["cycle"]]
        scored = [one["accuracy"] for one in here if "accuracy" in one]
        best = max([best, *(one["accuracy"] for one in here if one.get("plausible"))])
        found = cycle["diversity"] or {}
        rows.append(
            f"| {cycle['cycle'] or 'baselines'} | {len(here)} | {len(scored)} | "
            f"{percent(fmean(scored) if scored else None)} | {percent(best)} | {found.get('new', '–')} | "
            f"{percent(found.get('unique_graph_rate'))} | {number(found.get('mean_distance'))} |"
        )
    return "\n".join(rows)


def _instruments(readings: Sequence[Json]) -> str:
    rows = ["| instrument | word | predicted | observed | in words |", "|---|---|---|---|---|"]
    rows += [
        f"| `{one['instrument']}` | {one['fit'].replace('_', ' ')} | {_estimate(one['predicted'])} | "
        f"{_estimate(one['observed'])} | {one['verdict']} |"
        for one in readings
    ]
    return "\n".join(rows)


def _estimate(estimate: Json | None) -> str:
    if estimate is None:
        return ""
    low_high = estimate["interval"]
    spread = "" if low_high is None else f" ({low_high[0]:.3f} to {low_high[1]:.3f})"
    return f"{estimate['value']:.3f}{spread}"


def percent(share: float | None) -> str:
    """`72.1 %`, or a dash."""
    return "–" if share is None else f"{100 * share:.1f} %"


def number(value: float | None) -> str:
    """Two digits, or a dash."""
    return "–" if value is None else f"{value:.2f}"
