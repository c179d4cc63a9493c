"""Calls to the generator: proposals, deltas, baselines, training pairs. Its jobs are `fine_tune_client`'s."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import IO, Any
from urllib.parse import quote

import httpx

from contracts.jobs import AppliedDelta, BaselineNetwork, NetworkImportLine
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
from contracts.training_pairs import PairOrder, TrainingPairLine
from gateway.infra.service_clients import (
    CONNECT_SECONDS,
    PROPOSAL_SECONDS,
    ServiceClient,
    ServiceRefused,
    ServiceUnavailable,
)


class ProposerHeldUp(Exception):
    """A proposer cannot go on, by the fault of what it depends on: an endpoint, a model's weights, memory."""

    def __init__(self, blocked: ProposerBlocked) -> None:
        super().__init__(blocked.message)
        self.blocked = blocked


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


def _blocked(document: dict[str, Any]) -> ProposerBlocked:
    code, message, remedy = (str(document.get(name) or "") for name in ("code", "detail", "remedy"))
    return ProposerBlocked(code, message, remedy, retryable=True)


@dataclass(frozen=True)
class _Baselines:
    items: list[BaselineNetwork]


@dataclass(frozen=True)
class _Prompts:
    items: list[SlotPrompt]
