"""The Python client: everything the HTTP API offers, as plain calls that give plain JSON.

    with Client() as client:
        evaluation = client.evaluate(source=text, dataset="fashion-mnist")
        print(client.wait_for_evaluation(evaluation["id"])["measurement"]["accuracy"])

Shapes are those of the HTTP API (/docs of a running server). It starts no server; the command line does. The
calls themselves are in `deltanas.resources`.
"""

import os
from types import TracebackType
from typing import Self

from deltanas.home import Home
from deltanas.resources.baselines import BaselineCalls
from deltanas.resources.datasets import DatasetCalls
from deltanas.resources.deltas import DeltaCalls
from deltanas.resources.evaluations import EvaluationCalls
from deltanas.resources.fine_tunes import FineTuneCalls
from deltanas.resources.resource import TERMINAL_STATES
from deltanas.resources.searches import SearchCalls
from deltanas.resources.tasks import TaskCalls
from deltanas.resources.tenant_removal import TenantRemovalCalls
from deltanas.resources.tenants import TenantCalls
from deltanas.resources.webhooks import WebhookCalls
from deltanas.transport import Transport

__all__ = ["TERMINAL_STATES", "Client"]

_DEFAULT_ADDRESS = "http://127.0.0.1:8000"


class Client(
    EvaluationCalls,
    SearchCalls,
    TaskCalls,
    DeltaCalls,
    FineTuneCalls,
    DatasetCalls,
    BaselineCalls,
    TenantCalls,
    TenantRemovalCalls,
    WebhookCalls,
):
    """A connection to one server. All errors are of `deltanas.errors`.

    `address` is `http://host:port` or `unix:/path.sock`; without one: DELTANAS_GATEWAY_ADDRESS, else the
    running server of DELTANAS_HOME, else http://127.0.0.1:8000.
    """

    def __init__(
        self, address: str | None = None, api_key: str | None = None, *, transport: Transport | None = None
    ) -> None:
        key = api_key or os.environ.get("DELTANAS_API_KEY")
        super().__init__(transport or Transport(address or _usual_address(), key))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._transport.address


def _usual_address() -> str:
    chosen = os.environ.get("DELTANAS_GATEWAY_ADDRESS")
    if chosen:
        return chosen
    record = Home.locate().running_server()
    return record.address if record and record.address else _DEFAULT_ADDRESS
