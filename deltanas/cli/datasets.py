"""`deltanas datasets`: what candidates can be measured on."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from deltanas.cli.connection import connected
from deltanas.cli.output import JsonOption, cell, complain, emit, result_console, table, tell, waiting
from deltanas.client import Client

app = typer.Typer(help="The datasets that candidates are measured on.", no_args_is_help=True)

_LOOK_AGAIN_SECONDS = 0.3


@app.command("list")
def list_datasets(as_json: JsonOption = False) -> None:
    """List the datasets and what each still needs."""
    with connected(need_ready=False, quiet=as_json) as client:
        items = client.datasets()
    if as_json:
        emit({"items": items})
        return
    shown = table(
        "name",
        "ready",
        "shape",
        "classes",
        "train",
        "evaluation",
        "note",
        right=("classes", "train", "evaluation"),
    )
    for item in items:
        shown.add_row(*_row(item))
    result_console().print(shown)


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A standard dataset, such as fashion-mnist.")],
    timeout: Annotated[float, typer.Option(help="Give up waiting after so many seconds.")] = 1800,
    as_json: JsonOption = False,
) -> None:
    """Prepare a dataset: find or fetch its files, check them, pack them. At once if it is there."""
    with connected(need_ready=False, quiet=as_json) as client, waiting(f"preparing {name}", as_json):
        report = _wait_until_ready(client, client.prepare_dataset(name), timeout)
    _finish(report, as_json)


@app.command()
def add(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What to call it: lower-case letters, digits and dashes.")
    ],
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A folder of images by class, a .zip of one, or an .npz.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Add your own dataset."""
    with connected(need_ready=False, quiet=as_json) as client, waiting(f"adding {name}", as_json):
        report = client.add_dataset(name, path)
    _finish(report, as_json)


def _wait_until_ready(client: Client, report: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Follow the preparation until the dataset is ready, or has failed: then it is `preparing` no more."""
    give_up = time.monotonic() + timeout
    while not report["ready"] and _is_preparing(report) and time.monotonic() < give_up:
        time.sleep(_LOOK_AGAIN_SECONDS)
        report = next(item for item in client.datasets() if item["name"] == report["name"])
    return report


def _is_preparing(report: dict[str, Any]) -> bool:
    return str(report.get("problem") or "preparing").startswith("preparing")


def _finish(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit(report)
    elif report["ready"]:
        tell(f"{report['name']} is ready: {report['train_images']} + {report['evaluation_images']} images")
    if not report["ready"]:
        complain(
            f"{report['name']} is not ready: {report.get('problem') or 'it takes longer than the given time'}"
        )
        raise typer.Exit(3)


def _row(item: dict[str, Any]) -> list[Any]:
    shape = item.get("input_shape")
    numbers = [item.get(key) for key in ("classes", "train_images", "evaluation_images")]
    note = item.get("source") if item["ready"] else item.get("problem")
    return [
        cell(item["name"]),
        cell("yes", "green") if item["ready"] else cell("no", "yellow"),
        cell(" × ".join(str(size) for size in shape) if shape else "–"),
        *(cell(f"{number:,}" if number is not None else "–") for number in numbers),
        cell(note or ""),
    ]
