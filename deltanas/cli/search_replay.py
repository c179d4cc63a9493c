"""`deltanas search replay`: one candidate from the journal once more, compared to the last bit."""

from typing import Annotated, Any

import typer
from rich.console import Console

from deltanas.cli.connection import connected
from deltanas.cli.evaluate import exit_code_of
from deltanas.cli.output import JsonOption, cell, complain, emit, result_console, table, tell, waiting

Json = dict[str, Any]

_SAME = {True: "the same", False: "another", None: "–"}


def replay(
    search_id: Annotated[str, typer.Argument(metavar="ID", help="The id of a search, se_…")],
    proposal_id: Annotated[str, typer.Argument(metavar="CANDIDATE", help="Its candidate, se_…-c001-s003.")],
    as_json: JsonOption = False,
) -> None:
    """Propose, apply and evaluate one candidate again, and compare: 0 all the same, 1 anything differs."""
    with connected(quiet=as_json) as client:
        asked = client.replay_candidate(search_id, proposal_id)
        identifier = asked["evaluation"]["id"]
        if not as_json:
            tell(f"{identifier} accepted")
        with waiting(identifier, quiet=as_json):
            evaluation = client.wait_for_evaluation(identifier)
    measured = (evaluation["measurement"] or {}).get("accuracy")
    found = {
        **asked,
        "evaluation": evaluation,
        "replayed_accuracy": measured,
        "scored_again": None if measured is None else measured == asked["recorded_accuracy"],
    }
    if as_json:
        emit(found)
    else:
        _show(found, result_console())
    raise typer.Exit(_exit_code(found))


def _exit_code(found: Json) -> int:
    if exit_code_of(found["evaluation"]) == 3:
        return 3
    same = (found["proposed_again"], found["applied_again"], found["scored_again"] or False)
    return 1 if False in same else 0


def _show(found: Json, console: Console) -> None:
    shown = table("step", "came out", "recorded", "now", right=("recorded", "now"))
    shown.add_row("proposed", cell(_SAME[found["proposed_again"]]), cell(""), cell(""))
    shown.add_row("applied", cell(_SAME[found["applied_again"]]), cell(""), cell(""))
    now = found["replayed_accuracy"]
    shown.add_row(
        "scored",
        cell(_SAME[found["scored_again"]]),
        cell(repr(found["recorded_accuracy"])),
        cell("–" if now is None else repr(now)),
    )
    console.print(shown)
    if now is None:
        failure = found["evaluation"].get("failure") or {}
        complain(f"it was not scored again: {failure.get('reason')}: {failure.get('message', '')}")
    elif not found["scored_again"]:
        tell(
            "another device, another version of torch or another number of threads may round otherwise; "
            "compare the two evaluations' provenance"
        )
