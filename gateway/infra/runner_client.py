"""Calls to the local runner about its data sets and what it offers."""

from collections.abc import AsyncIterable
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from contracts.jobs import DatasetReport, RunnerCapabilities
from gateway.infra.service_clients import ServiceClient, ServiceUnavailable


class RunnerClient(ServiceClient):
    """The local runner's datasets and capabilities. Attempts go through the agent, never through here."""

    name = "runner"

    def capabilities(self) -> RunnerCapabilities:
        """What the runner's host offers."""
        return self._parse(RunnerCapabilities, self._call("GET", "/v1/capabilities"))

    def datasets(self) -> list[DatasetReport]:
        """Every dataset the runner knows, ready or not."""
        return self._parse(_Datasets, self._call("GET", "/v1/datasets")).items

    def prepare_dataset(self, name: str) -> DatasetReport:
        """Start preparing a dataset."""
        return self._parse(DatasetReport, self._call("POST", f"/v1/datasets/{quote(name, safe='')}:prepare"))

    def remove_dataset(self, name: str) -> None:
        """Remove a user's own data."""
        self._call("DELETE", f"/v1/datasets/{quote(name, safe='')}")

    async def upload_dataset(self, name: str, content: AsyncIterable[bytes]) -> DatasetReport:
        """Pass a user's own data on as it comes, an .npz or a .zip of image folders.

        The only asynchronous call: it moves bytes from one socket to another and computes nothing.
        """
        try:
            async with self._asynchronous() as http:
                response = await http.post(
                    f"/v1/datasets/{quote(name, safe='')}:upload",
                    content=content,
                    headers={"content-type": "application/octet-stream"},
                )
        except httpx.HTTPError as error:
            raise ServiceUnavailable(self.name, f"{type(error).__name__} {error}".strip()) from error
        self._raise_for_status(response)
        return self._parse(DatasetReport, response.content)


@dataclass(frozen=True)
class _Datasets:
    items: list[DatasetReport]
