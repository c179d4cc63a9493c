"""Sends a file of reference networks to the server and follows its import, with a bar on a terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

from deltanas.cli.output import complain, result_console, table, tell
from deltanas.cli.progress_bar import progress_bar
from deltanas.client import Client
from deltanas.errors import RequestInvalid

Json = dict[str, Any]

_CHUNK_BYTES = 1024 * 1024
_ENDED = frozenset({"succeeded", "failed"})
_WRONG_FILE = "wheel_"
"""Codes of failures that are the file's fault begin so."""


def import_file(client: Client, origin: str, file: Path, quiet: bool) -> Json:
    """Upload, then wait for the end of the import; gives it. Raises RequestInvalid without such a file."""
    if not file.is_file():
        raise RequestInvalid(
            f"there is no file {file}", {"code": "file_missing", "field": "wheel", "value": str(file)}
        )
    with progress_bar(quiet, own_count=True) as bar:
        sending = bar.add_task("sending", total=file.stat().st_size, count="")
        record = client.import_baselines(origin, _chunks(file, bar, sending))
        if not quiet:
            tell(f"import {record['id']} accepted: it goes on when this command ends")
        reading = bar.add_task("importing", total=None, count="")
        while record["state"] not in _ENDED:
            record = client.baseline_import(record["id"], wait=1)
            _show(bar, reading, record["progress"])
    return record


def show_import(record: Json) -> int:
    """Say how an import ended; gives the exit code."""
    progress, failure = record["progress"], record["failure"]
    if failure is not None:
        complain(f"the import failed: {failure['message']}", failure["remedy"])
        return 2 if failure["code"].startswith(_WRONG_FILE) else 3
    shown = table("networks", "", right=("",))
    shown.add_row("stored", f"{progress['stored']:,}")
    shown.add_row("unchanged", f"{progress['unchanged']:,}")
    for reason, networks in sorted(progress["refused"].items(), key=lambda found: -found[1]):
        shown.add_row(f"refused: {reason}", f"{networks:,}")
    result_console().print(shown)
    return 0


def _chunks(file: Path, bar: Progress, task: TaskID) -> Iterator[bytes]:
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            yield chunk
            bar.advance(task, len(chunk))


def _show(bar: Progress, task: TaskID, progress: Json) -> None:
    waiting = f", waiting: {progress['waiting_for']}" if progress["waiting_for"] else ""
    refused = sum(progress["refused"].values())
    bar.update(
        task,
        completed=progress["read"],
        total=progress["total"],
        count=f"{progress['read']:,} read, {refused:,} refused{waiting}",
    )
