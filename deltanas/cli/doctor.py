"""`deltanas doctor`: what is missing on this machine, and the command that mends each thing."""

import time
from collections.abc import Iterator
from typing import Any

import typer
from rich.text import Text

from deltanas.cli.connection import connected
from deltanas.cli.machine_checks import Check, machine_checks
from deltanas.cli.output import JsonOption, cell, emit, result_console, table
from deltanas.client import Client
from deltanas.errors import DeltanasError
from deltanas.home import Home
from deltanas.server import ServerNotStarted

_REPORT_SECONDS = 45.0


def doctor(as_json: JsonOption = False) -> None:
    """Check this machine; start the services for a moment to see whether their sandboxes hold."""
    checks = list(machine_checks(Home.locate()))
    checks += _service_checks(as_json)
    healthy = all(check.passed for check in checks if check.required)
    if as_json:
        emit({"healthy": healthy, "checks": [check.as_json() for check in checks]})
    else:
        _show(checks, healthy)
    raise typer.Exit(0 if healthy else 3)


def _service_checks(quiet: bool) -> list[Check]:
    try:
        with connected(need_ready=False, quiet=quiet) as client:
            return [*_sandbox_checks(_reported(client)), *_dataset_checks(client.datasets())]
    except (DeltanasError, ServerNotStarted) as error:
        return [Check("services", False, str(error), "mend what is named above, then: deltanas up")]


def _reported(client: Client) -> dict[str, Any]:
    """The capabilities, as soon as an agent has reported: its runner proves its sandboxes first."""
    give_up = time.monotonic() + _REPORT_SECONDS
    capabilities = client.capabilities()
    while not capabilities["agents"] and time.monotonic() < give_up:
        time.sleep(0.3)
        capabilities = client.capabilities()
    return capabilities


def _sandbox_checks(capabilities: dict[str, Any]) -> Iterator[Check]:
    """From /v1/capabilities: each backend by the word of its own probe."""
    backends = _backends(capabilities)
    if not backends:
        yield Check("sandbox", False, "no runner has reported", "deltanas up, and look at logs/runner.log")
    some_holds = any(backend["available"] for backend in backends)
    for backend in backends:
        problems = "; ".join(backend.get("problems") or [])
        found = (
            "every limit and wall was tried and holds"
            if backend["available"]
            else problems or "not available"
        )
        yield Check(
            f"sandbox {backend['name']}", backend["available"], found, problems, required=not some_holds
        )


def _backends(capabilities: dict[str, Any]) -> list[dict[str, Any]]:
    """Backends of all runners, each name once."""
    found: dict[str, dict[str, Any]] = {}
    for agent in capabilities["agents"]:
        for backend in agent["capabilities"]["backends"]:
            found.setdefault(backend["name"], backend)
    return list(found.values())


def _dataset_checks(datasets: list[dict[str, Any]]) -> Iterator[Check]:
    ready = [item["name"] for item in datasets if item["ready"]]
    yield Check(
        "datasets",
        bool(ready),
        ", ".join(ready) or "none is ready",
        "deltanas datasets prepare fashion-mnist",
        required=False,
    )


def _show(checks: list[Check], healthy: bool) -> None:
    shown = table("", "", "")
    shown.show_header = False
    for check in checks:
        mark = ("✓", "green") if check.passed else (("✗", "bold red") if check.required else ("!", "yellow"))
        shown.add_row(Text(*mark), cell(check.name), cell(check.found))
        if not check.passed and check.remedy not in {"", check.found}:
            shown.add_row("", "", cell(f"→ {check.remedy}", "bold"))
    result_console().print(shown)
    verdict = (
        ("this machine is ready", "bold green") if healthy else ("this machine is not ready", "bold red")
    )
    result_console().print(Text(*verdict))
