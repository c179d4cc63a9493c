"""`deltanas pairs`: what a language model is fine-tuned on."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, TaskID

from deltanas.cli.connection import connected
from deltanas.cli.output import JsonOption, cell, emit, result_console, table, tell
from deltanas.cli.pair_files import SPLITS, PairFiles
from deltanas.cli.progress_bar import progress_bar
from deltanas.client import Client
from deltanas.errors import PlatformFailed

app = typer.Typer(help="Training pairs: chats to fine-tune a language model on.", no_args_is_help=True)

Json = dict[str, Any]

_STEPS = {
    "comparing": "comparing networks",
    "trying": "making pairs",
    "mutations": "mutating networks",
}
_BINS = 12
_BAR_WIDTH = 40


@app.callback()
def _group() -> None:
    """Keep `pairs` a group although it has one verb so far."""


@app.command()
def make(
    dataset: Annotated[str, typer.Option(help="Networks with a recorded first epoch on it are paired.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write to.")],
    hyperparameters: Annotated[
        str | None,
        typer.Option(help="same or any: those that both networks were recorded with. Default same."),
    ] = None,
    min_gain: Annotated[
        float | None, typer.Option(help="The target is better by so much, as a fraction. Default 0.005.")
    ] = None,
    at_least: Annotated[
        float | None, typer.Option(help="Jaccard similarity of both sources, 0.3 to 1. Default 0.6.")
    ] = None,
    pairs_per_network: Annotated[
        int | None, typer.Option(help="At most so many with one baseline, or one target. Default 4.")
    ] = None,
    max_pairs: Annotated[int | None, typer.Option(help="Of recorded networks. Default 20000.")] = None,
    mutation_pairs: Annotated[
        int | None, typer.Option(help="Deltas of the mutation proposer, on top. Default 500.")
    ] = None,
    validation_share: Annotated[
        float | None, typer.Option(help="Split by family, 0 to 0.5. Default 0.1.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed, another choice. Default 0.")] = None,
    fewest_lines: Annotated[int | None, typer.Option(help="Of a delta. Default 5.")] = None,
    most_lines: Annotated[int | None, typer.Option(help="Of a delta. Default 60.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make pairs (baseline → better network) of the imported networks, as chats whose answer is the delta.

    Writes train.jsonl, validation.jsonl and manifest.json, all or nothing.
    The same networks and options give the same bytes.
    """
    chosen = {
        "hyperparameters": hyperparameters,
        "min_gain": min_gain,
        "at_least": at_least,
        "pairs_per_network": pairs_per_network,
        "max_pairs": max_pairs,
        "mutation_pairs": mutation_pairs,
        "validation_share": validation_share,
        "seed": seed,
        "fewest_lines": fewest_lines,
        "most_lines": most_lines,
    }
    asked = {name: value for name, value in chosen.items() if value is not None}
    with PairFiles(output) as files, connected(need_ready=False, quiet=as_json) as client:
        manifest = files.finish(_received(client, files, {"dataset": dataset, **asked}, as_json))
    if as_json:
        emit({"output": str(output), **manifest})
    else:
        _show(manifest)
        tell(f"written to {output}")


def _received(client: Client, files: PairFiles, asked: Json, quiet: bool) -> Json:
    """Write every pair as it comes; gives the summary."""
    with progress_bar(quiet, own_count=True) as bar:
        task = bar.add_task("comparing", total=None, count="")
        step, pairs = "", 0
        for line in client.training_pairs(**asked):
            if "summary" in line:
                summary: Json = line["summary"]
                return summary
            if "pair" in line:
                files.add(line["pair"])
                pairs += 1
            elif "progress" in line:
                step = _advance(bar, task, step, line["progress"], pairs)
    raise PlatformFailed("the training pairs ended before their summary")


def _advance(bar: Progress, task: TaskID, step: str, progress: Json, pairs: int) -> str:
    """Show how far a step is; gives its name."""
    if progress["step"] != step:
        bar.reset(task, description=_STEPS.get(progress["step"], ""))
    bar.update(
        task,
        completed=progress["done"],
        total=progress["total"],
        count=f"{pairs:,} pairs" if pairs else "",
    )
    return str(progress["step"])


def _show(manifest: Json) -> None:
    console = result_console()
    kinds = list(next(iter(manifest["pairs"].values())))
    shown = table("pairs", *kinds, "all", right=(*kinds, "all"))
    for split, made in manifest["pairs"].items():
        shown.add_row(cell(split), *(f"{made[kind]:,}" for kind in kinds), f"{sum(made.values()):,}")
    console.print(shown)
    left_out = [(kind, *found) for kind, reasons in manifest["left_out"].items() for found in reasons.items()]
    if left_out:
        shown = table("left out", "why", "count", right=("count",))
        for kind, reason, count in left_out:
            shown.add_row(cell(kind), cell(reason), f"{count:,}")
        console.print(shown)
    lines = {
        int(lines): sum(manifest["delta_lines"][split].get(lines, 0) for split in SPLITS)
        for lines in sorted({line for split in SPLITS for line in manifest["delta_lines"][split]}, key=int)
    }
    if lines:
        shown = table("lines of the delta", "pairs", "", right=("lines of the delta", "pairs"))
        for first, last, pairs, share in _histogram(lines):
            shown.add_row(f"{first}–{last}", f"{pairs:,}", cell("█" * round(_BAR_WIDTH * share)))
        console.print(shown)


def _histogram(lines: dict[int, int]) -> list[tuple[int, int, int, float]]:
    """At most `_BINS` bins of equal width: first and last number of lines, pairs, and height in [0, 1]."""
    lowest, highest = min(lines), max(lines)
    width = (highest - lowest) // _BINS + 1
    counts = [0] * ((highest - lowest) // width + 1)
    for number, pairs in lines.items():
        counts[(number - lowest) // width] += pairs
    return [
        (lowest + place * width, min(lowest + (place + 1) * width - 1, highest), pairs, pairs / max(counts))
        for place, pairs in enumerate(counts)
    ]
