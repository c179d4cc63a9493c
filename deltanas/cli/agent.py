"""`deltanas agent`: a host of a farm lends its cores or its GPUs to a gateway, for sandboxes or to train."""

import json
import os
from typing import Annotated
from urllib.parse import urlsplit

import typer

from contracts.addresses import parse_address
from contracts.dispatch import BrokerAddressInvalid, check_broker_url
from deltanas.cli.output import complain, news_console, plain
from deltanas.errors import RequestInvalid
from deltanas.gpu_leases import GpuLeases, gpus_of_this_host
from deltanas.home import Home
from deltanas.worker_host import HostPlan, WorkerHost

TOKEN_VARIABLE = "DELTANAS_SERVICE_TOKEN"  # noqa: S105 - a name, no token
BROKER_VARIABLE = "DELTANAS_BROKER_URL"


def agent(
    gateway: Annotated[
        str, typer.Option(metavar="URL", envvar="DELTANAS_GATEWAY_ADDRESS", help="The gateway's address.")
    ] = "http://127.0.0.1:8000",
    broker: Annotated[
        str | None,
        typer.Option(metavar="URL", help=f"A Redis; better in {BROKER_VARIABLE}. Without: asks the gateway."),
    ] = None,
    gpus: Annotated[
        str | None, typer.Option(metavar="all|N", help="GPUs to lend, one slot each. Default: none.")
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Attempts without a GPU at a time. Default: cores; 0 with --gpus."),
    ] = None,
    runner: Annotated[
        str | None, typer.Option(metavar="URL", help="A runner that runs already; else one is started.")
    ] = None,
    fine_tunes: Annotated[
        bool, typer.Option("--fine-tunes", help="Train long fine-tunes, one at a time, and run no sandboxes.")
    ] = False,
    generator: Annotated[
        str | None,
        typer.Option(metavar="URL", help="With --fine-tunes: a generator of its own that runs already."),
    ] = None,
    agent_id: Annotated[
        str | None, typer.Option("--id", envvar="DELTANAS_AGENT_ID", help="Default: the host's name.")
    ] = None,
    drain_seconds: Annotated[
        float, typer.Option(min=0, max=86_400, help="When it ends: what runs has so long to end, too.")
    ] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print news as one JSON document a line.")] = False,
) -> None:
    """Lend this host to a farm: launcher, sandbox runner and agent, kept running until ctrl-C.

    With --fine-tunes: a generator that trains, and its agent; add models with `deltanas models add` first.

    The gateway's DELTANAS_SERVICE_TOKEN must be in the environment.
    """
    announce = _announce_json if as_json else _announce
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise _invalid(TOKEN_VARIABLE, "is not set", "Set it to the gateway's own, in the environment.")
    parse_address(gateway)
    if runner is not None:
        parse_address(runner)
        if gpus is not None and slots is not None:
            raise _invalid("--runner", "serves one kind of slots", "Leave out --gpus or --slots.")
    _check_training(fine_tunes, generator, gpus, slots, runner)
    with_gpus = None if gpus is None else _number_of_gpus(gpus)
    broker_url = _broker(broker)
    leases = None if gpus is None else GpuLeases.take(with_gpus, gpus_of_this_host())
    plan = HostPlan(
        gateway_address=gateway,
        service_token=token,
        broker_url=broker_url,
        agent_id=agent_id,
        slots=slots,
        lends_cpu=gpus is None or slots is not None,
        gpus=() if leases is None else leases.uuids,
        runner_address=runner,
        drain_seconds=drain_seconds,
        trains=fine_tunes,
        generator_address=generator,
    )
    WorkerHost(Home.locate(), plan, announce).run()


def _check_training(
    trains: bool, generator: str | None, gpus: str | None, slots: int | None, runner: str | None
) -> None:
    """Refuse what a host that trains cannot do besides, and what only such a host can."""
    if not trains:
        if generator is not None:
            raise _invalid("--generator", "trains fine-tunes", "Add --fine-tunes.")
        return
    if slots is not None or runner is not None:
        option = "--slots" if runner is None else "--runner"
        remedy = "Start a second `deltanas agent` for sandboxes, with a DELTANAS_HOME of its own."
        raise _invalid(option, "is for sandboxes, and --fine-tunes runs none", remedy)
    if gpus not in {None, "1"}:
        raise _invalid("--gpus", "must be 1 with --fine-tunes: one is trained at a time", "Write --gpus 1.")
    if generator is not None:
        parse_address(generator)
        if gpus is not None:
            remedy = "Set CUDA_VISIBLE_DEVICES of that generator instead."
            raise _invalid("--gpus", "is for the generator that is started here", remedy)


def _broker(given: str | None) -> str | None:
    """The broker's address, from the command line or the environment."""
    url = given or os.environ.get(BROKER_VARIABLE) or None
    if url is None:
        return None
    try:
        check_broker_url(url)
    except BrokerAddressInvalid as error:
        raise _invalid("--broker", str(error), "Correct it; its own value is not repeated here.") from None
    if given is not None and urlsplit(given).password:
        complain(
            "--broker: everybody on this host can read a password on a command line",
            f"put the address into {BROKER_VARIABLE}",
        )
    return url


def _number_of_gpus(text: str) -> int | None:
    """None for all."""
    if text == "all":
        return None
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 64:
        return int(text)
    raise _invalid("--gpus", f"{text!r} is neither `all` nor a number from 1 to 64", "Correct it.")


def _invalid(field: str, what: str, remedy: str) -> RequestInvalid:
    return RequestInvalid(f"{field}: {what}", {"code": "bad_usage", "field": field, "remedy": remedy})


def _announce(sentence: str) -> None:
    news_console().print(plain(sentence), soft_wrap=True)


def _announce_json(sentence: str) -> None:
    print(json.dumps({"news": sentence}), flush=True)
