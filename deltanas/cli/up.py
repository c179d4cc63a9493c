"""`deltanas up`: all services of this machine, until ctrl-C."""

import json
from typing import Annotated

import typer

from deltanas.cli.output import news_console, plain
from deltanas.home import Home
from deltanas.supervisor import Plan, Supervisor


def up(
    host: Annotated[
        str, typer.Option(help="Address to listen on; only loopback without API keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    until_unused: Annotated[bool, typer.Option("--until-unused", hidden=True)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print news as one JSON document a line.")] = False,
) -> None:
    """Serve: gateway, generator, filter, sandbox runner and its agent, kept running until ctrl-C."""
    announce = _announce_json if as_json else _announce
    Supervisor(Home.locate(), Plan(host, port, until_unused), announce).run()


def _announce(sentence: str) -> None:
    news_console().print(plain(sentence), soft_wrap=True)


def _announce_json(sentence: str) -> None:
    print(json.dumps({"news": sentence}), flush=True)
