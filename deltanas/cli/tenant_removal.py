"""`deltanas tenants delete`: a tenant, told first and removed for good when that is meant."""

from typing import Annotated

import typer

from deltanas.cli.connection import connected
from deltanas.cli.output import JsonOption, cell, emit, result_console, table, tell, waiting


def delete(
    tenant: Annotated[str, typer.Argument(metavar="NAME", help="The tenant.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it all, for good. Without it, only tell what would go.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove a tenant with all that it has: rows, keys, logs, files, adapters, data sets, indices."""
    with connected(need_ready=False, quiet=as_json) as client, waiting("removing", as_json or not yes):
        told = client.remove_tenant(tenant, dry_run=not yes)
    if as_json:
        emit(told)
        return
    if not told["rows"]:
        result_console().print(f"{tenant} has nothing here")
        return
    shown = table("of", "rows removed" if yes else "rows that would go", right=("rows",))
    for name, count in told["rows"].items():
        shown.add_row(cell(name.replace("_", " ")), f"{count:,}")
    result_console().print(shown)
    if not yes:
        tell(f"nothing was removed; `deltanas tenants delete {tenant} --yes` does it, and cannot be undone")
