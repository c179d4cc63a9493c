"""The convergence theory against a search, and selection under other rules, as tables for people."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from deltanas.cli.connection import connected
from deltanas.cli.output import JsonOption, cell, emit, plain, result_console, table

Json = dict[str, Any]

_STYLES = {"holds": "green", "fails": "red", "undecided": "", "cannot_be_told": "dim"}
_NAMED = 3
"""Elites that a row names."""


def show_theory(readings: Sequence[Json], console: Console) -> None:
    """Print what each instrument says, and beneath what it cannot say."""
    shown = table("instrument", "fit", "predicted", "observed", "verdict")
    for reading in readings:
        shown.add_row(
            cell(_words(reading["instrument"])),
            cell(_words(reading["fit"]), style=_STYLES.get(reading["fit"], "")),
            cell(_estimate(reading["predicted"])),
            cell(_estimate(reading["observed"])),
            Text(plain(reading["verdict"])),
        )
    console.print()
    console.print(shown)
    console.print(Text("What each of them cannot tell: --json, or docs/theory.md.", style="dim"))


def what_if(
    search_id: Annotated[str, typer.Argument(metavar="ID", help="The id of a search, se_…")],
    elites: Annotated[int | None, typer.Option(min=1, max=200, help="Keep so many elites.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=20, help="Score by the mean of so many runs.")
    ] = None,
    novelty_threshold: Annotated[
        float | None, typer.Option(min=0.5, max=1, help="Turn away what is so like an earlier candidate.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Replay selection on what a search has measured, under other rules. Measures nothing anew."""
    asked = {"elites": elites, "seeds": seeds, "novelty_threshold": novelty_threshold}
    with connected(need_ready=False, quiet=as_json) as client:
        found = client.what_if(
            search_id, **{name: value for name, value in asked.items() if value is not None}
        )
    if as_json:
        emit(found)
    else:
        show_replay(found, result_console())


def filter_effect(
    pairs: Annotated[
        list[str],
        typer.Argument(
            metavar="WITH,WITHOUT...", help="Pairs of searches, alike but for a higher novelty.threshold."
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Compare pairs of searches with and without the novelty filter, one pair for each seed."""
    named = [_pair(text) for text in pairs]
    with connected(need_ready=False, quiet=as_json) as client:
        found = client.filter_effect(named)
    if as_json:
        emit(found)
    else:
        show_theory(found["readings"], result_console())


def _pair(text: str) -> tuple[str, str]:
    kept, comma, free = text.partition(",")
    if not (kept and comma and free) or "," in free:
        raise typer.BadParameter(f"{text!r} is no pair of ids with a comma between them, such as se_1,se_2")
    return kept, free


def show_replay(replay: Json, console: Console) -> None:
    """Print the elites of each cycle as they were and as they would have been."""
    numbers = ("others", "copies", "unscored")
    shown = table("cycle", "elites", "would have been", *numbers, right=("cycle", *numbers))
    for cycle in replay["cycles"]:
        strangers = set(cycle["replayed"]) ^ set(cycle["recorded"])
        shown.add_row(
            cell(cycle["cycle"]),
            cell(_places(cycle["recorded"])),
            cell(_places(cycle["replayed"]) if cycle["differs"] else "the same"),
            cell(len(strangers)),
            cell(len(cycle["copies"])),
            cell(len(cycle["unscored"])),
        )
    console.print(shown)
    console.print(Text(plain(replay["note"])))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _estimate(estimate: Json | None) -> str:
    if estimate is None:
        return "–"
    value = f"{estimate['value']:.3f}"
    if estimate["interval"] is None:
        return value
    low, high = estimate["interval"]
    return f"{value} ({low:.3f} to {high:.3f})"


def _places(proposal_ids: Sequence[str]) -> str:
    """`c001-s004, c000-s002 and 3 more`."""
    named = ", ".join(one.split("-", 1)[-1] for one in proposal_ids[:_NAMED])
    more = len(proposal_ids) - _NAMED
    return f"{named} and {more} more" if more > 0 else named or "none"
