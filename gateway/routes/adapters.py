"""`/v1/adapters`: the LoRA weights that fine-tunes came to, where they come from, and their files."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from starlette.background import BackgroundTask

from gateway.domain.fine_tuning import FineTuneRecord
from gateway.infra.fine_tune_client import Download
from gateway.infra.fine_tunes import AdapterUnknown
from gateway.infra.service_clients import ServiceRefused
from gateway.routes.answers import json_response
from gateway.routes.api_document import may_answer, may_send
from gateway.routes.dependencies import ServicesOf, Tenant
from gateway.routes.problems import RequestProblem
from gateway.schemas.fine_tune_document import adapter_document
from gateway.schemas.fine_tune_shape import AdapterDocument, AdapterList
from gateway.services import Services

router = APIRouter(prefix="/v1", tags=["adapters"], responses=may_answer(502))

Cursor = Annotated[str | None, Query(pattern=r"^ft_[0-9a-f]{1,40}$")]
Limit = Annotated[int, Query(ge=1, le=200)]
MOST_USERS_NAMED = 5


@router.get("/adapters", response_model=AdapterList)
def list_adapters(services: ServicesOf, tenant: Tenant, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """A tenant's adapters, newest first, each with its manifest."""
    records, next_cursor = services.fine_tunes.page(tenant, limit, cursor, with_adapter=True)
    manifests = {manifest.id: manifest for manifest in services.fine_tuning.adapters()} if records else {}
    items = [adapter_document(manifests[record.id], record) for record in records if record.id in manifests]
    return json_response({"items": items, "next_cursor": next_cursor})


@router.get("/adapters/{adapter_id}", response_model=AdapterDocument)
def read_adapter(adapter_id: str, services: ServicesOf, tenant: Tenant) -> Response:
    """Where an adapter comes from: base, parent, data, settings, metrics, files."""
    record = _own(services, adapter_id, tenant)
    try:
        return json_response(adapter_document(services.fine_tuning.adapter(adapter_id), record))
    except ServiceRefused as error:
        raise _gone(error, adapter_id) from error


@router.get(
    "/adapters/{adapter_id}/files",
    response_class=StreamingResponse,
    responses=may_send("application/x-tar", "The files."),
)
def download_adapter(adapter_id: str, services: ServicesOf, tenant: Tenant) -> StreamingResponse:
    """All files as a tar, in a folder of the adapter's name: as PEFT and vLLM load them."""
    return _download(services, adapter_id, tenant, None, f"{adapter_id}.tar", "application/x-tar")


@router.get(
    "/adapters/{adapter_id}/files/{name}",
    response_class=StreamingResponse,
    responses=may_send("application/octet-stream", "The file."),
)
def download_file(adapter_id: str, name: str, services: ServicesOf, tenant: Tenant) -> StreamingResponse:
    """One file."""
    record = _own(services, adapter_id, tenant)
    try:
        known = [file.name for file in services.fine_tuning.adapter(record.id).files] + ["manifest.json"]
    except ServiceRefused as error:
        raise _gone(error, adapter_id) from error
    if name not in known:
        raise RequestProblem(
            404,
            "file_unknown",
            f"The adapter {adapter_id!r} has no file {name[:60]!r}.",
            remedy=f"It has {', '.join(sorted(known))}.",
        )
    return _download(services, adapter_id, tenant, name, name, "application/octet-stream")


@router.delete("/adapters/{adapter_id}", status_code=204, responses=may_answer(409))
def remove_adapter(adapter_id: str, services: ServicesOf, tenant: Tenant) -> Response:
    """Remove an adapter that no unfinished fine-tune or search needs."""
    _own(services, adapter_id, tenant)
    users = services.fine_tunes.users_of(adapter_id)
    if users:
        raise _in_use(adapter_id, ", ".join(users[:MOST_USERS_NAMED]))
    try:
        services.fine_tuning.remove_adapter(adapter_id)
    except ServiceRefused as error:
        if error.status == 409:  # a job that was cancelled, whose trainer is still ending
            raise _in_use(adapter_id, "a fine-tune that is just ending") from error
        raise
    services.fine_tunes.forget_adapter(adapter_id)
    return Response(status_code=204)


def _in_use(adapter_id: str, users: str) -> RequestProblem:
    return RequestProblem(
        409,
        "adapter_in_use",
        f"The adapter {adapter_id!r} is needed by {users}.",
        field="id",
        value=adapter_id,
        remedy="Wait for them to end, or cancel them.",
    )


def _own(services: Services, adapter_id: str, tenant: str) -> FineTuneRecord:
    try:
        return services.fine_tunes.adapter(adapter_id, tenant)
    except AdapterUnknown as error:
        raise _unknown(adapter_id) from error


def _unknown(adapter_id: str) -> RequestProblem:
    return RequestProblem(404, "adapter_unknown", f"There is no adapter {adapter_id[:60]!r}.")


def _gone(error: ServiceRefused, adapter_id: str) -> Exception:
    """What the generator refuses: an adapter that somebody removed from its folder is not there."""
    return _unknown(adapter_id) if error.status == 404 else error


def _download(
    services: Services, adapter_id: str, tenant: str, name: str | None, saved_as: str, media_type: str
) -> StreamingResponse:
    record = _own(services, adapter_id, tenant)
    try:
        download = services.fine_tuning.adapter_files(record.id, name)
    except ServiceRefused as error:
        raise _gone(error, adapter_id) from error
    headers = {"content-disposition": f'attachment; filename="{saved_as}"'}
    if download.length is not None:
        headers["content-length"] = str(download.length)
    return StreamingResponse(
        _chunks(download), media_type=media_type, headers=headers, background=BackgroundTask(download.close)
    )


def _chunks(download: Download) -> Iterator[bytes]:
    try:
        yield from download
    finally:
        download.close()
