"""`/v1/baselines:import` and `/v1/baselines/imports`: bring a collection of reference networks in."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from gateway.domain.baseline_import import ImportRecord
from gateway.infra.baseline_imports import (
    MAX_OPEN_IMPORTS,
    ImportUnknown,
    TooManyImports,
    import_topic,
)
from gateway.infra.baseline_spool import MAX_FILE_BYTES, FileTooLarge, Reception, SpoolUnwritable
from gateway.infra.idempotency import Answer
from gateway.infra.identifiers import new_id
from gateway.routes.answers import answer_response, json_response
from gateway.routes.api_document import may_answer, takes_octets
from gateway.routes.dependencies import ServicesOf, Tenant
from gateway.routes.following import WaitSeconds, wait_until
from gateway.routes.open_limits import too_many_open
from gateway.routes.problems import RequestProblem
from gateway.schemas.baseline_document import import_document
from gateway.schemas.baseline_query import ImportOrigin
from gateway.schemas.baseline_shape import ImportDocument, ImportList
from gateway.services import Services

router = APIRouter(prefix="/v1", tags=["baselines"], responses=may_answer(502))

CHUNK_BYTES = 1024 * 1024

Cursor = Annotated[str | None, Query(pattern=r"^bi_[0-9a-f]{1,40}$")]
Limit = Annotated[int, Query(ge=1, le=200)]


@router.post(
    "/baselines:import",
    status_code=202,
    response_model=ImportDocument,
    responses=may_answer(507),
    openapi_extra=takes_octets("A file of reference networks."),
)
async def import_baselines(
    request: Request, services: ServicesOf, tenant: Tenant, origin: Annotated[ImportOrigin, Query()]
) -> Response:
    """Take in a file of reference networks, as octet-stream; for `lemur` the wheel of nn-dataset 2.1.2.

    Once answered with 202 the file is on disk and will be imported; `Location` tells how far it is. The
    networks are there for everybody, all at once, when the import has succeeded.
    """
    _require_octets(request)
    await run_in_threadpool(_require_permission, services)
    import_id = new_id("bi")
    try:
        with await run_in_threadpool(services.baseline_spool.receive, import_id) as reception:
            await _take_in(request, reception)
            record = await run_in_threadpool(_accept, services, reception, import_id, tenant, origin)
    except TooManyImports as error:
        raise _too_many() from error
    except FileTooLarge as error:
        raise _too_large() from error
    except SpoolUnwritable as error:
        raise _unwritable(error) from error
    except ClientDisconnect:
        return Response(status_code=400)
    answer = Answer(202, import_document(record), f"/v1/baselines/imports/{record.id}")
    return answer_response(answer)


@router.get("/baselines/imports", response_model=ImportList)
def list_imports(services: ServicesOf, tenant: Tenant, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """A tenant's imports, newest first."""
    records, next_cursor = services.baseline_imports.page(tenant, limit, cursor)
    items = [import_document(record) for record in records]
    return json_response({"items": items, "next_cursor": next_cursor})


@router.get("/baselines/imports/{import_id}", response_model=ImportDocument)
async def read_import(
    import_id: str, services: ServicesOf, tenant: Tenant, wait: WaitSeconds = 0
) -> Response:
    """One import; with `wait`, as soon as it has ended or that many seconds have passed."""
    found = await wait_until(
        services.database.signals,
        import_topic(import_id),
        partial(_read, services, import_id, tenant),
        lambda record: record.state.is_terminal,
        wait,
    )
    return json_response(import_document(found))


def _read(services: Services, import_id: str, tenant: str) -> ImportRecord:
    try:
        return services.baseline_imports.read(import_id, tenant)
    except ImportUnknown as error:
        raise RequestProblem(404, "import_unknown", f"There is no import {import_id[:60]!r}.") from error


async def _take_in(request: Request, reception: Reception) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_FILE_BYTES:
        raise FileTooLarge
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) >= CHUNK_BYTES:
            await run_in_threadpool(reception.write, bytes(chunks))
            chunks.clear()
    await run_in_threadpool(reception.write, bytes(chunks))


def _accept(
    services: Services, reception: Reception, import_id: str, tenant: str, origin: str
) -> ImportRecord:
    file = reception.keep()
    try:
        with services.database.write() as session:
            record = services.baseline_imports.create(session, import_id, tenant, origin, file)
    except BaseException:
        services.baseline_spool.discard(import_id)
        raise
    if record.id != import_id:  # the same file is being imported already
        services.baseline_spool.discard(import_id)
    return record


def _require_octets(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/octet-stream":
        raise RequestProblem(
            415,
            "unsupported_media_type",
            "A file of networks is sent as application/octet-stream.",
            field="Content-Type",
            remedy="Send `Content-Type: application/octet-stream`.",
        )


def _require_permission(services: Services) -> None:
    if not services.settings.is_loopback:
        raise RequestProblem(
            403,
            "import_not_allowed",
            "Imported networks are everybody's: they are imported from the server's own machine alone.",
            remedy="Start the server on 127.0.0.1 and run `deltanas baselines import` there, then open it.",
        )
    if not services.baseline_imports.has_room():  # before hundreds of megabytes are sent
        raise _too_many()


def _too_many() -> RequestProblem:
    return too_many_open("too_many_imports", "imports", MAX_OPEN_IMPORTS, "Wait for one to end.")


def _too_large() -> RequestProblem:
    return RequestProblem(
        413,
        "body_too_large",
        f"The file is larger than {MAX_FILE_BYTES} bytes.",
        field="body",
        remedy="Send the wheel of nn-dataset 2.1.2 as it was published; it has 103 MB.",
    )


def _unwritable(error: SpoolUnwritable) -> RequestProblem:
    return RequestProblem(
        507,
        "disk_full",
        f"The file could not be written to DELTANAS_HOME: {error}.",
        remedy="Free some space on that disk, then import the file again.",
    )
