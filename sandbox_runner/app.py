"""The runner's HTTP surface: attempts, capabilities, datasets. Handlers are plain functions, in threads."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from anyio import to_thread
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException

from contracts.jobs import AttemptSpec, AttemptStatus, DatasetReport, RunnerCapabilities
from contracts.problems import PROBLEM_MEDIA_TYPE, problem, validation_problem
from contracts.request_log import LogRequests
from contracts.service_documents import READINESS, completed
from contracts.service_gate import BodyLimit, RequireToken
from sandbox_runner.admission import Refused
from sandbox_runner.attempt_table import AttemptUnknown, FenceConflict, NoFreeSlot
from sandbox_runner.config import RunnerSettings
from sandbox_runner.datasets.errors import DatasetError, DatasetUnavailable, DatasetUnknown
from sandbox_runner.metrics import CONTENT_TYPE, RunnerMetrics
from sandbox_runner.runner import NotReady, Runner
from sandbox_runner.sandboxes.choice import built_in
from sandbox_runner.sandboxes.port import SandboxBackend
from sandbox_runner.uploads import Upload

MAX_BODY_BYTES = 640 * 1024
"""One attempt: a source with JSON's escapes, and its hyperparameters."""
MAX_WAIT_SECONDS = 30.0

MAY_ANSWER: dict[str, tuple[int, ...]] = {
    "/v1/attempts/{attempt_id}": (404, 409, 503),
    "/v1/datasets/{name}:prepare": (404, 503),
    "/v1/datasets/{name}": (404, 503),
    "/v1/datasets/{name}:upload": (404, 503),
}
STREAMS = {"/metrics": "text/plain"}
"""For the document: with which problems paths answer, and which answer no JSON."""


def create_app(settings: RunnerSettings, backends: Sequence[SandboxBackend] | None = None) -> FastAPI:
    """The service, closed to callers without the service token. `backends`: the built-in ones if None."""
    runner = Runner(
        settings, built_in(settings.home, settings.launcher_socket) if backends is None else backends
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Every waiting request holds a thread; those of all slots must leave some for the others.
        to_thread.current_default_thread_limiter().total_tokens += 2 * settings.slots
        runner.start()
        yield
        await run_in_threadpool(runner.stop)

    app = FastAPI(title="deltanas sandbox runner", docs_url=None, redoc_url=None, lifespan=lifespan)
    _add_attempts(app, runner)
    _add_datasets(app, runner)
    metrics = RunnerMetrics(runner.attempts, runner.reasons_not_ready)
    _add_metrics(app, metrics)
    _add_health(app, runner)
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
    return None if path.startswith("/v1/datasets/") and path.endswith(":upload") else MAX_BODY_BYTES


def _add_attempts(app: FastAPI, runner: Runner) -> None:
    @app.put("/v1/attempts/{attempt_id}", status_code=202)
    def put_attempt(attempt_id: str, spec: AttemptSpec) -> AttemptStatus:
        """Start an attempt; the same id and fence again change nothing."""
        if spec.attempt_id != attempt_id:
            raise Refused(
                problem(
                    422,
                    "invalid_attempt",
                    "attempt_id: differs between path and body",
                    field="attempt_id",
                    value=spec.attempt_id,
                    remedy="Use the same id in both.",
                )
            )
        return runner.put(spec)

    @app.get("/v1/attempts")
    def list_attempts() -> dict[str, list[AttemptStatus]]:
        """Every attempt that is known here, without outcomes."""
        return {"items": runner.attempts.all()}

    @app.get("/v1/attempts/{attempt_id}")
    def get_attempt(
        attempt_id: str, wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS)] = 0.0
    ) -> AttemptStatus:
        """One attempt, as soon as it is finished or the wait is over."""
        return runner.attempts.get(attempt_id, wait)

    @app.delete("/v1/attempts/{attempt_id}", status_code=204)
    def delete_attempt(attempt_id: str) -> Response:
        """Kill the attempt if it runs, and forget it."""
        runner.attempts.remove(attempt_id)
        return Response(status_code=204)

    @app.get("/v1/capabilities")
    def capabilities() -> RunnerCapabilities:
        """What this host offers."""
        return runner.capabilities()


def _add_datasets(app: FastAPI, runner: Runner) -> None:
    @app.get("/v1/datasets")
    def list_datasets() -> dict[str, list[DatasetReport]]:
        """Every known dataset, ready or not."""
        return {"items": runner.datasets.reports()}

    @app.post("/v1/datasets/{name}:prepare", status_code=202)
    def prepare_dataset(name: str) -> DatasetReport:
        """Begin to prepare a dataset in the background."""
        return runner.datasets.prepare(name)

    @app.delete("/v1/datasets/{name}", status_code=204)
    def remove_dataset(name: str) -> Response:
        """Remove a user's own data."""
        runner.library.remove(name)
        return Response(status_code=204)

    @app.post("/v1/datasets/{name}:upload", status_code=201)
    async def upload_dataset(name: str, request: Request) -> DatasetReport:
        """Take in a user's own data, an .npz or a .zip of image folders."""
        with await run_in_threadpool(Upload, runner.library, name) as upload:
            async for chunk in request.stream():
                await run_in_threadpool(upload.write, chunk)
            return await run_in_threadpool(upload.finish)


def _add_metrics(app: FastAPI, metrics: RunnerMetrics) -> None:
    @app.get("/metrics")
    def page() -> Response:
        """What this process measures, for Prometheus."""
        return Response(metrics.page(), media_type=CONTENT_TYPE)


def _add_health(app: FastAPI, runner: Runner) -> None:
    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok"}

    @app.get("/readyz", responses=READINESS)
    def readyz() -> JSONResponse:
        """Whether a sandbox backend has passed its probe: no sandbox, no run."""
        reasons = runner.reasons_not_ready()
        status = "unready" if reasons else "ok"
        return JSONResponse({"status": status, "reasons": reasons}, 503 if reasons else 200)


def _add_error_handlers(app: FastAPI) -> None:
    def answer(document: dict[str, Any]) -> JSONResponse:
        return JSONResponse(document, document["status"], media_type=PROBLEM_MEDIA_TYPE)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(validation_problem(error.errors()))

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> JSONResponse:
        return answer(error.document)

    @app.exception_handler(NotReady)
    async def not_ready(_request: Request, error: NotReady) -> JSONResponse:
        return answer(problem(503, "no_sandbox", str(error), remedy="Run `deltanas doctor` on this host."))

    @app.exception_handler(NoFreeSlot)
    async def no_free_slot(_request: Request, error: NoFreeSlot) -> JSONResponse:
        return answer(
            problem(409, "no_free_slot", str(error), remedy="Come again when an attempt has ended.")
        )

    @app.exception_handler(FenceConflict)
    async def fence_conflict(_request: Request, error: FenceConflict) -> JSONResponse:
        return answer(problem(409, "fence_conflict", str(error), remedy="Delete the older attempt first."))

    @app.exception_handler(AttemptUnknown)
    async def attempt_unknown(_request: Request, error: AttemptUnknown) -> JSONResponse:
        return answer(problem(404, "attempt_unknown", f"No attempt {str(error)[:80]!r} is known here."))

    @app.exception_handler(DatasetError)
    async def dataset_error(_request: Request, error: DatasetError) -> JSONResponse:
        status = {DatasetUnknown: 404, DatasetUnavailable: 503}.get(type(error), 422)
        return answer(problem(status, "dataset_unavailable", str(error), field="dataset"))

    @app.exception_handler(StarletteHTTPException)
    async def http_error(_request: Request, error: StarletteHTTPException) -> JSONResponse:
        codes = {404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, "http_error")
        return answer(problem(error.status_code, code, str(error.detail)))
