"""`deltanas fine-tune`: a local language model learns from deltas that led to better networks."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, TaskID

from deltanas.cli.connection import connected
from deltanas.cli.output import (
    JsonOption,
    cell,
    complain,
    emit,
    percent,
    result_console,
    seconds,
    table,
    tell,
)
from deltanas.cli.progress_bar import progress_bar
from deltanas.client import TERMINAL_STATES, Client
from deltanas.errors import RequestInvalid

Json = dict[str, Any]

_WORDS = {
    "": "waiting",
    "pairing": "making chats",
    "loading": "loading the model",
    "probing": "probing",
    "training": "training",
    "validating": "validating",
    "saving": "saving",
}


def fine_tune(
    model: Annotated[str | None, typer.Option(help="A local model, see `deltanas models list`.")] = None,
    search: Annotated[str | None, typer.Option(metavar="ID", help="Learn from its elites, se_…")] = None,
    deltas: Annotated[
        str | None,
        typer.Option(help="Of the search: improvements (elites better than their parents; default) or all."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Learn from pairs of networks recorded on it, and mutations.")
    ] = None,
    max_pairs: Annotated[int | None, typer.Option(help="Of recorded networks. Default 20000.")] = None,
    mutation_pairs: Annotated[int | None, typer.Option(help="Of mutations. Default 500.")] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="Learn one's own, a JSON object a line: dataset, baseline or baseline_source, delta."
        ),
    ] = None,
    parent_adapter: Annotated[str | None, typer.Option(help="Go on from this adapter, ft_…")] = None,
    preset: Annotated[str, typer.Option(help="cpu or paper: where other settings come from.")] = "cpu",
    rank: Annotated[int | None, typer.Option(help="Of the LoRA matrices.")] = None,
    alpha: Annotated[int | None, typer.Option(help="LoRA's scale is alpha / rank.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Before the LoRA matrices.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="A layer such as q_proj; several times.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Over all chats.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="End after so many optimizer steps.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens; longer chats are left out.")] = None,
    quantization: Annotated[
        str | None, typer.Option(help="What the base is trained on in: none, nf4 or auto.")
    ] = None,
    probe: Annotated[
        int | None,
        typer.Option(
            help="Answers to sample before and after; clearly fewer valid ones: roll back. 0: none."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the order of chats, and of what is held out.")] = 0,
    job: Annotated[str | None, typer.Option(metavar="ID", help="Follow this fine-tune, ft_…")] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="End the fine-tune of --job.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune a local model with LoRA, and follow it to its end.

    It learns canonical deltas alone: of a search's elites, of recorded networks, of mutations.
    It goes on when this command ends, and after a crash.
    """
    if (model is None) == (job is None):
        raise RequestInvalid(
            "name a model with --model, or a fine-tune with --job",
            {"code": "model_missing", "field": "model"},
        )
    if cancel and job is None:
        raise RequestInvalid("name the fine-tune to end with --job", {"code": "job_missing", "field": "job"})
    given = {
        "search_id": search,
        "deltas": deltas,
        "training_pairs": _training_pairs(dataset, max_pairs, mutation_pairs),
        "pairs": None if pairs is None else _own_pairs(pairs),
        "parent_adapter": parent_adapter,
        "rank": rank,
        "alpha": alpha,
        "dropout": dropout,
        "targets": target or None,
        "learning_rate": learning_rate,
        "epochs": epochs,
        "max_steps": max_steps,
        "max_length": max_length,
        "quantization": quantization,
        "probe": None if probe is None else {"samples": probe},
    }
    asked = {name: value for name, value in given.items() if value is not None}
    with connected(need_ready=False, quiet=as_json) as client:
        if job is not None:
            started = client.cancel_fine_tune(job) if cancel else client.fine_tune(job)
        else:
            started = client.start_fine_tune(model=model or "", preset=preset, seed=seed, **asked)
            if not as_json:
                tell(f"fine-tune {started['id']} accepted: it goes on when this command ends")
        ended = _followed(client, started, as_json)
    if as_json:
        emit(ended)
    else:
        _show(ended)
    if ended["state"] == "failed":
        raise typer.Exit(3)


def _training_pairs(dataset: str | None, max_pairs: int | None, mutation_pairs: int | None) -> Json | None:
    given = {"max_pairs": max_pairs, "mutation_pairs": mutation_pairs}
    asked = {name: value for name, value in given.items() if value is not None}
    if dataset is None:
        if asked:
            name = next(iter(asked)).replace("_", "-")
            raise RequestInvalid(f"--{name} needs --dataset", {"code": "dataset_missing", "field": "dataset"})
        return None
    return {"dataset": dataset, **asked}


def _own_pairs(file: Path) -> list[Json]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise _pairs_unreadable(str(file), error) from error
    pairs = []
    for number, line in enumerate(lines, start=1):
        try:
            pairs += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            raise _pairs_unreadable(f"{file}, line {number}", error) from error
    return pairs


def _pairs_unreadable(where: str, error: Exception) -> RequestInvalid:
    return RequestInvalid(
        f"--pairs {where}: {error}",
        {"code": "pairs_unreadable", "field": "pairs", "remedy": "Write one JSON object on each line."},
    )


def _followed(client: Client, job: Json, quiet: bool) -> Json:
    with progress_bar(quiet, own_count=True) as bar:
        task = bar.add_task("waiting", total=None, count="")
        while job["state"] not in TERMINAL_STATES:
            _advance(bar, task, job)
            job = client.fine_tune(job["id"], wait=1)
    return job


def _advance(bar: Progress, task: TaskID, job: Json) -> None:
    """Show how far a job is: steps, loss, speed, what is left."""
    progress = job["progress"] or {}
    told = []
    if progress.get("train_loss") is not None:
        told.append(f"loss {progress['train_loss']:.3f}")
    if progress.get("tokens_per_second") is not None:
        told.append(f"{progress['tokens_per_second']:.0f} tokens/s")
    if progress.get("eta_seconds") is not None:
        told.append(f"{seconds(progress['eta_seconds'])} left")
    if job["waiting_for"]:
        told.append(f"waiting: {job['waiting_for']}")
    bar.update(
        task,
        description=_WORDS.get(job["phase"], ""),
        completed=progress.get("step") or 0,
        total=progress.get("steps"),
        count=", ".join(told),
    )


def _show(job: Json) -> None:
    failure, result = job["failure"], job["result"]
    if failure is not None:
        complain(f"the fine-tune failed: {failure['reason']}: {failure['message']}", failure["remedy"])
        return
    if result is None:
        tell(f"the fine-tune {job['id']} was cancelled")
        return
    shown = table("", "before", "after", right=("before", "after"))
    before, after = result["validation_loss_before"], result["validation_loss_after"]
    shown.add_row("validation loss, nats per token", f"{before:.4f}", f"{after:.4f}")
    if result["valid_rate_before"] is not None:
        rates = result["valid_rate_before"], result["valid_rate_after"]
        shown.add_row("valid answers", *(percent(rate) for rate in rates))
    console = result_console()
    console.print(shown)
    console.print(cell(("adopted: " if result["adopted"] else "rolled back: ") + result["reason"]))
    console.print(cell(f"adapter {result['adapter']}; propose with: {result['use'] or 'the model as it is'}"))
