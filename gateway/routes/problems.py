"""Every error of the API as a problem document: what routes raise, and how exceptions are answered."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from contracts.problems import PROBLEM_MEDIA_TYPE, problem, validation_problem
from gateway.domain.quotas import QuotaExceeded, QuotaName
from gateway.infra.database import StorageUnavailable
from gateway.infra.dataset_catalogue import DatasetNotReady, DatasetUnknown
from gateway.infra.evaluation_store import EvaluationUnknown
from gateway.infra.idempotency import IdempotencyKeyReused
from gateway.infra.search_store import SearchNotFound, SearchStateConflict
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5

_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}


class RequestProblem(Exception):
    """A request that cannot be served, as the problem document that says why."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        """`more` are `contracts.problems.problem`'s field, value, remedy and errors."""
        super().__init__(detail)
        self.document = problem(status, code, detail, **more)
        self.headers = dict(headers or {})


def problem_response(document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """A problem document as a response. ASCII JSON, so that no quoted text can break the encoding."""
    return Response(
        json.dumps(document).encode(),
        status_code=document["status"],
        media_type=PROBLEM_MEDIA_TYPE,
        headers=dict(headers or {}),
    )


def problem_of(error: Exception) -> RequestProblem | None:
    """The problem that an exception of the inner layers stands for, or None."""
    if isinstance(error, RequestProblem):
        return error
    translate = _TRANSLATIONS.get(type(error))
    return None if translate is None else translate(error)


def _malformed_body() -> dict[str, Any]:
    return problem(
        400, "malformed_body", "The body is not JSON.", field="body", remedy="Send one JSON object in UTF-8."
    )


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _not_json(request: Request) -> dict[str, Any]:
    return problem(
        415,
        "unsupported_media_type",
        "The body is not declared as JSON.",
        field="Content-Type",
        value=request.headers.get("content-type"),
        remedy="Send `Content-Type: application/json` with one JSON object.",
    )


def _allowed_methods(request: Request) -> str:
    """All methods of a path. A router tells only those of the first route that it finds."""
    allowed = [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    ]
    return ", ".join(dict.fromkeys(["HEAD", *allowed] if "GET" in allowed else allowed))


def _evaluation_unknown(error: Any) -> RequestProblem:
    return RequestProblem(404, "evaluation_unknown", f"There is no evaluation {str(error)[:60]!r}.")


def _search_unknown(error: Any) -> RequestProblem:
    return RequestProblem(404, "search_unknown", f"There is no search {str(error)[:60]!r}.")


def _search_state_conflict(error: SearchStateConflict) -> RequestProblem:
    return RequestProblem(
        409,
        "search_has_ended",
        f"The search has ended; its state is {error.state.value}.",
        field="state",
        value=error.state.value,
        remedy="Start a new search; one with the same seed makes the same candidates.",
    )


def _dataset_unknown(error: DatasetUnknown) -> RequestProblem:
    return RequestProblem(
        422,
        "unknown_dataset",
        f"No host knows the dataset {error.name!r}.",
        field="dataset",
        value=error.name,
        remedy=f"Use one of: {', '.join(error.known) or 'none is known yet'}; or add your own data.",
    )


def _dataset_not_ready(error: DatasetNotReady) -> RequestProblem:
    return RequestProblem(
        422,
        "dataset_not_ready",
        f"The dataset {error.name!r} is not prepared.",
        field="dataset",
        value=error.name,
        remedy=error.problem[:500],
    )


def _key_reused(error: Any) -> RequestProblem:
    return RequestProblem(
        422,
        "idempotency_key_reused",
        "This Idempotency-Key was used for another body.",
        field="Idempotency-Key",
        value=str(error),
        remedy="Use a new key for a new request.",
    )


def _service_unavailable(error: ServiceUnavailable) -> RequestProblem:
    return RequestProblem(
        503,
        "service_unavailable",
        f"The {error.service} service cannot answer now.",
        remedy="Try again shortly; `deltanas doctor` says what is missing.",
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
    )


def _storage_unavailable(_error: StorageUnavailable) -> RequestProblem:
    return RequestProblem(
        503,
        "storage_unavailable",
        "The gateway cannot write to its database now; nothing of this request was stored.",
        remedy="Try again shortly; if it lasts, look whether the disk of DELTANAS_HOME is full or read-only.",
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
    )


def _service_refused(error: ServiceRefused) -> RequestProblem:
    document = error.document
    return RequestProblem(
        error.status if error.status in {404, 409, 413, 415, 422} else 502,
        str(document.get("code", "service_refused"))[:60],
        str(document.get("detail", f"The {error.service} service refused the request."))[:2000],
        field=document.get("field"),
        value=document.get("value"),
        remedy=document.get("remedy"),
    )


_QUOTA_CODES = {
    QuotaName.QUEUED: "queue_full",
    QuotaName.SEARCHES: "too_many_searches",
    QuotaName.GPU_SECONDS_PER_DAY: "gpu_seconds_spent",
    QuotaName.STORAGE_BYTES: "storage_full",
}
_QUOTA_REMEDIES = {
    QuotaName.QUEUED: "Wait for some evaluations to end, or cancel some.",
    QuotaName.SEARCHES: "Wait for some searches to end, or cancel some.",
    QuotaName.GPU_SECONDS_PER_DAY: "Wait for the next day, in UTC, or use the device cpu.",
    QuotaName.STORAGE_BYTES: "Remove data sets or adapters, or ask the operator for more.",
}


def _quota_exceeded(error: QuotaExceeded) -> RequestProblem:
    waits = error.retry_seconds is not None
    return RequestProblem(
        429 if waits else 403,
        _QUOTA_CODES[error.name],
        f"The quota {error.name.value} is {error.limit}: {error.used} are used, and {error.wanted} more are "
        "asked for." + (f" What is in flight may use {error.reserved} more." if error.reserved else ""),
        field=error.name.value,
        value=error.used + error.wanted,
        remedy=f"{_QUOTA_REMEDIES[error.name]} `deltanas quota` shows what is used.",
        headers={"retry-after": str(error.retry_seconds)} if waits else None,
    )


_TRANSLATIONS: dict[type[Exception], Callable[[Any], RequestProblem]] = {
    EvaluationUnknown: _evaluation_unknown,
    SearchNotFound: _search_unknown,
    SearchStateConflict: _search_state_conflict,
    DatasetUnknown: _dataset_unknown,
    DatasetNotReady: _dataset_not_ready,
    IdempotencyKeyReused: _key_reused,
    ServiceUnavailable: _service_unavailable,
    StorageUnavailable: _storage_unavailable,
    ServiceRefused: _service_refused,
    QuotaExceeded: _quota_exceeded,
}


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of the application with a problem document."""

    def on_known(_request: Request, error: Exception) -> Response:
        found = problem_of(error)
        if found is None:  # handlers are installed for translatable exceptions only
            raise error
        if isinstance(error, ServiceUnavailable | StorageUnavailable):
            log.warning("%s", error)
        return problem_response(found.document, found.headers)

    def on_invalid(request: Request, error: Exception) -> Response:
        errors = error.errors() if isinstance(error, RequestValidationError) else []
        if any(found["loc"] == ("body",) for found in errors) and not _is_json(request):
            return problem_response(_not_json(request))
        if any(found["type"] == "json_invalid" for found in errors):
            return problem_response(_malformed_body())
        return problem_response(validation_problem(errors))

    def on_http(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        if error.status_code == 400:
            return problem_response(_malformed_body())
        code = _HTTP_CODES.get(error.status_code, "http_error")
        detail = f"{request.method} {request.url.path[:200]}: {error.detail}"
        headers = {"allow": _allowed_methods(request)} if error.status_code == 405 else error.headers
        return problem_response(problem(error.status_code, code, detail), headers)

    def on_unexpected(request: Request, _error: Exception) -> Response:
        request_id = getattr(request.state, "request_id", "")
        document = problem(
            500, "internal_error", "The gateway failed; nothing of this request was stored by halves."
        )
        return problem_response(document, {"x-request-id": request_id})

    known_types: list[type[Exception]] = [RequestProblem, *_TRANSLATIONS]
    for known in known_types:
        app.add_exception_handler(known, on_known)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_unexpected)
