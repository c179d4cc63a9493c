"""Calls to the other services: generator, filter, runner. Synchronous: callers are worker threads.

Every answer is validated against its contract. A service that cannot be reached, times out, or breaks
raises ServiceUnavailable (retry later); one that refuses the request raises ServiceRefused (do not retry).
"""

import json
from collections.abc import AsyncIterable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import IO, Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from contracts.addresses import parse_address
from contracts.jobs import (
    Admission,
    AppliedDelta,
    BaselineNetwork,
    DatasetReport,
    NetworkImportLine,
    RunnerCapabilities,
    Screening,
    ScreeningRequest,
)
from contracts.log_context import request_headers
from contracts.names import MAX_DELTA_BYTES
from contracts.proposals import (
    AnswerForm,
    DataShape,
    DeploymentLimits,
    EditPermissions,
    Proposal,
    ProposalLine,
    ProposalRequest,
    ProposerBlocked,
)
from contracts.slot_prompts import SlotPrompt
from contracts.training_pairs import NamedSource, NearnessLine, PairOrder, TrainingPairLine

T = TypeVar("T")

_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}

CONNECT_SECONDS = 5.0
CALL_SECONDS = 60.0
PROPOSAL_SECONDS = 600.0
"""Between two lines of a streamed answer; the generator sends empty ones while a model takes its time."""
MAX_LINE_BYTES = 16 * 1024 * 1024
"""Of a streamed answer: a proposal with the calls behind it holds prompts and answers several times over,
each in JSON's longest escapes at worst."""
_NDJSON = {"content-type": "application/x-ndjson"}


class ServiceUnavailable(Exception):
    """A service cannot be reached, times out, or fails. Retry later.

    `document` is its problem document where it sent one.
    """

    def __init__(self, service: str, detail: str, document: dict[str, Any] | None = None) -> None:
        super().__init__(f"{service}: {detail}")
        self.service = service
        self.detail = detail
        self.document = document or {}


class ProposerHeldUp(Exception):
    """A proposer cannot go on, by the fault of what it depends on: an endpoint, a model's weights, memory."""

    def __init__(self, blocked: ProposerBlocked) -> None:
        super().__init__(blocked.message)
        self.blocked = blocked


class ServiceRefused(Exception):
    """A service refused the request with a 4xx. `document` is its problem document, possibly empty."""

    def __init__(self, service: str, status: int, document: dict[str, Any]) -> None:
        super().__init__(f"{service}: {status} {document.get('detail', '')}")
        self.service = service
        self.status = status
        self.document = document

    @classmethod
    def in_stream(cls, service: str, document: dict[str, Any]) -> Self:
        """From the last line of a streamed answer, which began well."""
        status = document.get("status")
        return cls(service, status if isinstance(status, int) else 502, document)


class ServiceClient:
    """One service behind its address, with the family's token."""

    name = "service"

    def __init__(self, address: str, token: str | None, transport: httpx.BaseTransport | None = None) -> None:
        self._address = parse_address(address)
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=self._address.base_url,
            headers=self._headers,
            timeout=httpx.Timeout(CALL_SECONDS, connect=CONNECT_SECONDS),
            transport=transport or httpx.HTTPTransport(uds=self._address.socket_path),
            event_hooks={"request": [_name_request]},
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def readiness_problems(self) -> list[str]:
        """Why the service is not ready; empty when it is."""
        try:
            response = self._http.get("/readyz", timeout=CONNECT_SECONDS)
        except httpx.HTTPError as error:
            return [f"the {self.name} cannot be reached ({type(error).__name__})"]
        if response.status_code == 200:
            return []
        return [f"the {self.name} is not ready: {reason}" for reason in _reasons(response)]

    def _asynchronous(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._address.base_url,
            headers=self._headers,
            timeout=httpx.Timeout(PROPOSAL_SECONDS, connect=CONNECT_SECONDS),
            transport=httpx.AsyncHTTPTransport(uds=self._address.socket_path),
            event_hooks={"request": [_name_request_in_loop]},
        )

    def _call(self, method: str, path: str, **options: Any) -> bytes:
        with self._stream(method, path, **options) as response:
            return response.read()

    @contextmanager
    def _stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        try:
            with self._http.stream(method, path, **options) as response:
                self._raise_for_status(response)
                yield response
        except httpx.HTTPError as error:
            raise ServiceUnavailable(self.name, f"{type(error).__name__} {error}".strip()) from error

    def _raise_for_status(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        body = response.read()
        # 401 is a wrong token between our own services: mending it is the operator's, not the caller's.
        if response.status_code >= 500 or response.status_code in {401, 408, 429}:
            detail = f"answered {response.status_code}: {body[:500].decode('utf-8', 'replace')}"
            raise ServiceUnavailable(self.name, detail, _document(body))
        raise ServiceRefused(self.name, response.status_code, _document(body))

    def _exchange_lines(
        self, path: str, parameters: dict[str, Any], lines: Iterable[Any], kind: type[T]
    ) -> Generator[T, None, None]:
        """Send contracts one a line, all of them, then give each line of the answer."""
        with self._stream(
            "POST",
            path,
            params=parameters,
            content=(_adapter(type(line)).dump_json(line, exclude_none=True) + b"\n" for line in lines),
            headers=_NDJSON,
            timeout=httpx.Timeout(PROPOSAL_SECONDS, connect=CONNECT_SECONDS),
        ) as response:
            for line in self._lines(response):
                yield self._parse(kind, line)

    def _lines(self, response: httpx.Response, *, blank_ones: bool = False) -> Iterator[bytes]:
        """The lines of an answer, without blank ones. httpx splits at U+2028, too, which JSON may hold."""
        parts: list[bytes] = []
        size = 0
        for chunk in response.iter_bytes():
            *whole, rest = chunk.split(b"\n")
            if whole:
                whole[0] = b"".join([*parts, whole[0]])
                parts, size = [], 0
                yield from whole if blank_ones else filter(bytes.strip, whole)
            parts.append(rest)
            size += len(rest)
            if size > MAX_LINE_BYTES:
                raise ServiceUnavailable(self.name, f"answered a line of more than {MAX_LINE_BYTES} bytes")
        if (rest := b"".join(parts)).strip():
            yield rest

    def _parse(self, kind: type[T], body: bytes | str) -> T:
        try:
            parsed: T = _adapter(kind).validate_json(body)
        except ValidationError as error:
            raise ServiceUnavailable(self.name, f"answered nonsense: {error}"[:500]) from error
        return parsed


def _adapter(kind: Any) -> TypeAdapter[Any]:
    """One for each contract, kept: to build one takes longer than to read a hundred answers with it."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _document(body: bytes) -> dict[str, Any]:
    """The problem document of an answer, empty where it has none."""
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _reasons(response: httpx.Response) -> list[str]:
    """The sentences of a /readyz answer; of any other answer, its status."""
    try:
        reasons = response.json()["reasons"]
    except (ValueError, LookupError, TypeError):
        reasons = None
    if not isinstance(reasons, list) or not reasons:
        return [f"it answered {response.status_code}"]
    return [str(reason)[:500] for reason in reasons[:10]]


class GeneratorClient(ServiceClient):
    """Proposes deltas, applies them, and knows the baselines."""

    name = "generator"

    def propose(self, request: ProposalRequest) -> Iterator[Proposal | None]:
        """The proposals of the request's slots, each as it arrives; None now and then while a model thinks.

        Raises ProposerHeldUp in between.
        """
        timeout = httpx.Timeout(PROPOSAL_SECONDS, connect=CONNECT_SECONDS)
        try:
            with self._stream("POST", "/v1/proposals", json=asdict(request), timeout=timeout) as response:
                for line in self._lines(response, blank_ones=True):
                    yield self._proposal(self._parse(ProposalLine, line)) if line.strip() else None
        except ServiceUnavailable as error:
            # Asked for no slots, the generator says with its status what it says else in a line.
            if error.document.get("field") == "options":
                raise ProposerHeldUp(_blocked(error.document)) from error
            raise

    def _proposal(self, line: ProposalLine) -> Proposal:
        if line.blocked is not None:
            raise ProposerHeldUp(line.blocked)
        if line.proposal is None:
            raise ServiceUnavailable(self.name, "answered a line without a proposal")
        proposal = line.proposal
        if len(proposal.answer.encode("utf-8", "replace")) > MAX_DELTA_BYTES:
            return replace(proposal, answer="", failure=f"the answer is larger than {MAX_DELTA_BYTES} bytes")
        return proposal

    def apply_delta(
        self,
        baseline_source: str,
        answer: str,
        edits: EditPermissions | None = None,
        form: AnswerForm = AnswerForm.DELTA,
        deployment: DeploymentLimits | None = None,
        *,
        dataset: str | None = None,
        data_shape: DataShape | None = None,
        with_repair: bool = False,
    ) -> AppliedDelta:
        """What a proposer's answer makes of a baseline: a candidate's source or a precise refusal.

        Parameters and FLOPs of a network are counted for images of `data_shape`, or of a standard `dataset`.
        `with_repair`: a refusal carries what to say to the model that answered.
        """
        body = {
            "baseline_source": baseline_source,
            "delta": answer,
            "form": form,
            "edits": asdict(edits or EditPermissions()),
            "deployment": asdict(deployment or DeploymentLimits()),
            "dataset": dataset,
            "data_shape": None if data_shape is None else asdict(data_shape),
            "with_repair": with_repair,
        }
        return self._parse(AppliedDelta, self._call("POST", "/v1/deltas:apply", json=body))

    def prompts(self, request: ProposalRequest) -> list[SlotPrompt]:
        """What a language model would be told for each slot; the request's one option is `form`."""
        return self._parse(_Prompts, self._call("POST", "/v1/prompts", json=asdict(request))).items

    def baselines(self) -> list[BaselineNetwork]:
        """Every baseline shipped with the generator."""
        return self._parse(_Baselines, self._call("GET", "/v1/baselines")).items

    def baseline(self, name: str) -> BaselineNetwork | None:
        """One baseline, or None."""
        try:
            return self._parse(BaselineNetwork, self._call("GET", f"/v1/baselines/{quote(name, safe='')}"))
        except ServiceRefused as error:
            if error.status in {404, 422}:
                return None
            raise

    def read_baselines(self, origin: str, file: IO[bytes]) -> Iterator[NetworkImportLine]:
        """What a file of networks holds, line by line as it is read: `total`, each network, `summary`.

        A file that cannot be read raises ServiceRefused before the first line, or ends with a `failed` line.
        """
        with self._stream(
            "POST",
            "/v1/baselines:read",
            params={"origin": origin},
            content=file,
            headers={"content-type": "application/octet-stream"},
            timeout=httpx.Timeout(PROPOSAL_SECONDS, connect=CONNECT_SECONDS),
        ) as response:
            for line in self._lines(response):
                yield self._parse(NetworkImportLine, line)

    def training_pairs(
        self, orders: Iterable[PairOrder], fewest_lines: int, most_lines: int
    ) -> Generator[TrainingPairLine, None, None]:
        """What became of each order, as ordered; the last line has `made`, or `failed`.

        A delta of fewer or more lines than these is left out.
        """
        asked = {"fewest_lines": fewest_lines, "most_lines": most_lines}
        return self._exchange_lines("/v1/training-pairs", asked, orders, TrainingPairLine)


class FilterClient(ServiceClient):
    """Says whether an architecture is new."""

    name = "filter"

    def screen(self, request: ScreeningRequest) -> Screening:
        """Compare a source with its scope. Reads only."""
        return self._parse(Screening, self._call("POST", "/v1/screenings", json=asdict(request)))

    def admit(self, proposal_id: str, admission: Admission) -> None:
        """Add an architecture to its scope. Idempotent."""
        self._call("PUT", f"/v1/architectures/{quote(proposal_id, safe='')}", json=asdict(admission))

    def forget(self, scope: str) -> None:
        """Drop a scope, before it is rebuilt."""
        self._call("DELETE", f"/v1/scopes/{quote(scope, safe='')}")

    def count(self, scope: str) -> int:
        """How many architectures a scope holds."""
        return self._parse(_ScopeSize, self._call("GET", f"/v1/scopes/{quote(scope, safe='')}")).architectures

    def near(self, sources: Iterable[NamedSource], at_least: float) -> Generator[NearnessLine, None, None]:
        """Which of the sources are copies of earlier ones, and which pairs of the others are near.

        They are compared with each other alone. The last line has `compared`, or `failed`.
        """
        asked = {"at_least": at_least}
        return self._exchange_lines("/v1/architectures:near", asked, sources, NearnessLine)


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


def _blocked(document: dict[str, Any]) -> ProposerBlocked:
    code, message, remedy = (str(document.get(name) or "") for name in ("code", "detail", "remedy"))
    return ProposerBlocked(code, message, remedy, retryable=True)


@dataclass(frozen=True)
class _Baselines:
    items: list[BaselineNetwork]


@dataclass(frozen=True)
class _Prompts:
    items: list[SlotPrompt]


@dataclass(frozen=True)
class _Datasets:
    items: list[DatasetReport]


@dataclass(frozen=True)
class _ScopeSize:
    architectures: int


def _name_request(request: httpx.Request) -> None:
    """Let the other service's log be joined with ours."""
    request.headers.update(request_headers())


async def _name_request_in_loop(request: httpx.Request) -> None:
    _name_request(request)
