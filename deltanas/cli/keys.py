"""`deltanas keys`: who may use a gateway, and for what."""

from typing import Annotated, Any

import typer

from deltanas.cli.connection import connected
from deltanas.cli.output import JsonOption, cell, emit, result_console, table, tell

app = typer.Typer(help="API keys: who may use a gateway, and for what.", no_args_is_help=True)

Json = dict[str, Any]
KeyArgument = Annotated[str, typer.Argument(metavar="ID", help="A key, key_…")]
DaysOption = Annotated[
    int | None, typer.Option("--expires-in-days", min=1, max=3650, help="End after so many days.")
]


@app.command()
def create(
    tenant: Annotated[
        str | None, typer.Option(help="Whose key; without it one's own tenant's. Others are an operator's.")
    ] = None,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, submit, search, admin, operator; several times. Default: the first three."),
    ] = None,
    expires_in_days: DaysOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, once: the gateway keeps a digest alone."""
    request: Json = {"label": label, "expires_in_days": expires_in_days}
    if tenant is not None:
        request["tenant"] = tenant
    if scope:
        request["scopes"] = scope
    with connected(need_ready=False, quiet=as_json) as client:
        made = client.create_key(**request)
    _print_new(made, as_json)


@app.command("list")
def list_keys(as_json: JsonOption = False) -> None:
    """Keys, newest first."""
    with connected(need_ready=False, quiet=as_json) as client:
        found = client.keys()
    if as_json:
        emit({"items": found})
        return
    shown = table("id", "tenant", "key", "label", "scopes", "in force", "expires", "last used")
    for key in found:
        shown.add_row(*_row(key))
    result_console().print(shown)


@app.command()
def show(key: KeyArgument, as_json: JsonOption = False) -> None:
    """One key."""
    with connected(need_ready=False, quiet=as_json) as client:
        found = client.key(key)
    _print(found, as_json)


@app.command()
def rotate(
    key: KeyArgument,
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=720, help="So long the old key goes on opening the door.")
    ] = 24.0,
    expires_in_days: DaysOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key with the same rights, and let the old one end after the overlap.

    Without --expires-in-days the new one is good for as long as the old one was made for.
    """
    with connected(need_ready=False, quiet=as_json) as client:
        made = client.rotate_key(key, overlap_hours, expires_in_days)
    _print_new(made, as_json)
    if not as_json:
        tell(f"{key} ends in {overlap_hours:g} hours at the latest")


@app.command()
def revoke(key: KeyArgument, as_json: JsonOption = False) -> None:
    """End a key at once."""
    with connected(need_ready=False, quiet=as_json) as client:
        found = client.revoke_key(key)
    if as_json:
        emit(found)
    else:
        tell(f"{found['id']}, {found['prefix']}…, opens nothing any more")


def _print_new(made: Json, as_json: bool) -> None:
    if as_json:
        emit(made)
        return
    # Alone on standard output, so that a script can take it as it is.
    typer.echo(made["key"])
    tell(f"{made['id']} of the tenant {made['tenant']}, for {', '.join(made['scopes'])}")
    tell("keep it: it is not shown again. Commands read it from DELTANAS_API_KEY")


def _print(key: Json, as_json: bool) -> None:
    if as_json:
        emit(key)
        return
    shown = table("", "")
    for name, value in key.items():
        text = ", ".join(value) if isinstance(value, list) else value
        shown.add_row(name.replace("_", " "), cell("–" if text is None else text))
    result_console().print(shown)


def _row(key: Json) -> list[Any]:
    return [
        cell(key["id"]),
        cell(key["tenant"]),
        cell(f"{key['prefix']}…"),
        cell(key["label"]),
        cell(" ".join(key["scopes"])),
        cell("yes", "green") if key["in_force"] else cell("no", "yellow"),
        cell(key["expires_at"] or "never"),
        cell(key["last_used_at"] or "never"),
    ]
