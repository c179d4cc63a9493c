"""`deltanas doctor`: what is missing on this machine, and the command that mends each thing."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import typer
from rich.text import Text

from contracts.jobs import BEING_PROVEN
from contracts.names import IsolationTier
from deltanas.cli.checks import Check, split_problem
from deltanas.cli.connection import connected
from deltanas.cli.machine_checks import NAMESPACES, machine_checks
from deltanas.cli.output import JsonOption, cell, emit, result_console, table
from deltanas.client import Client
from deltanas.errors import DeltanasError
from deltanas.home import Home
from deltanas.server import ServerNotStarted

_REPORT_SECONDS = 45.0
_SANDBOXES = "sandboxes, by their own probes"
_LOOK_IT_UP = "see docs/operating-sandboxes.md, `When the probe says no`"


def doctor(as_json: JsonOption = False) -> None:
    """Check this machine; start the services for a moment to see whether their sandboxes hold."""
    seen = list(machine_checks(Home.locate()))
    reported = _service_checks(as_json)
    checks = [*(_as_hint(check) if _some_tier_holds(reported) else check for check in seen), *reported]
    healthy = all(check.passed for check in checks if check.required)
    if as_json:
        emit({"healthy": healthy, "checks": [check.as_json() for check in checks]})
    else:
        _show(checks, healthy)
    raise typer.Exit(0 if healthy else 3)


def _some_tier_holds(checks: list[Check]) -> bool:
    return any(check.passed for check in checks if check.part == _SANDBOXES)


def _as_hint(check: Check) -> Check:
    """What only `namespaces` needs is not required where another tier holds."""
    return replace(check, required=False) if check.part == NAMESPACES else check


def _service_checks(quiet: bool) -> list[Check]:
    try:
        with connected(need_ready=False, quiet=quiet) as client:
            return [*_sandbox_checks(_reported(client)), *_dataset_checks(client.datasets())]
    except (DeltanasError, ServerNotStarted) as error:
        remedy = "mend what is named above, then: deltanas up"
        return [Check("services", False, str(error), remedy, part="services")]


def _reported(client: Client) -> dict[str, Any]:
    """The capabilities, as soon as an agent has reported and its runner has proven every sandbox."""
    give_up = time.monotonic() + _REPORT_SECONDS
    capabilities = client.capabilities()
    while not _is_proven(capabilities) and time.monotonic() < give_up:
        time.sleep(0.3)
        capabilities = client.capabilities()
    return capabilities


def _is_proven(capabilities: dict[str, Any]) -> bool:
    backends = _backends(capabilities)
    return bool(backends) and not any(BEING_PROVEN in str(one.get("problems")) for one in backends)


def _sandbox_checks(capabilities: dict[str, Any]) -> Iterator[Check]:
    """From /v1/capabilities: each tier by the word of its own probe, one check for each of its problems."""
    backends = _backends(capabilities)
    if not backends:
        remedy = "deltanas up, and look at logs/runner.log"
        yield Check("sandbox", False, "no runner has reported", remedy, part=_SANDBOXES)
    some_holds = any(backend["available"] for backend in backends)
    for backend in backends:
        name = f"sandbox {backend['name']}"
        if backend["available"]:
            held = "every limit and wall was tried and holds"
            yield Check(name, True, held, required=False, part=_SANDBOXES)
            continue
        for problem in backend.get("problems") or ["not available"]:
            found, remedy = split_problem(problem)
            yield Check(
                name,
                False,
                found + _unreadable(problem, backend),
                remedy or _LOOK_IT_UP,
                required=not some_holds,
                part=_SANDBOXES,
            )
    minimum = os.environ.get("DELTANAS_MINIMUM_TIER", "")
    if some_holds and minimum and not any(_reaches(backend, minimum) for backend in backends):
        remedy = f"mend {minimum} as named above, or lower DELTANAS_MINIMUM_TIER"
        yield Check("minimum tier", False, f"no tier reaches {minimum}", remedy, part="services")


def _unreadable(problem: str, backend: dict[str, Any]) -> str:
    """The folders that a problem about reading is about; the probe keeps them apart from it."""
    folders = (backend.get("details") or {}).get("unreadable", "[]")
    return f": {folders}" if "cannot read" in problem and folders != "[]" else ""


def _reaches(backend: dict[str, Any], minimum: str) -> bool:
    known = {tier.value: tier for tier in IsolationTier}
    tier = known.get(str(backend.get("tier")))
    return bool(
        backend["available"] and tier and minimum in known and tier.strength >= known[minimum].strength
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
        part="services",
    )


def _show(checks: list[Check], healthy: bool) -> None:
    shown = table("", "", "")
    shown.show_header = False
    part, name = "", ""
    for check in checks:
        if check.part != part:
            part = check.part
            shown.add_row("", Text(part, style="bold"))
        mark = ("✓", "green") if check.passed else (("✗", "bold red") if check.required else ("!", "yellow"))
        shown.add_row(Text(*mark), cell("" if check.name == name else check.name), cell(check.found))
        name = check.name
        if not check.passed and check.remedy:
            shown.add_row("", "", cell(f"→ {check.remedy}", "bold"))
    result_console().print(shown)
    verdict = (
        ("this machine is ready", "bold green") if healthy else ("this machine is not ready", "bold red")
    )
    result_console().print(Text(*verdict))
