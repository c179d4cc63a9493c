"""`deltanas tenants`: what the operator of a farm does about its tenants."""

import typer

from deltanas.cli import tenant_removal

app = typer.Typer(help="Tenants of this farm.", no_args_is_help=True)
app.command()(tenant_removal.delete)
