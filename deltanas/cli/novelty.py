"""`deltanas novelty`: is an architecture new, and if not, what is it a copy of."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from deltanas.cli.connection import connected
from deltanas.cli.output import JsonOption, cell, emit, result_console, table
from deltanas.cli.sources import read_text

_LAYERS = {
    "exact": "it is the same program",
    "structure": "it computes the same",
    "jaccard": "most of its code is the same",
}
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def novelty(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A source; - reads standard input.")],
    search: Annotated[
        str | None, typer.Option(help="Compare with the candidates of this search; default: the baselines.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Jaccard similarity from which it counts as a copy.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether FILE is a new architecture."""
    options = {"scope": search, "threshold": threshold}
    with connected(need_ready=False, quiet=as_json) as client:
        answer = client.novelty(read_text(file), **{k: v for k, v in options.items() if v is not None})
    if as_json:
        emit(answer)
        return
    console = result_console()
    if answer["novel"]:
        console.print(Text("new", style="bold green"))
    else:
        console.print(Text(f"not new: {_LAYERS.get(answer['layer'], answer['layer'])}", style="bold yellow"))
    if answer["nearest"]:
        shown = table("nearest", "similarity", "", right=("similarity",))
        for neighbour in answer["nearest"]:
            shown.add_row(
                cell(neighbour["id"]), f"{neighbour['jaccard']:.3f}", cell(neighbour.get("label") or "")
            )
        console.print(shown)
    for line in answer["difference"]:
        console.print(cell(line, _COLOURS.get(line[:1], "")))
