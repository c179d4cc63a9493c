"""`deltanas evaluate`: one architecture, trained in a sandbox and scored outside of it."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from contracts.names import Integrity, IsolationTier
from deltanas.cli.connection import connected
from deltanas.cli.output import (
    JsonOption,
    accuracy,
    cell,
    emit,
    mebibytes,
    news_console,
    plain,
    result_console,
    seconds,
    table,
    tell,
)
from deltanas.cli.sources import parse_settings, read_text
from deltanas.client import Client

File = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="A source that defines `class Net`; - reads standard input."),
]
Dataset = Annotated[str, typer.Option(help="A dataset, see `deltanas datasets list`.")]
Baseline = Annotated[str | None, typer.Option(help="A reference network, instead of FILE.")]
Delta = Annotated[Path | None, typer.Option(help="A delta to apply to FILE or --baseline first.")]
Epochs = Annotated[int, typer.Option(help="Epochs of training.")]
Seeds = Annotated[list[int] | None, typer.Option(help="Several give a mean. Default: 0.")]
TrainImages = Annotated[int | None, typer.Option(help="Train on so many images. Default: all.")]
Threads = Annotated[int, typer.Option(help="CPU threads of the candidate.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Split = Annotated[Integrity, typer.Option(help="strict redraws the split secretly.")]
Tier = Annotated[IsolationTier, typer.Option(help="The weakest isolation to accept.")]
GpuMemory = Annotated[int, typer.Option(min=0, help="Of the GPU, at least; with --device cuda.")]
Hyperparameters = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, such as lr=0.01.")]
LimitChanges = Annotated[list[str] | None, typer.Option(help="NAME=VALUE, such as wall_seconds=120.")]
CallbackUrl = Annotated[str | None, typer.Option(help="Told when it has ended, see docs/webhooks.md.")]
Reuse = Annotated[bool, typer.Option(help="Answer from the record when the same was measured before.")]


def evaluate(
    dataset: Dataset,
    file: File = None,
    baseline: Baseline = None,
    delta: Delta = None,
    epochs: Epochs = 1,
    seed: Seeds = None,
    train_images: TrainImages = None,
    threads: Threads = 1,
    device: Device = "cpu",
    integrity: Split = Integrity.STANDARD,
    minimum_tier: Tier = IsolationTier.NAMESPACES,
    minimum_gpu_memory_bytes: GpuMemory = 0,
    hyperparameter: Hyperparameters = None,
    limit: LimitChanges = None,
    reuse: Reuse = True,
    callback_url: CallbackUrl = None,
    as_json: JsonOption = False,
) -> None:
    """Train one architecture in a sandbox, score it outside, and print the score.

    Name a FILE, or a reference network with --baseline; --delta changes it first.
    """
    request: dict[str, Any] = {
        **_architecture(file, baseline, delta),
        **_seeds(seed),
        "epochs": epochs,
        "train_images": train_images,
        "threads": threads,
        "device": device,
        "integrity": integrity.value,
        "minimum_tier": minimum_tier.value,
        "minimum_gpu_memory_bytes": minimum_gpu_memory_bytes,
        "hyperparameters": parse_settings(hyperparameter or []),
        "limits": parse_settings(limit or []),
        "reuse": reuse,
        "callback_url": callback_url,
    }
    with connected(quiet=as_json) as client:
        evaluation = _follow(client, client.evaluate(dataset=dataset, **request), as_json)
    if as_json:
        emit(evaluation)
    else:
        show_evaluation(evaluation, result_console())
    raise typer.Exit(exit_code_of(evaluation))


def exit_code_of(evaluation: dict[str, Any]) -> int:
    """0 measured, 1 the candidate failed (or was cancelled), 3 the platform failed."""
    if evaluation["state"] == "succeeded":
        return 0
    failure = evaluation.get("failure") or {}
    return 3 if failure.get("reason") == "infrastructure" else 1


def _architecture(file: Path | None, baseline: str | None, delta: Path | None) -> dict[str, Any]:
    if (file is None) == (baseline is None):
        raise typer.BadParameter("name either a FILE or a --baseline")
    if delta is not None:
        change = {"delta": read_text(delta)}
        return (
            {"baseline": baseline, **change}
            if file is None
            else {"baseline_source": read_text(file), **change}
        )
    return {"baseline": baseline} if file is None else {"source": read_text(file)}


def _seeds(seeds: list[int] | None) -> dict[str, Any]:
    if seeds and len(seeds) > 1:
        return {"seeds": seeds}
    return {"seed": seeds[0] if seeds else 0}


def _follow(client: Client, evaluation: dict[str, Any], quiet: bool) -> dict[str, Any]:
    identifier = evaluation["id"]
    console = news_console()
    try:
        if quiet or not console.is_terminal:
            if not quiet:
                tell(f"{identifier} accepted")
                if evaluation.get("waiting_for"):
                    tell(_why_it_waits(evaluation))
            return client.wait_for_evaluation(identifier)
        return _follow_on_terminal(client, identifier, console)
    except KeyboardInterrupt:
        tell(f"{identifier} goes on as long as a server runs; read it at /v1/evaluations/{identifier}")
        raise


def _follow_on_terminal(client: Client, identifier: str, console: Console) -> dict[str, Any]:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(identifier, total=None)

        def show(evaluation: dict[str, Any]) -> None:
            position = evaluation.get("queue_position")
            ahead = f", {position} ahead" if evaluation["state"] == "queued" and position else ""
            phase = next(
                (a.get("phase") for a in reversed(evaluation.get("attempts") or []) if a.get("phase")), None
            )
            doing = f" ({phase})" if phase and evaluation["state"] == "running" else ""
            if evaluation.get("waiting_for"):
                doing = f": {_why_it_waits(evaluation)}"
            progress.update(task, description=plain(f"{identifier} {evaluation['state']}{ahead}{doing}"))

        return client.wait_for_evaluation(identifier, on_progress=show)


def _why_it_waits(evaluation: dict[str, Any]) -> str:
    obstacle = evaluation["waiting_for"]
    return f"{obstacle['message']} {obstacle['remedy']}"


def show_evaluation(evaluation: dict[str, Any], console: Console) -> None:
    """Print an evaluation for people."""
    failure = evaluation.get("failure")
    state_style = "bold green" if evaluation["state"] == "succeeded" else "bold red"
    shown = table("", "")
    shown.show_header = False
    shown.add_row("evaluation", cell(evaluation["id"]))
    shown.add_row("state", cell(evaluation["state"], state_style))
    for name, value in [*_failure_rows(failure or {}), *_measurement_rows(evaluation)]:
        shown.add_row(name, cell(value))
    console.print(shown)
    for flag in evaluation.get("flags") or []:
        console.print(Text(f"note: {plain(flag)}", style="yellow"))


def _failure_rows(failure: dict[str, Any]) -> list[tuple[str, Any]]:
    if not failure:
        return []
    qualifier = failure.get("phase") or failure.get("resource")
    reason = f"{failure['reason']} ({qualifier})" if qualifier else failure["reason"]
    rows = [("reason", reason), ("message", failure.get("message")), ("location", failure.get("location"))]
    return [(name, value) for name, value in (*rows, ("remedy", failure.get("remedy"))) if value]


def _measurement_rows(evaluation: dict[str, Any]) -> list[tuple[str, Any]]:
    measured = evaluation.get("measurement")
    if not measured:
        return []
    score = accuracy(measured["accuracy"], measured.get("accuracy_standard_error"))
    parameters = measured.get("claimed_parameters")
    tier = (evaluation.get("isolation") or {}).get("tier")
    return [
        ("accuracy", f"{score} of {measured.get('evaluated_images')} images"),
        ("CPU time", seconds(measured.get("cpu_seconds"))),
        ("wall time", seconds(measured.get("wall_seconds"))),
        ("peak memory", mebibytes(measured.get("peak_memory_bytes"))),
        ("parameters", f"{parameters:,} (as the candidate says)" if parameters is not None else "–"),
        ("isolation", tier or "–"),
    ]
