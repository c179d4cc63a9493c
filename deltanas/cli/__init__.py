"""The command line. One file for each group of verbs; this one joins them and turns errors into exit codes.

Exit codes: 0 did it, 1 the candidate failed, 2 bad usage, 3 the platform failed, 130 interrupted.
"""

import contextlib
import sys
import traceback
from enum import IntEnum
from importlib.metadata import version
from typing import Annotated

import typer

from contracts.addresses import AddressInvalid
from deltanas.cli import (
    adapters,
    agent,
    attack,
    backup,
    baselines,
    datasets,
    delta,
    doctor,
    evaluate,
    fine_tune,
    keys,
    mcp,
    models,
    novelty,
    pairs,
    quotas,
    search,
    tasks,
    tenants,
    up,
    webhooks,
)
from deltanas.cli.output import complain, emit
from deltanas.errors import (
    Conflict,
    DeltanasError,
    NotAllowed,
    NotFound,
    RequestInvalid,
)
from deltanas.gpu_leases import GpusUnavailable
from deltanas.home import HomeUnusable, ServerRunning
from deltanas.server import ServerNotReady, ServerNotStarted
from deltanas.supervisor import BindRefused, PortUnavailable, ServiceFailed
from deltanas.worker_host import HostTaken

# Each line fits a terminal of 80 columns: the help prints them as they are.
_EPILOG = """\
First steps: `deltanas doctor`,
`deltanas datasets prepare fashion-mnist`, then
`deltanas evaluate --baseline plain-cnn --dataset fashion-mnist`.

A command uses the server of `deltanas up`, or starts one while it needs it.
State lives in DELTANAS_HOME.

Exit codes: 0 did it, 1 the candidate failed, 2 bad usage,
3 the platform failed."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"deltanas {version('deltanas')}")
        raise typer.Exit


app = typer.Typer(
    name="deltanas",
    help="Search for neural architectures with code deltas, and score every candidate safely.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _common(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Search for neural architectures with code deltas, and score every candidate safely."""


app.command()(doctor.doctor)
app.command()(attack.attack)
app.command()(up.up)
app.command()(agent.agent)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(evaluate.evaluate)
app.add_typer(delta.app, name="delta")
app.command()(novelty.novelty)
app.add_typer(search.app, name="search")
app.add_typer(datasets.app, name="datasets")
app.add_typer(baselines.app, name="baselines")
app.add_typer(pairs.app, name="pairs")
app.command()(fine_tune.fine_tune)
app.add_typer(adapters.app, name="adapters")
app.add_typer(models.app, name="models")
app.add_typer(tasks.app, name="task")
app.add_typer(keys.app, name="keys")
app.add_typer(tenants.app, name="tenants")
app.command()(quotas.quota)
app.command()(quotas.audit)
app.add_typer(webhooks.app, name="webhooks")
app.command()(mcp.mcp)


class ExitCode(IntEnum):
    """What the shell gets."""

    BAD_USAGE = 2
    PLATFORM_FAILED = 3
    INTERRUPTED = 130


_USERS_FAULT = (RequestInvalid, NotFound, NotAllowed, Conflict, BindRefused, AddressInvalid)
_PLATFORMS_FAULT = (
    DeltanasError,
    ServerNotStarted,
    ServerNotReady,
    ServerRunning,
    PortUnavailable,
    ServiceFailed,
    HomeUnusable,
    HostTaken,
    GpusUnavailable,
)


def main(arguments: list[str] | None = None) -> None:
    """Run a command. Always ends with SystemExit."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        app(args=words)
    except _USERS_FAULT as error:
        sys.exit(_explain(error, ExitCode.BAD_USAGE, "--json" in words))
    except _PLATFORMS_FAULT as error:
        sys.exit(_explain(error, ExitCode.PLATFORM_FAILED, "--json" in words))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except OSError as error:
        sys.exit(_explain(error, ExitCode.PLATFORM_FAILED, "--json" in words))
    except Exception as error:  # noqa: BLE001 - python's own exit code, 1, would blame the candidate
        traceback.print_exc()
        unforeseen = DeltanasError(f"deltanas itself failed: {type(error).__name__}: {error}")
        sys.exit(_explain(unforeseen, ExitCode.PLATFORM_FAILED, "--json" in words))


def _explain(error: Exception, code: ExitCode, as_json: bool) -> int:
    problem = error.problem if isinstance(error, DeltanasError) else {}
    # Standard output may be what failed.
    with contextlib.suppress(OSError):
        if as_json:
            emit(problem or {"code": type(error).__name__, "detail": str(error)})
    field, value = problem.get("field"), problem.get("value")
    sentence = str(error)
    if field and str(field) not in sentence:
        sentence = f"{field}: {sentence}"
    if field and value is not None and str(value) not in sentence:
        sentence += _quoted(value)
    remedy = "deltanas doctor" if isinstance(error, ServerNotReady) else problem.get("remedy")
    complain(sentence, remedy)
    for other in problem.get("errors") or []:
        place, message = str(other.get("field")), str(other.get("message"))
        within = place.startswith(f"{field}.") and message in sentence
        if not within and f"{place}: {message}" not in sentence:
            complain(f"{place}: {message}{_quoted(other.get('value'))}")
    return int(code)


def _quoted(value: object) -> str:
    shown = repr(value)
    return "" if value is None else f" (the value was {shown[:80]}{'…' if len(shown) > 80 else ''})"
