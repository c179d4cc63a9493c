"""The generator's HTTP surface: proposals as they arrive, deltas applied, baselines listed.

Handlers are plain functions, so everything that computes runs in threads and never on the event
loop. Nothing is stored here; the gateway keeps what it received.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException as StarletteHTTPException

from contracts.jobs import AppliedDelta, BaselineNetwork, Proposal, ProposalRequest
from contracts.names import MAX_DELTA_BYTES, MAX_SOURCE_BYTES
from contracts.problems import PROBLEM_MEDIA_TYPE, problem, validation_problem
from contracts.service_gate import BodyLimit, RequireToken
from generator_svc.config import GeneratorSettings
from generator_svc.deltas import apply_delta
from generator_svc.proposers import OptionsInvalid, Proposer, known_proposers
from generator_svc.seeds import baseline_networks

MAX_SLOTS = 8
MAX_SEED = 2**63 - 1
MAX_BODY_BYTES = 4 * 1024 * 1024
"""Eight sources, with room for JSON's escapes."""

_PROPOSAL = TypeAdapter(Proposal)


class Refused(Exception):
    """A well-formed request asks for something impossible. Carries its problem document."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(document["detail"])
        self.document = document


@dataclass(frozen=True)
class DeltaRequest:
    """A delta, and what to apply it to: a source, or the name of a shipped baseline."""

    delta: str
    baseline_source: str | None = None
    baseline: str | None = None


def create_app(settings: GeneratorSettings) -> FastAPI:
    """The service, closed to callers without the service token."""
    app = FastAPI(title="deltanas generator", docs_url=None, redoc_url=None)
    proposers = known_proposers()
    _add_proposals(app, proposers)
    _add_deltas(app)
    _add_baselines(app)
    _add_health(app)
    _add_error_handlers(app)
    app.add_middleware(BodyLimit, limit_for_path=lambda _path: MAX_BODY_BYTES)
    app.add_middleware(RequireToken, token_sha256=settings.service_token_sha256)
    return app


def _add_proposals(app: FastAPI, proposers: dict[str, Proposer]) -> None:
    @app.post("/v1/proposals", response_class=StreamingResponse)
    def propose(request: ProposalRequest) -> StreamingResponse:
        """One Proposal a line (NDJSON), each as soon as it is made. No slots: only whether it would work."""
        proposer = proposers.get(request.proposer)
        if proposer is None:
            raise Refused(_unknown_proposer(request.proposer, proposers))
        _check_slots(request)
        proposer.check_options(request.options)
        return StreamingResponse(_proposal_lines(proposer, request), media_type="application/x-ndjson")


def _proposal_lines(proposer: Proposer, request: ProposalRequest) -> Iterator[bytes]:
    for slot in request.slots:
        yield _PROPOSAL.dump_json(proposer.propose(request, slot)) + b"\n"


def _unknown_proposer(name: str, proposers: dict[str, Proposer]) -> dict[str, Any]:
    known = ", ".join(sorted(proposers))
    return problem(
        422,
        "unknown_proposer",
        f"No proposer has this name. Known: {known}.",
        field="proposer",
        value=name,
        remedy=f"Use one of: {known}.",
    )


def _check_slots(request: ProposalRequest) -> None:
    if len(request.slots) > MAX_SLOTS:
        _refuse_field("slots", f"must hold at most {MAX_SLOTS} slots", len(request.slots))
    if len({slot.slot for slot in request.slots}) != len(request.slots):
        _refuse_field("slots", "two slots have the same number", None)
    if request.cycle < 0:
        _refuse_field("cycle", "must be at least 0", request.cycle)
    for index, slot in enumerate(request.slots):
        if slot.slot < 0:
            _refuse_field(f"slots.{index}.slot", "must be at least 0", slot.slot)
        if not 0 <= slot.seed <= MAX_SEED:
            _refuse_field(f"slots.{index}.seed", f"must lie between 0 and {MAX_SEED}", str(slot.seed))
        _check_size(f"slots.{index}.baseline_source", slot.baseline_source, MAX_SOURCE_BYTES)


def _check_size(field: str, text: str, limit: int) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limit:
        _refuse_field(field, f"has {size} bytes; at most {limit} are allowed", None)


def _refuse_field(field: str, message: str, value: object, remedy: str = "Correct this field.") -> None:
    raise Refused(
        problem(422, "invalid_request", f"{field}: {message}", field=field, value=value, remedy=remedy)
    )


def _add_deltas(app: FastAPI) -> None:
    @app.post("/v1/deltas:apply")
    def apply(request: DeltaRequest) -> AppliedDelta:
        """Baseline + delta → candidate source, or a precise refusal (as data, with status 200)."""
        _check_size("delta", request.delta, MAX_DELTA_BYTES)
        return apply_delta(_baseline_source(request), request.delta)


def _baseline_source(request: DeltaRequest) -> str:
    if (request.baseline is None) == (request.baseline_source is None):
        _refuse_field("baseline_source", "give either `baseline_source` or `baseline`", None)
    if request.baseline is None:
        source = request.baseline_source or ""
        _check_size("baseline_source", source, MAX_SOURCE_BYTES)
        return source
    network = baseline_networks().get(request.baseline)
    if network is None:
        known = ", ".join(baseline_networks())
        raise Refused(
            problem(
                422,
                "unknown_baseline",
                f"No baseline has this name. Known: {known}.",
                field="baseline",
                value=request.baseline,
                remedy=f"Use one of: {known}.",
            )
        )
    return network.source


def _add_baselines(app: FastAPI) -> None:
    @app.get("/v1/baselines")
    def list_baselines() -> dict[str, list[BaselineNetwork]]:
        """Every shipped baseline, in catalogue order."""
        return {"items": list(baseline_networks().values())}

    @app.get("/v1/baselines/{name}")
    def read_baseline(name: str) -> BaselineNetwork:
        """One baseline, or 404."""
        network = baseline_networks().get(name)
        if network is None:
            raise HTTPException(404, f"No baseline is named {name[:80]!r}.")
        return network


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> JSONResponse:
        """Whether the shipped baselines can be read."""
        try:
            baseline_networks()
        except (OSError, ValueError, KeyError) as error:
            return JSONResponse({"status": "unready", "reasons": [f"baselines: {error}"]}, 503)
        return JSONResponse({"status": "ok", "reasons": []})


def _add_error_handlers(app: FastAPI) -> None:
    def answer(document: dict[str, Any]) -> JSONResponse:
        return JSONResponse(document, document["status"], media_type=PROBLEM_MEDIA_TYPE)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(validation_problem(error.errors()))

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> JSONResponse:
        return answer(error.document)

    @app.exception_handler(OptionsInvalid)
    async def options_invalid(_request: Request, error: OptionsInvalid) -> JSONResponse:
        return answer(
            problem(
                422,
                "invalid_options",
                f"{error.field}: {error.message}",
                field=error.field,
                value=error.value,
                remedy=error.remedy,
            )
        )

    @app.exception_handler(StarletteHTTPException)
    async def http_error(_request: Request, error: StarletteHTTPException) -> JSONResponse:
        codes = {404: "not_found", 405: "method_not_allowed"}
        return answer(
            problem(error.status_code, codes.get(error.status_code, "http_error"), str(error.detail))
        )
