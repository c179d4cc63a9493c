"""`deltanas baselines`: the reference networks that a search starts from."""

from typing import Annotated

import typer

from deltanas.cli.connection import connected
from deltanas.cli.output import JsonOption, cell, emit, print_source, result_console, table

app = typer.Typer(help="The reference networks that ship with deltanas.", no_args_is_help=True)


@app.command("list")
def list_baselines(as_json: JsonOption = False) -> None:
    """List the reference networks."""
    with connected(need_ready=False, quiet=as_json) as client:
        items = client.baselines()
    if as_json:
        emit({"items": items})
        return
    shown = table("name", "family", "contract", "description")
    for item in items:
        shown.add_row(*(cell(item.get(key) or "") for key in ("name", "family", "contract", "description")))
    result_console().print(shown)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of `deltanas baselines list`.")],
    as_json: JsonOption = False,
) -> None:
    """Print the source of a reference network."""
    with connected(need_ready=False, quiet=as_json) as client:
        baseline = client.baseline(name)
    if as_json:
        emit(baseline)
        return
    print_source(baseline["source"])
