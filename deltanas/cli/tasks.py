"""`deltanas task`: propose for a search by hand or from a shell: ask for a task, tell its answer."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from contracts.names import SlotState
from contracts.proposals import AnswerForm
from deltanas.cli.connection import connected
from deltanas.cli.leaderboard import copy_sentence
from deltanas.cli.output import (
    JsonOption,
    accuracy,
    cell,
    complain,
    emit,
    news_console,
    percent,
    print_source,
    result_console,
    table,
    tell,
    waiting,
)
from deltanas.cli.sources import read_text, write_text
from deltanas.client import Client

app = typer.Typer(
    help="Tasks of a search whose proposer is `external`: you are its proposer.", no_args_is_help=True
)

Json = dict[str, Any]

SearchArgument = Annotated[str, typer.Argument(metavar="SEARCH", help="The search's id, se_…")]
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="The task's id, tk_…")]
WaitOption = Annotated[float, typer.Option(min=0, max=86_400, help="Seconds to wait for it.")]

_FINAL_STATES = frozenset(state.value for state in SlotState if state.is_final)


@app.command("ask")
def ask_for_task(
    search: SearchArgument,
    agent: Annotated[str, typer.Option(help="Your name, shown with the candidate.")] = "",
    lease_seconds: Annotated[float, typer.Option(min=10, max=3600, help="For how long it is yours.")] = 900,
    prompt: Annotated[
        AnswerForm | None, typer.Option(help="With --json: what a language model would be told.")
    ] = None,
    wait: WaitOption = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the baseline's source there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Lease one open slot of SEARCH, and print the source of the baseline to change."""
    with connected(need_ready=False, quiet=as_json) as client, waiting("waiting for a slot", as_json):
        answer = _asked(client, search, agent, lease_seconds, prompt, wait)
    tasks = answer["tasks"]
    if tasks and output is not None:
        write_text(output, tasks[0]["baseline"]["source"])
    if as_json:
        emit(answer)
    elif tasks:
        _show_task(tasks[0], output)
    else:
        at_work = answer["reason"] == "search_at_work"
        tell("nothing to ask for: " + ("the search is at work" if at_work else "all open slots are leased"))


def _asked(
    client: Client, search: str, agent: str, lease_seconds: float, prompt: AnswerForm | None, wait: float
) -> Json:
    give_up = time.monotonic() + wait
    while True:
        answer = client.ask(
            search,
            agent=agent,
            lease_seconds=lease_seconds,
            wait=max(0.0, give_up - time.monotonic()),
            prompt=prompt and prompt.value,
        )
        if answer["tasks"] or time.monotonic() >= give_up:
            return answer


def _show_task(task: Json, output: Path | None) -> None:
    baseline = task["baseline"]
    shown = table("task", "slot", "baseline", "accuracy", "yours until", right=("accuracy",))
    slot = f"c{task['cycle']:03d}-s{task['slot']:03d}"
    score = percent(baseline["accuracy"])
    shown.add_row(
        *(cell(text) for text in (task["task_id"], slot, baseline["name"], score, task["lease_expires_at"]))
    )
    news_console().print(shown)
    if output is None:
        print_source(baseline["source"])


@app.command("tell")
def tell_answer(
    search: SearchArgument,
    task: TaskArgument,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A unified diff of the baseline; - reads standard input.")
    ],
    whole: Annotated[bool, typer.Option("--source", help="FILE is a whole source, not a diff.")] = False,
    summary: Annotated[str, typer.Option(help="One line that says what is new.")] = "",
    wait: WaitOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Answer TASK of SEARCH with FILE. With --wait, exit with 1 when nothing could be measured of it."""
    text = read_text(file)
    answer: Json = {"source": text} if whole else {"delta": text}
    named = {"search_id": search, "task_id": task}
    with connected(need_ready=False, quiet=as_json) as client, waiting("waiting for the verdict", as_json):
        give_up = time.monotonic() + wait
        told = client.tell(named, **answer, summary=summary)
        # The same answer again is answered again.
        while not _is_final(told) and (left := give_up - time.monotonic()) > 0:
            told = client.tell(named, **answer, summary=summary, wait=left)
    if as_json:
        emit(told)
    else:
        _show_candidate(told)
    raise typer.Exit(_exit_code(told))


def _is_final(told: Json) -> bool:
    return told["candidate"]["state"] in _FINAL_STATES


def _show_candidate(told: Json) -> None:
    candidate = told["candidate"]
    if told["lease_had_lapsed"]:
        tell("the lease had lapsed; nobody else had the slot, so the answer counts")
    score = accuracy(candidate["accuracy"], candidate["accuracy_standard_error"])
    line = f"{candidate['name']} {candidate['state']}"
    result_console().print(Text(f"{line} {score}" if candidate["state"] == "judged" else line))
    if likeness := candidate.get("likeness"):
        complain(f"not new: a {copy_sentence(likeness)}")
    failure = candidate.get("failure")
    if failure:
        complain(f"{failure.get('code') or failure['reason']}: {failure['message']}")


def _exit_code(told: Json) -> int:
    """0 told or measured, 1 nothing to measure, 3 the platform failed."""
    state = told["candidate"]["state"]
    if state in {"lost", "skipped"}:
        return 3
    return 0 if state == "judged" or not _is_final(told) else 1


@app.command("heartbeat")
def extend_lease(search: SearchArgument, task: TaskArgument, as_json: JsonOption = False) -> None:
    """Hold TASK for as long again."""
    with connected(need_ready=False, quiet=as_json) as client:
        lease = client.heartbeat({"search_id": search, "task_id": task})
    if as_json:
        emit(lease)
    else:
        tell(f"{task} is yours until {lease['lease_expires_at']}")


@app.command("release")
def release_task(search: SearchArgument, task: TaskArgument, as_json: JsonOption = False) -> None:
    """Give TASK back, for others to ask for."""
    with connected(need_ready=False, quiet=as_json) as client:
        lease = client.release({"search_id": search, "task_id": task})
    if as_json:
        emit(lease)
    else:
        tell(f"{task} was told before" if lease["told_at"] else f"{task} is given back")
