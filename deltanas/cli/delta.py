"""`deltanas delta apply`: does a delta fit its baseline, and what comes of it."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from deltanas.cli.connection import connected
from deltanas.cli.output import JsonOption, cell, complain, emit, news_console, print_source, table, tell
from deltanas.cli.sources import read_text, write_text

app = typer.Typer(help="Deltas: unified diffs against a reference network.", no_args_is_help=True)

Json = dict[str, Any]

_SHOWN_HUNKS = 20
_STYLES = {"exact": "green", "moved": "green", "repaired": "yellow", "refused": "red"}


@app.callback()
def _group() -> None:
    """Keep `delta` a group although it has one verb so far."""


@app.command()
def apply(
    base: Annotated[
        str, typer.Argument(metavar="BASE", help="The baseline: a file, or the name of a reference network.")
    ],
    delta: Annotated[
        Path,
        typer.Argument(
            metavar="DELTA", help="The delta: a file with a unified diff; - reads standard input."
        ),
    ],
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="REGION", help="It may change nothing else; see above. Repeatable."),
    ] = None,
    never: Annotated[
        list[str] | None,
        typer.Option("--never", metavar="REGION", help="It must not change this. Repeatable."),
    ] = None,
    repair_prompt: Annotated[
        bool,
        typer.Option("--repair-prompt", help="Of a refused delta, print what to say to the model."),
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the resulting source there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Apply DELTA to BASE; print the resulting source, or say precisely why it does not fit.

    A REGION is `imports`, `module` (other top-level statements), a method of `Net`,
    a top-level function or class, or CLASS.METHOD.
    """
    text = read_text(delta)
    asked: Json = {"baseline_source": read_text(Path(base))} if os.path.exists(base) else {"baseline": base}
    if only or never:
        asked["edits"] = {"only": only or [], "never": never or []}
    with connected(need_ready=False, quiet=as_json) as client:
        applied = client.apply_delta(text, **asked)
    fits = applied["status"] == "applied"
    if fits and output is not None:
        write_text(output, applied["source"])
    if as_json:
        emit(applied)
    elif fits:
        _show_applied(applied, output)
    else:
        _show_refused(applied, repair_prompt)
    raise typer.Exit(0 if fits else 1)


def _show_applied(applied: Json, output: Path | None) -> None:
    hunks = applied["hunks"]
    counts = {status: sum(hunk["status"] == status for hunk in hunks) for status in ("moved", "repaired")}
    notes = "".join(f", {count} of them {status}" for status, count in counts.items() if count)
    count = f"{len(hunks)} hunk{'' if len(hunks) == 1 else 's'}"
    tell(f"applied {count}{notes}, confidence {applied['confidence']:.2f}")
    _show_hunks([hunk for hunk in hunks if hunk["status"] != "exact"])
    if output is None:
        print_source(applied["source"])


def _show_refused(applied: Json, with_prompt: bool) -> None:
    prompt = applied.get("repair_prompt")
    complain(f"refused ({applied['reason']}): {applied['message']}")
    _show_hunks(applied["hunks"], said=applied["message"])
    if with_prompt and prompt:
        print_source(prompt)
    elif prompt:
        tell("--repair-prompt prints what to say to the model that wrote the delta")


def _show_hunks(hunks: list[Json], said: str = "") -> None:
    """A row for each hunk, the refused ones where there are too many. What was `said` is not repeated."""
    if not hunks:
        return
    chosen = sorted(hunks, key=lambda hunk: hunk["status"] != "refused")[:_SHOWN_HUNKS]
    shown = table("hunk", "line", "status", "what was understood", right=("hunk", "line"))
    for hunk in sorted(chosen, key=lambda hunk: hunk["number"]):
        shown.add_row(
            cell(hunk["number"]),
            cell(hunk["line"] or "–"),
            cell(_status(hunk), _STYLES.get(hunk["status"], "")),
            Text("\n").join(cell(sentence) for sentence in _sentences(hunk, said)),
        )
    news_console().print(shown)
    if len(hunks) > len(chosen):
        tell(f"… and {len(hunks) - len(chosen)} more; --json shows all")


def _status(hunk: Json) -> str:
    reason = hunk.get("reason")
    return f"{hunk['status']} ({reason})" if reason else str(hunk["status"])


def _sentences(hunk: Json, said: str) -> list[str]:
    message = hunk["message"]
    return [*(hunk.get("repairs") or []), *([message] if message and message not in said else [])]
