"""`deltanas baselines fidelity`: our accuracies beside those recorded for the same networks, with reasons."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from deltanas.cli.connection import connected
from deltanas.cli.output import (
    JsonOption,
    cell,
    complain,
    emit,
    percent,
    plain,
    result_console,
    seconds,
    table,
    tell,
)
from deltanas.cli.progress_bar import progress_bar
from deltanas.cli.sources import write_text
from deltanas.client import Client
from deltanas.errors import DeltanasError, RequestInvalid
from deltanas.fidelity.agreement import CONFIDENCE
from deltanas.fidelity.figure import fidelity_figure
from deltanas.fidelity.report import fidelity_report
from deltanas.fidelity.sample import Criteria, Exclusion, RecordedNetwork, drawn
from deltanas.fidelity.study import Conditions, Outcome, State, measured, recorded_networks

Json = dict[str, Any]

_PLATFORM_FAILED = 3
_MEANINGS = {
    State.LOST: "the platform's fault, in no rate; the same command tries again",
    State.CANCELLED: "in no rate; the same command tries again",
}


def fidelity(
    dataset: Annotated[str, typer.Option(help="Where accuracies are recorded, such as mnist.")],
    networks: Annotated[int, typer.Option(min=1, max=5_000, help="How many to draw at random.")] = 60,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Leave out networks whose transform makes images larger.")
    ] = 64,
    min_batch: Annotated[
        int, typer.Option(min=1, help="Leave out networks that train in smaller batches.")
    ] = 1,
    max_parameters: Annotated[
        int | None,
        typer.Option(min=1, help="Leave out larger networks, and those that no smoke run has measured."),
    ] = None,
    cpu_seconds: Annotated[
        float, typer.Option(min=1, max=11_520, help="The budget of each network, predictions included.")
    ] = 120.0,
    train_images: Annotated[
        int | None, typer.Option(min=1, help="Train on so many images. Default: all, as was recorded.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws the networks, and the interval's resamples.")] = 0,
    train_seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="The seed of each training.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Write the report there too, as JSON.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Write the picture there, as SVG.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate imported networks for one epoch and compare with the accuracies recorded for them.

    Each runs with its recorded hyperparameters. After a crash or ctrl-C the same command goes on: what was
    measured is not measured again, and a larger draw begins with a smaller one's networks.
    """
    _require_room(output, figure)
    criteria = Criteria(dataset, max_pixels, min_batch, max_parameters)
    conditions = Conditions(dataset, cpu_seconds, train_images, train_seed)
    with connected(quiet=as_json) as client:
        chosen = _chosen(client, criteria, as_json)
        sample = drawn((found for found in chosen if isinstance(found, RecordedNetwork)), networks, seed)
        _require_some(sample, criteria)
        if len(sample) < networks and not as_json:
            tell(f"only {len(sample)} fit")
        outcomes = _measured(client, conditions, sample, as_json)
    report = fidelity_report(criteria, conditions, chosen, outcomes, seed)
    _write(report, output, figure)
    if as_json:
        emit(report)
    else:
        show_fidelity(report)
    if report["runs"]["share_that_ran"] is None:
        complain("nothing was measured: the platform lost every evaluation, or all were cancelled")
        raise typer.Exit(_PLATFORM_FAILED)


def _require_room(*files: Path | None) -> None:
    """Say before hours of measuring, and not after them, that a result cannot be written."""
    for file in filter(None, files):
        if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
            raise typer.BadParameter(f"cannot write {file}")


def _chosen(client: Client, criteria: Criteria, quiet: bool) -> list[RecordedNetwork | Exclusion]:
    with progress_bar(quiet) as bar:
        reading = bar.add_task("reading the catalogue", total=None)

        def watch(done: int, total: int) -> None:
            bar.update(reading, completed=done, total=total)

        return list(recorded_networks(client, criteria, watch))


def _measured(
    client: Client, conditions: Conditions, networks: list[RecordedNetwork], quiet: bool
) -> list[Outcome]:
    seen: list[Outcome] = []
    with progress_bar(quiet) as bar:
        measuring = bar.add_task("measuring", total=len(networks))

        def watch(outcome: Outcome) -> None:
            seen.append(outcome)
            ran = sum(found.state is State.RAN for found in seen)
            bar.update(measuring, completed=len(seen), description=f"measuring, {ran} ran")
            if not quiet:
                bar.console.print(cell(_line(outcome)))

        try:
            return measured(client, conditions, networks, watch)
        except (KeyboardInterrupt, DeltanasError):
            tell("what was accepted goes on while a server runs; the same command takes the study up again")
            raise


def _require_some(networks: list[RecordedNetwork], criteria: Criteria) -> None:
    if not networks:
        raise RequestInvalid(
            f"no network recorded on {criteria.dataset} meets all that is asked",
            {
                "code": "nothing_fits",
                "remedy": "Loosen --max-pixels, --min-batch or --max-parameters; parameters are known "
                "after `deltanas baselines smoke`.",
            },
        )


def _line(outcome: Outcome) -> str:
    name = plain(outcome.network.name, limit=60)
    if outcome.accuracy is None:
        return f"✗ {name}  {_reason(outcome.failure or {}) or outcome.state}"
    return f"✓ {name}  {percent(outcome.accuracy)}, recorded {percent(outcome.network.recorded_accuracy)}"


def _write(report: Json, output: Path | None, figure: Path | None) -> None:
    if output is not None:
        write_text(output, json.dumps(report, indent=2) + "\n")
    if figure is None:
        return
    picture = fidelity_figure(report)
    if picture is None:
        tell(f"no network ran, so {figure} is not drawn")
    else:
        write_text(figure, picture)


def show_fidelity(report: Json) -> None:
    """Print a report: the networks, what was left out, the share that ran, the agreement."""
    console = result_console()
    numbers = ("pixels", "batch", "recorded", "ours", "difference", "CPU time")
    shown = table("network", "family", *numbers, "reason", right=numbers)
    for row in sorted(report["networks"], key=lambda row: -row["recorded_accuracy"]):
        shown.add_row(
            cell(row["name"]),
            cell(row["family"]),
            f"{row['pixels']}",
            "–" if row["batch"] is None else f"{row['batch']}",
            percent(row["recorded_accuracy"]),
            percent(row["accuracy"]),
            _points(row["difference"]),
            seconds(row["cpu_seconds"]),
            cell(_reason(row["failure"] or {})),
        )
    console.print(shown)
    console.print()
    console.print(_counts(report))
    console.print()
    for sentence in _findings(report):
        console.print(sentence)


def _counts(report: Json) -> Any:
    runs = report["runs"]
    shown = table("networks", "reason", "count", right=("count",))
    shown.add_row("recorded", "", f"{report['catalogue']['recorded']:,}")
    for reason, count in report["catalogue"]["excluded"].items():
        shown.add_row("left out", cell(reason), f"{count:,}")
    shown.add_row("drawn", "", f"{runs['drawn']:,}")
    shown.add_row(cell("ran", "green"), "", f"{runs['ran']:,}")
    for failure in runs["failures"]:
        shown.add_row(cell("failed", "red"), cell(_reason(failure)), f"{failure['networks']:,}")
    for state, meaning in _MEANINGS.items():
        if runs[state.value]:
            shown.add_row(cell(state.value, "yellow"), meaning, f"{runs[state.value]:,}")
    return shown


def _findings(report: Json) -> Iterator[str]:
    runs, agreement = report["runs"], report["agreement"]
    if runs["share_interval"] is not None:
        low, high = runs["share_interval"]
        yield f"{percent(runs['share_that_ran'], 1)} ran ({percent(low, 1)} to {percent(high, 1)})"
    if agreement is None:
        return
    if agreement["spearman"] is not None:
        low, high = agreement["interval"]
        yield (
            f"Spearman {agreement['spearman']:.3f} over {agreement['networks']} networks, "
            f"{100 * CONFIDENCE:g} % interval {low:.3f} to {high:.3f}"
        )
    yield (
        f"ours less the recorded, in points: median {_points(agreement['median_difference'])}, "
        f"median distance {_points(agreement['median_absolute_difference'])}, "
        f"largest {_points(agreement['largest_difference'])}"
    )


def _points(difference: float | None) -> str:
    """0.0123 → '+1.23'."""
    return "–" if difference is None else f"{100 * difference:+.2f}"


def _reason(failure: Json) -> str:
    qualifier = failure.get("phase") or failure.get("resource")
    return f"{failure['reason']} ({qualifier})" if qualifier else str(failure.get("reason") or "")
