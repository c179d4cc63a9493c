"""Follows a smoke run, with a bar on a terminal, and tells its pass rate by reason."""

from typing import Any

from deltanas.cli.output import cell, percent, plain, result_console, table, tell
from deltanas.cli.progress_bar import progress_bar
from deltanas.client import Client

Json = dict[str, Any]


def follow_smoke_run(client: Client, run: Json, quiet: bool) -> Json:
    """Wait for the end of a run; gives it. Interrupted, it says how to come back: the run goes on."""
    with progress_bar(quiet) as bar:
        task = bar.add_task("smoke run", total=run["progress"]["total"])
        try:
            while True:
                bar.update(task, completed=_done(run), description=_news(run))
                if run["state"] != "running":
                    return run
                run = client.smoke_run(run["id"], wait=1)
        except KeyboardInterrupt:
            tell(
                f"the run goes on while a server runs; `deltanas baselines smoke --run {run['id']}` "
                "follows it, with --cancel it ends"
            )
            raise


def show_smoke_run(run: Json) -> None:
    """Print what came of a run."""
    progress = run["progress"]
    tell(f"{run['id']} on {plain(run['dataset'])}: {run['state']}")
    shown = table("networks", "reason", "count", right=("count",))
    shown.add_row(cell("passed", "green"), "", f"{progress['passed']:,}")
    for failure in run["failures"]:
        phase = f" ({failure['phase']})" if failure["phase"] else ""
        shown.add_row(cell("failed", "red"), cell(f"{failure['reason']}{phase}"), f"{failure['networks']:,}")
    for state, meaning in (("lost", "the platform's fault, in no rate"), ("cancelled", ""), ("pending", "")):
        if progress[state]:
            shown.add_row(cell(state, "yellow"), meaning, f"{progress[state]:,}")
    console = result_console()
    console.print(shown)
    console.print(f"pass rate {percent(run['pass_rate'])}, {progress['reused']:,} answered from the record")


def _done(run: Json) -> int:
    progress = run["progress"]
    return int(progress["total"] - progress["pending"] - progress["submitted"])


def _news(run: Json) -> str:
    waiting = run["progress"]["waiting_for"]
    if waiting:
        return plain(f"waiting: {waiting}", limit=80)
    return f"smoke run, {percent(run['pass_rate'], digits=1)} passed"
