"""`deltanas tenants`: what the operator of a farm does about its tenants."""

import typer

from deltanas.cli import quotas, tenant_removal

app = typer.Typer(help="Tenants of this farm.", no_args_is_help=True)
app.command("list")(quotas.list_tenants)
app.command("show")(quotas.show_tenant)
app.command("set-quota")(quotas.set_quota)
app.command()(tenant_removal.delete)
