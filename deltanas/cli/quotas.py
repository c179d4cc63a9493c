"""`deltanas quota`, `deltanas audit`, and `deltanas tenants list|show|set-quota`."""

from typing import Annotated, Any

import typer

from deltanas.cli.connection import connected
from deltanas.cli.output import JsonOption, cell, emit, result_console, table
from deltanas.errors import RequestInvalid

Json = dict[str, Any]
TenantArgument = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's name.")]
LIMITS = ("queued", "running", "gpu_seconds_per_day", "storage_bytes", "searches")
_DEFAULT = "default"

LimitOption = Annotated[str | None, typer.Option(help=f"A number, or `{_DEFAULT}` for the farm's.")]


def quota(as_json: JsonOption = False) -> None:
    """What your tenant may use, and uses now."""
    with connected(need_ready=False, quiet=as_json) as client:
        found = client.quota()
    _print(found, as_json)


def audit(
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many entries.")] = 50,
    tenant: Annotated[str | None, typer.Option(help="Of one tenant, for operators.")] = None,
    actor: Annotated[str | None, typer.Option(help="Of one key, key_…, or `local`.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What was done with API keys, newest first."""
    filters = {name: value for name, value in (("tenant", tenant), ("actor", actor)) if value is not None}
    with connected(need_ready=False, quiet=as_json) as client:
        found = client.audit(limit, **filters)
    if as_json:
        emit({"items": found})
        return
    shown = table("at", "tenant", "who", "did", "to", "status", "from", right=("status",))
    for entry in found:
        names = ("at", "tenant", "actor", "action", "target", "status", "address")
        shown.add_row(*(cell(str(entry[name])) for name in names))
    result_console().print(shown)


def list_tenants(as_json: JsonOption = False) -> None:
    """All tenants with what they use, of what they may."""
    with connected(need_ready=False, quiet=as_json) as client:
        found = client.tenants()
    if as_json:
        emit({"items": found})
        return
    shown = table("tenant", "weight", *(name.replace("_", " ") for name in LIMITS))
    for tenant in found:
        limits = [cell(_of(tenant[name])) for name in LIMITS]
        shown.add_row(cell(tenant["tenant"]), cell(f"{tenant['weight']:g}"), *limits)
    result_console().print(shown)


def show_tenant(tenant: TenantArgument, as_json: JsonOption = False) -> None:
    """One tenant."""
    with connected(need_ready=False, quiet=as_json) as client:
        found = client.tenant(tenant)
    _print(found, as_json)


def set_quota(
    tenant: TenantArgument,
    weight: LimitOption = None,
    queued: LimitOption = None,
    running: LimitOption = None,
    gpu_seconds_per_day: LimitOption = None,
    storage_bytes: LimitOption = None,
    searches: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what a tenant may use. What is not named stays as it is."""
    given = {
        "weight": weight,
        "queued": queued,
        "running": running,
        "gpu_seconds_per_day": gpu_seconds_per_day,
        "storage_bytes": storage_bytes,
        "searches": searches,
    }
    changes = {name: _number(name, text) for name, text in given.items() if text is not None}
    if not changes:
        raise RequestInvalid(
            "nothing is to be changed",
            {"code": "no_limits", "remedy": "Name a limit, such as --queued 1000 or --running default."},
        )
    with connected(need_ready=False, quiet=as_json) as client:
        found = client.set_quota(tenant, **changes)
    _print(found, as_json)


def _number(name: str, text: str) -> float | int | None:
    if text == _DEFAULT:
        return None
    try:
        return float(text) if name == "weight" else int(text)
    except ValueError:
        raise RequestInvalid(
            f"--{name.replace('_', '-')} is a number or `{_DEFAULT}`",
            {"code": "no_number", "field": name, "value": text, "remedy": f"Write --{name} 10, say."},
        ) from None


def _print(found: Json, as_json: bool) -> None:
    if as_json:
        emit(found)
        return
    shown = table("", "used", "limit", right=("used", "limit"), title=f"tenant {found['tenant']}")
    for name in LIMITS:
        used, limit = found[name]["used"], found[name]["limit"]
        shown.add_row(
            name.replace("_", " "),
            cell("–" if used is None else f"{used:,}"),
            cell("none" if limit is None else f"{limit:,}"),
        )
    shown.add_row("weight", cell(""), cell(f"{found['weight']:g}"))
    result_console().print(shown)


def _of(limit: Json) -> str:
    used = "–" if limit["used"] is None else f"{limit['used']:,}"
    return used if limit["limit"] is None else f"{used} of {limit['limit']:,}"
