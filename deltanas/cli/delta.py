"""`deltanas delta apply`: does a delta fit its baseline, and what comes of it."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from deltanas.cli.connection import connected
from deltanas.cli.output import JsonOption, complain, emit, news_console, plain, print_source
from deltanas.cli.sources import read_text, write_text

app = typer.Typer(help="Deltas: unified diffs against a reference network.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `delta` a group although it has one verb so far."""


@app.command()
def apply(
    base: Annotated[
        str, typer.Argument(metavar="BASE", help="The baseline: a file, or the name of a reference network.")
    ],
    delta: Annotated[
        Path,
        typer.Argument(
            metavar="DELTA", help="The delta: a file with a unified diff; - reads standard input."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the resulting source there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Apply DELTA to BASE; print the resulting source, or say precisely why it does not fit."""
    text = read_text(delta)
    named: dict[str, Any] = (
        {"baseline_source": read_text(Path(base))} if os.path.exists(base) else {"baseline": base}
    )
    with connected(need_ready=False, quiet=as_json) as client:
        applied = client.apply_delta(text, **named)
    fits = applied["status"] == "applied"
    if fits and output is not None:
        write_text(output, applied["source"])
    if as_json:
        emit(applied)
    elif fits:
        _show(applied, output)
    else:
        complain(f"refused ({applied['reason']}): {applied['message']}")
        for hunk in applied["hunks"]:
            if hunk["message"] and hunk["message"] not in applied["message"]:
                news_console().print(plain(f"  hunk {hunk['number']}: {hunk['message']}"))
    raise typer.Exit(0 if fits else 1)


def _show(applied: dict[str, Any], output: Path | None) -> None:
    count, moved = len(applied["hunks"]), sum(hunk["status"] == "moved" for hunk in applied["hunks"])
    note = f", {moved} of them moved" if moved else ""
    news = f"applied {count} hunk{'' if count == 1 else 's'}{note}, confidence {applied['confidence']:.2f}"
    news_console().print(Text(news, style="dim"))
    if output is None:
        print_source(applied["source"])
