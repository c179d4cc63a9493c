"""`deltanas backup` and `deltanas restore`: a state folder in one file, while its server runs, and back."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from deltanas.cli.output import JsonOption, emit, result_console, waiting
from deltanas.errors import PlatformFailed, RequestInvalid
from deltanas.home import Home, ServerRunning
from deltanas.services import environment_of

_BAD_USAGE = 2
_MIB = 1024 * 1024


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup to write, such as b.tar.gz.")],
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Leave the database out, as with PostgreSQL.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Save the database and what belongs to it in FILE. The server may run on."""
    with waiting("saving", as_json):
        saved = _maintain("save", file, *(["--files-only"] if files_only else []))
    _tell(saved, f"saved in {file}", as_json)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    as_json: JsonOption = False,
) -> None:
    """Fill an empty state folder (DELTANAS_HOME) from FILE. What was running goes on with `deltanas up`."""
    home = Home.locate()
    running = home.running_server()
    if running:
        raise ServerRunning(home, running)
    with waiting("restoring", as_json):
        saved = _maintain("restore", file)
    _tell(saved, f"restored to {home.path}", as_json)


def _maintain(verb: str, file: Path, *options: str) -> dict[str, Any]:
    """Have the gateway's own code do it. Raises RequestInvalid, PlatformFailed."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway.maintenance", verb, str(file.absolute()), *options],
        env=environment_of("gateway", Home.locate().path),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    try:
        told: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise PlatformFailed(f"`deltanas {verb}` broke off with exit code {done.returncode}") from None
    if done.returncode:
        kind = RequestInvalid if done.returncode == _BAD_USAGE else PlatformFailed
        raise kind(str(told.get("detail")), told)
    return told


def _tell(saved: dict[str, Any], sentence: str, as_json: bool) -> None:
    if as_json:
        emit(saved)
        return
    size = saved["size_bytes"] / _MIB
    result_console().print(f"{sentence}: {saved['files']} files, {size:.1f} MiB, of {saved['created_at']}")
