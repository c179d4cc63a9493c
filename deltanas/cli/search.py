"""`deltanas search`: run a search and follow it, take it up again, look at it, write its report."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from deltanas.cli.adapter_lineage import has_adapters, show_lineage
from deltanas.cli.connection import connected
from deltanas.cli.leaderboard import show_leaderboard
from deltanas.cli.model_usage import settings_sentence, show_usage, usage_sentence
from deltanas.cli.output import (
    JsonOption,
    accuracy,
    cell,
    complain,
    emit,
    news_console,
    result_console,
    table,
    tell,
)
from deltanas.cli.search_config import read_search_config
from deltanas.cli.search_diagnosis import show_diagnosis
from deltanas.cli.search_progress import SearchProgress
from deltanas.cli.search_replay import replay
from deltanas.cli.search_theory import filter_effect, show_theory, what_if
from deltanas.cli.sources import write_text
from deltanas.client import Client
from deltanas.errors import DeltanasError, RequestInvalid

app = typer.Typer(
    help="Searches: propose deltas, train and score them, keep the best, go on.", no_args_is_help=True
)

SearchId = Annotated[str, typer.Argument(metavar="ID", help="The id of a search, se_…")]
ReportOption = Annotated[
    Path | None, typer.Option("--report", help="Write the HTML report there at the end.")
]

_EXIT_CODES = {"succeeded": 0, "paused": 0, "cancelled": 1, "failed": 3}


@app.command()
def run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="What to search; see above.")],
    report: ReportOption = None,
    control: Annotated[
        bool, typer.Option("--control", help="Start a control arm as well: best of N at equal budget.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start a search and follow it to its end.

    CONFIG.yaml holds `name: value` lines. Only `dataset` is required. Besides:
    name, cycles, candidates_per_cycle, seed, baselines, epochs, train_images,
    elites, replicates, audit_sample, final_seeds, novelty, threads, device,
    integrity, limits, minimum_tier, minimum_gpu_memory_bytes, proposer, edits, deployment, feedback,
    model_budget, adapter, fine_tune and control, as in POST /v1/searches.
    """
    asked = read_search_config(config)
    if control:
        asked.request["control"] = True
    with connected(quiet=as_json) as client:
        try:
            search = client.start_search(**asked.request)
        except RequestInvalid as error:
            raise asked.placed(error) from error
        if not as_json:
            tell(f"search {search['id']} accepted")
            if search.get("control"):
                tell(f"its control arm is {search['control']}")
        _follow(client, search["id"], report, as_json)


@app.command()
def resume(search_id: SearchId, report: ReportOption = None, as_json: JsonOption = False) -> None:
    """Go on with a search after a pause, a crash or ctrl-C, and follow it to its end."""
    with connected(quiet=as_json) as client:
        # A server takes up searches that were running by itself; only a pause needs a word.
        if client.search(search_id)["state"] == "paused":
            client.resume_search(search_id)
        _follow(client, search_id, report, as_json)


@app.command()
def show(
    search_id: Annotated[str | None, typer.Argument(metavar="ID", help="Default: the newest search.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the leaderboard of a search, and what its model learnt on the way."""
    with connected(need_ready=False, quiet=as_json) as client:
        identifier = search_id or _newest(client)
        search, candidates = client.search(identifier), client.candidates(identifier)
        cycles = client.cycles(identifier) if usage_sentence(search) or has_adapters(search) else []
    if as_json:
        emit({**search, "cycles": cycles, "candidates": candidates})
        return
    progress = search["progress"]
    tell(
        f"{search['id']} {search['name']}: {search['state']}, "
        f"{progress['slots_done']} of {progress['slots_total']} slots done"
    )
    if settings := settings_sentence(search["request"]):
        tell(settings)
    if progress.get("waiting_for"):
        tell(f"waits for: {progress['waiting_for']}")
    show_leaderboard(search, candidates, result_console())
    if usage_sentence(search):
        show_usage(cycles, result_console())
    if has_adapters(search):
        show_lineage(cycles, result_console())
    if search.get("paused_by"):
        _explain_pause(search)


@app.command()
def diagnose(
    search_id: Annotated[str | None, typer.Argument(metavar="ID", help="Default: the newest search.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what became of a search's deltas, hunk by hunk, and the convergence theory against its data."""
    with connected(need_ready=False, quiet=as_json) as client:
        identifier = search_id or _newest(client)
        found, readings = client.diagnostics(identifier), client.theory(identifier)["readings"]
    if as_json:
        emit({**found, "theory": readings})
        return
    show_diagnosis(found, result_console())
    show_theory(readings, result_console())


app.command("what-if")(what_if)
app.command("filter-effect")(filter_effect)
app.command("replay")(replay)


@app.command("list")
def list_searches(
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List searches, newest first."""
    with connected(need_ready=False, quiet=as_json) as client:
        page = client.searches(limit=limit)
    if as_json:
        emit(page)
        return
    shown = table("id", "name", "state", "dataset", "slots", "best", "started", right=("slots", "best"))
    for search in page["items"]:
        best, progress = search.get("best") or {}, search["progress"]
        shown.add_row(
            cell(search["id"]),
            cell(search["name"]),
            cell(search["state"]),
            cell(search["request"]["dataset"]),
            cell(f"{progress['slots_done']}/{progress['slots_total']}"),
            cell(accuracy(best.get("accuracy"), best.get("accuracy_standard_error"))),
            cell((search.get("started_at") or "")[:19].replace("T", " ")),
        )
    result_console().print(shown)


@app.command()
def pause(search_id: SearchId, as_json: JsonOption = False) -> None:
    """Begin nothing new in a search until `deltanas search resume`."""
    _change(search_id, Client.pause_search, as_json)


@app.command()
def cancel(search_id: SearchId, as_json: JsonOption = False) -> None:
    """End a search; what it has measured stays."""
    _change(search_id, Client.cancel_search, as_json)


@app.command()
def report(
    search_id: SearchId,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")] = Path(
        "report.html"
    ),
    as_json: JsonOption = False,
) -> None:
    """Write the report of a search: one HTML file with pictures that needs no network."""
    with connected(need_ready=False, quiet=as_json) as client:
        _write_report(client, search_id, output)
    if as_json:
        emit({"search_id": search_id, "report": str(output)})


def _follow(client: Client, search_id: str, report_file: Path | None, as_json: bool) -> None:
    """Follow to the end, print the outcome, leave with the exit code."""
    try:
        with SearchProgress(news_console(), quiet=as_json) as progress:
            search = progress.follow(client, search_id)
    except KeyboardInterrupt:
        tell(f"search {search_id} is kept; go on with: deltanas search resume {search_id}")
        raise
    except DeltanasError:
        tell(f"search {search_id} is kept; go on with: deltanas search resume {search_id}")
        raise
    if as_json:
        emit(search)
    else:
        show_leaderboard(search, client.candidates(search_id), result_console())
    if report_file is not None:
        _write_report(client, search_id, report_file)
    if search["state"] == "failed":
        complain(
            f"the search failed: {search.get('failure')}",
            "mend what it names, then start it again with `deltanas search run`",
        )
    elif search["state"] == "cancelled":
        tell("the search was cancelled")
    elif search.get("paused_by"):
        _explain_pause(search)
        raise typer.Exit(3)
    elif search["state"] == "paused":
        tell(f"paused; go on with: deltanas search resume {search_id}")
    raise typer.Exit(_EXIT_CODES.get(search["state"], 3))


def _explain_pause(search: dict[str, Any]) -> None:
    """Why the platform paused a search, and what to do about it."""
    reason = search["paused_by"]
    complain(
        f"the search is paused: {reason.get('message')}",
        f"{reason.get('remedy')} Then go on with: deltanas search resume {search['id']}",
    )


def _write_report(client: Client, search_id: str, output: Path) -> None:
    write_text(output, client.search_report(search_id))
    tell(f"report written to {output}")


def _change(search_id: str, verb: Callable[[Client, str], dict[str, Any]], as_json: bool) -> None:
    with connected(need_ready=False, quiet=as_json) as client:
        search = verb(client, search_id)
    if as_json:
        emit(search)
    else:
        tell(f"{search_id} is {search['state']}")


def _newest(client: Client) -> str:
    items = client.searches(limit=1)["items"]
    if not items:
        raise typer.BadParameter("there is no search yet; start one with `deltanas search run CONFIG.yaml`")
    return str(items[0]["id"])
