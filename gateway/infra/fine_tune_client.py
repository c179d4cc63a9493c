"""Calls to the generator's fine-tuning jobs and adapters, with the errors of `service_clients`."""

from collections.abc import AsyncIterable, Generator, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from contracts.fine_tuning import AdapterManifest, FineTuneCare, FineTuneEvent, FineTuneStatus
from gateway.infra.service_clients import (
    PROPOSAL_SECONDS,
    ServiceClient,
    ServiceRefused,
    ServiceUnavailable,
)

DOWNLOAD_BYTES = 1024 * 1024


class FineTuneClient(ServiceClient):
    """The generator as the owner of jobs and adapters."""

    name = "generator"

    def put(
        self, job_id: str, lines: Iterable[bytes], care: FineTuneCare = FineTuneCare.OWN
    ) -> FineTuneStatus:
        """Hand a job in: its settings on a line, then a chat a line. The same again changes nothing."""
        body = self._call(
            "PUT",
            _job(job_id),
            params={"care": care.value},
            content=lines,
            headers={"content-type": "application/x-ndjson"},
            timeout=httpx.Timeout(PROPOSAL_SECONDS),
        )
        return self._parse(FineTuneStatus, body)

    def status(self, job_id: str) -> FineTuneStatus | None:
        """How a job is; None where the generator knows none of this id."""
        try:
            return self._parse(FineTuneStatus, self._call("GET", _job(job_id)))
        except ServiceRefused as error:
            if error.status == 404:
                return None
            raise

    def events(self, job_id: str, after: int) -> list[FineTuneEvent]:
        """What has happened after an event, a thousand at most."""
        with self._stream("GET", f"{_job(job_id)}/events", params={"after": after}) as response:
            return [self._parse(FineTuneEvent, line) for line in self._lines(response)]

    def retry(self, job_id: str) -> FineTuneStatus:
        """Let a job go on that failed in a way that may pass; any other stays as it is."""
        return self._parse(FineTuneStatus, self._call("POST", f"{_job(job_id)}:retry"))

    def cancel(self, job_id: str) -> FineTuneStatus:
        """End a job for good; one that is over stays as it is."""
        return self._parse(FineTuneStatus, self._call("POST", f"{_job(job_id)}:cancel"))

    def remove(self, job_id: str) -> None:
        """Remove a job that is over. Its adapter stays."""
        self._call("DELETE", _job(job_id))

    def adapters(self) -> list[AdapterManifest]:
        """Every adapter of the generator, whosesoever it is."""
        return self._parse(_Adapters, self._call("GET", "/v1/adapters")).items

    def adapter(self, adapter_id: str) -> AdapterManifest:
        """Where an adapter comes from."""
        return self._parse(AdapterManifest, self._call("GET", _adapter_path(adapter_id)))

    def adapter_files(self, adapter_id: str, name: str | None = None) -> "Download":
        """One file of an adapter, or all as a tar."""
        path = f"{_adapter_path(adapter_id)}/files"
        return Download(self._download(path if name is None else f"{path}/{quote(name, safe='')}"))

    # --- what hosts that train are given, and give ---------------------------------------------

    def models(self) -> dict[str, str]:
        """The SHA-256 of the weights of each model of the generator, by its name."""
        return self._parse(_Models, self._call("GET", "/v1/models")).items

    def chats(self, job_id: str) -> "Download":
        """A job that the generator keeps, as it is handed in."""
        return Download(self._download(f"{_job(job_id)}/chats"))

    def parcel(self, adapter_id: str) -> "Download":
        """An adapter, as another generator takes it in."""
        return Download(self._download(f"{_adapter_path(adapter_id)}/parcel"))

    async def deliver(self, adapter_id: str, fence: int, content: AsyncIterable[bytes]) -> None:
        """Pass an adapter that an attempt at a lent job came to on as it comes.

        The only asynchronous call: it moves bytes from one socket to another and computes nothing.
        """
        try:
            async with self._asynchronous() as http:
                response = await http.put(
                    _adapter_path(adapter_id),
                    params={"fence": fence},
                    content=content,
                    headers={"content-type": "application/octet-stream"},
                )
        except httpx.HTTPError as error:
            raise ServiceUnavailable(self.name, f"{type(error).__name__} {error}".strip()) from error
        self._raise_for_status(response)

    def remove_adapter(self, adapter_id: str) -> None:
        """Remove an adapter; one that is gone is no error."""
        try:
            self._call("DELETE", _adapter_path(adapter_id))
        except ServiceRefused as error:
            if error.status != 404:
                raise

    def _download(self, path: str) -> Generator[bytes, None, None]:
        with self._stream("GET", path) as response:
            yield response.headers.get("content-length", "").encode()
            yield from response.iter_raw(DOWNLOAD_BYTES)


class Download:
    """Bytes on their way, once the answer has begun. Whoever holds it reads it to the end or closes it."""

    def __init__(self, chunks: Generator[bytes, None, None]) -> None:
        """The first of `chunks` is the length as text, empty where it is not known."""
        length = next(chunks)
        self.length = int(length) if length else None
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        """Let go of the connection."""
        self._chunks.close()


@dataclass(frozen=True)
class _Adapters:
    items: list[AdapterManifest]


@dataclass(frozen=True)
class _Models:
    items: dict[str, str]


def _job(job_id: str) -> str:
    return f"/v1/fine-tunes/{quote(job_id, safe='')}"


def _adapter_path(adapter_id: str) -> str:
    return f"/v1/adapters/{quote(adapter_id, safe='')}"
