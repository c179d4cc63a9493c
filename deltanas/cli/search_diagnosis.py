"""What became of a search's deltas, as tables for people."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from deltanas.cli.output import cell, percent, table

Json = dict[str, Any]

_STATUSES = ("exact", "moved", "repaired", "refused")


def show_diagnosis(diagnostics: Json, console: Console) -> None:
    """Print proposals by cycle and proposer, refusals by code, hunks by status, repairs by kind."""
    if not diagnostics["proposals"]:
        console.print(Text("nothing has been proposed yet", style="yellow"))
        return
    _show_proposals(diagnostics, console)
    failures = _summed(diagnostics["delta_failures"], "code")
    _show_counts("why no candidate came of it", failures, console)
    hunks = _summed(diagnostics["hunks"], "status", "reason")
    _show_counts("hunks", dict(sorted(hunks.items(), key=lambda item: _order(item[0]))), console)
    _show_counts("repairs", _summed(diagnostics["repairs"], "kind"), console)


def _show_proposals(diagnostics: Json, console: Console) -> None:
    shown = table(
        "cycle",
        "proposer",
        "proposals",
        "applied",
        "share",
        "confidence",
        "most often refused as",
        right=("cycle", "proposals", "applied", "share", "confidence"),
    )
    for record in diagnostics["proposals"]:
        same = [
            failure
            for failure in diagnostics["delta_failures"]
            if (failure["cycle"], failure["proposer"]) == (record["cycle"], record["proposer"])
        ]
        worst = max(same, key=lambda failure: failure["count"], default=None)
        confidence = record["mean_confidence"]
        shown.add_row(
            cell(record["cycle"]),
            cell(record["proposer"] or "unknown"),
            cell(record["answered"]),
            cell(record["applied"]),
            cell(percent(record["applied"] / max(record["answered"], 1), 0)),
            cell("–" if confidence is None else f"{confidence:.2f}"),
            cell(f"{worst['code']} ({worst['count']})" if worst else "–"),
        )
    console.print(shown)


def _show_counts(title: str, counts: dict[str, int], console: Console) -> None:
    if not counts:
        return
    total = sum(counts.values())
    shown = table(title, "count", "share", right=("count", "share"))
    for name, count in counts.items():
        shown.add_row(cell(name), cell(count), cell(percent(count / total, 0)))
    console.print()
    console.print(shown)


def _summed(records: Iterable[Json], *keys: str) -> dict[str, int]:
    """Counts by the words of `keys`, the most frequent first."""
    total: Counter[str] = Counter()
    for record in records:
        total[": ".join(str(record[key]) for key in keys if record[key])] += record["count"]
    return dict(total.most_common())


def _order(name: str) -> int:
    status = name.partition(":")[0]
    return _STATUSES.index(status) if status in _STATUSES else len(_STATUSES)
