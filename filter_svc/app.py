"""The filter's HTTP surface: screenings, admissions, scopes, nearness. Whatever computes runs in threads."""

import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from contracts.computation_graph import MAX_GRAPH_BYTES, GraphMalformed
from contracts.jobs import Admission, Screening, ScreeningRequest
from contracts.problems import PROBLEM_MEDIA_TYPE, problem, validation_problem
from contracts.request_log import LogRequests
from contracts.service_documents import NDJSON, READINESS, completed
from contracts.service_gate import BodyLimit, RequireToken
from filter_svc.canonical import NotScreenable
from filter_svc.config import FilterSettings
from filter_svc.index import IndexBroken, NoveltyIndex, open_store
from filter_svc.metrics import CONTENT_TYPE, FilterMetrics
from filter_svc.request_checks import Refused, refuse_field
from filter_svc.routes_nearness import NEAR_PATH, add_nearness_routes
from filter_svc.screening import admit, screen

MAX_BODY_BYTES = 512 * 1024 + 2 * MAX_GRAPH_BYTES
"""One source and its graph, with JSON's escapes."""
MAX_LABEL_CHARACTERS = 200

MAY_ANSWER: dict[str, tuple[int, ...]] = {
    "/v1/screenings": (503,),
    "/v1/architectures/{proposal_id}": (503,),
    "/v1/scopes/{scope}": (503,),
    NEAR_PATH: (409, 503),
}
STREAMS = {NEAR_PATH: NDJSON, "/metrics": "text/plain"}
"""For the document: with which problems paths answer, and which answer no JSON."""

SCOPE = re.compile(r"[a-z][a-z_]{0,31}(?::[A-Za-z0-9][A-Za-z0-9_.-]{0,127})?")
PROPOSAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class IndexHolder:
    """Opens the index when it is first needed; while that fails, every call says so and tries again."""

    def __init__(self, settings: FilterSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._index: NoveltyIndex | None = None

    def get(self) -> NoveltyIndex:
        """The open index. Raises IndexBroken."""
        with self._lock:
            if self._index is None:
                self._index = NoveltyIndex(open_store(self._settings.filter_index, self._settings.home))
            return self._index

    def close(self) -> None:
        """Release the file, if it is open."""
        with self._lock:
            if self._index is not None:
                self._index.close()
                self._index = None


def create_app(settings: FilterSettings) -> FastAPI:
    """The service, closed to callers without the service token."""
    holder = IndexHolder(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(holder.close)

    app = FastAPI(title="deltanas filter", docs_url=None, redoc_url=None, lifespan=lifespan)
    _add_architectures(app, holder)
    add_nearness_routes(app, settings.home)
    metrics = FilterMetrics()
    _add_metrics(app, metrics)
    _add_health(app, holder)
    _add_error_handlers(app)
    derived = app.openapi
    app.openapi = lambda: completed(derived(), MAY_ANSWER, STREAMS)  # type: ignore[method-assign]
    app.add_middleware(BodyLimit, limit_for_path=_body_limit)
    app.add_middleware(
        RequireToken,
        token_sha256=settings.service_token_sha256,
        metrics_token_sha256=settings.metrics_token_sha256,
    )
    app.add_middleware(LogRequests, observe=metrics.observe_request)
    return app


def _body_limit(path: str) -> int | None:
    """None where the handler itself reads a bounded stream."""
    return None if path == NEAR_PATH else MAX_BODY_BYTES


def _add_architectures(app: FastAPI, holder: IndexHolder) -> None:
    @app.post("/v1/screenings")
    def post_screening(request: ScreeningRequest) -> Screening:
        """Whether a source is new within its scope. Reads only."""
        _check_scope(request.scope)
        _check_proposal_id(request.proposal_id)
        for name in request.among or ():
            _check_proposal_id(name, "among")
        if not 0.0 < request.threshold <= 1.0:
            refuse_field("threshold", request.threshold, "Choose a number above 0 and at most 1.")
        if request.structure_threshold not in {1.0, None}:
            remedy = "Write 1 (isomorphic graphs are copies) or null (no graph is looked at)."
            refuse_field("structure_threshold", request.structure_threshold, remedy)
        return screen(holder.get(), request)

    @app.put("/v1/architectures/{proposal_id}", status_code=204)
    def put_architecture(proposal_id: str, admission: Admission) -> Response:
        """Admit an architecture; the same id again replaces it."""
        _check_scope(admission.scope)
        _check_proposal_id(proposal_id)
        _check_label(admission.label)
        admit(holder.get(), proposal_id, admission)
        return Response(status_code=204)

    @app.get("/v1/scopes/{scope}")
    def get_scope(scope: str) -> dict[str, int]:
        """How many architectures a scope holds; an unknown one holds none."""
        _check_scope(scope)
        return {"architectures": holder.get().count(scope)}

    @app.delete("/v1/scopes/{scope}", status_code=204)
    def delete_scope(scope: str) -> Response:
        """Forget a scope, before it is filled again."""
        _check_scope(scope)
        holder.get().drop(scope)
        return Response(status_code=204)


def _check_scope(scope: str) -> None:
    if not SCOPE.fullmatch(scope):
        refuse_field("scope", scope, "Write a word such as `search`, a colon, and a name or an id.")


def _check_proposal_id(proposal_id: str, field: str = "proposal_id") -> None:
    if not PROPOSAL_ID.fullmatch(proposal_id):
        refuse_field(field, proposal_id, "Use 1 to 128 letters, digits, dots, dashes or underscores.")


def _check_label(label: str) -> None:
    if len(label) > MAX_LABEL_CHARACTERS or not label.isprintable():
        refuse_field("label", label, f"Use at most {MAX_LABEL_CHARACTERS} characters, all of them printable.")


def _add_metrics(app: FastAPI, metrics: FilterMetrics) -> None:
    @app.get("/metrics")
    def page() -> Response:
        """What this process measures, for Prometheus."""
        return Response(metrics.page(), media_type=CONTENT_TYPE)


def _add_health(app: FastAPI, holder: IndexHolder) -> None:
    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok"}

    @app.get("/readyz", responses=READINESS)
    def readyz() -> JSONResponse:
        """Whether the index can be read."""
        try:
            holder.get().check()
        except IndexBroken as error:
            return JSONResponse({"status": "unready", "reasons": [str(error)]}, 503)
        return JSONResponse({"status": "ok", "reasons": []})


def _add_error_handlers(app: FastAPI) -> None:
    def answer(document: dict[str, Any]) -> JSONResponse:
        return JSONResponse(document, document["status"], media_type=PROBLEM_MEDIA_TYPE)

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(validation_problem(error.errors()))

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> JSONResponse:
        return answer(error.document)

    @app.exception_handler(NotScreenable)
    async def not_screenable(_request: Request, error: NotScreenable) -> JSONResponse:
        remedy = "Send an architecture source that parses and defines `class Net(torch.nn.Module)`."
        return answer(
            problem(422, "not_screenable", str(error), field="source", value=error.location, remedy=remedy)
        )

    @app.exception_handler(GraphMalformed)
    async def no_graph(_request: Request, error: GraphMalformed) -> JSONResponse:
        remedy = "Send a graph as a trace told it, or none."
        return answer(problem(422, "graph_malformed", str(error), field="graph", remedy=remedy))

    @app.exception_handler(IndexBroken)
    async def broken(_request: Request, error: IndexBroken) -> JSONResponse:
        remedy = "Mend the index as described. Searches fill again what it has lost."
        return answer(problem(503, "index_broken", str(error), remedy=remedy))

    @app.exception_handler(HTTPException)
    async def http_error(_request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        return answer(problem(error.status_code, code, str(error.detail)))
