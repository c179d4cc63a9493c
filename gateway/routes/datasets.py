"""`/v1/datasets`: what there is to train on, preparing it, and adding one's own data."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from contracts.jobs import DatasetReport
from gateway.infra.dataset_owners import DatasetNameTaken
from gateway.infra.service_clients import ServiceRefused
from gateway.routes.answers import json_response
from gateway.routes.api_document import may_answer, takes_octets
from gateway.routes.dependencies import CallerOf, ServicesOf, Tenant, require_operator
from gateway.routes.passing import Passing
from gateway.routes.problems import RequestProblem
from gateway.schemas.dataset_shape import DatasetDocument, DatasetList
from gateway.services import Services

router = APIRouter(prefix="/v1", tags=["datasets"], responses=may_answer(502))

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


@router.get("/datasets", response_model=DatasetList)
def list_datasets(services: ServicesOf, tenant: Tenant) -> Response:
    """Every dataset of the farm's and one's own that a host knows, ready or not."""
    return json_response({"items": services.datasets.reports(tenant)})


@router.get("/datasets/{name}", response_model=DatasetDocument)
def read_dataset(name: str, services: ServicesOf, tenant: Tenant) -> Response:
    """One dataset."""
    for report in services.datasets.reports(tenant):
        if report.name == name:
            return json_response(report)
    raise _unknown(name)


@router.post(
    "/datasets",
    status_code=201,
    response_model=DatasetDocument,
    responses=may_answer(409),
    openapi_extra=takes_octets("An .npz, or a .zip of image folders by class."),
)
async def add_dataset(
    request: Request,
    services: ServicesOf,
    caller: CallerOf,
    name: Annotated[str, Query(pattern=NAME_PATTERN)],
    shared: Annotated[bool, Query(description="For every tenant; operators may.")] = False,
) -> Response:
    """Add one's own data: the body is an .npz, or a .zip of image folders by class, as octet-stream.

    The bytes pass through to the runner as they come; the runner bounds and checks them.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/octet-stream":
        raise RequestProblem(
            415,
            "unsupported_media_type",
            "A dataset is sent as application/octet-stream.",
            field="Content-Type",
            remedy="Send `Content-Type: application/octet-stream`.",
        )
    if shared:
        require_operator(caller)
        report = await services.runner.upload_dataset(name, request.stream())
    else:
        report = await _add_own(services, caller.tenant, name, request)
    return json_response(report, 201, {"location": f"/v1/datasets/{name}"})


@router.post(
    "/datasets/{name}:prepare", status_code=202, response_model=DatasetDocument, responses=may_answer(409)
)
def prepare_dataset(name: str, services: ServicesOf, tenant: Tenant) -> Response:
    """Start preparing a standard dataset; its report says when it is ready."""
    if name in services.datasets.owners.hidden_from(tenant):
        raise _unknown(name)
    report = services.runner.prepare_dataset(name)
    return json_response(report, 202, {"location": f"/v1/datasets/{report.name}", "retry-after": "2"})


async def _add_own(services: Services, tenant: str, name: str, request: Request) -> DatasetReport:
    """A tenant's own data set: its name and its bytes are the tenant's before the first of them arrives."""
    owners = services.datasets.owners
    reserved = await run_in_threadpool(_reserve, services, tenant, name, _declared_bytes(request))
    passing = Passing(request.stream(), reserved.room)
    try:
        report = await services.runner.upload_dataset(name, passing)
    except BaseException as error:
        # What the runner may have after all stays the tenant's: without an owner it would be everybody's.
        if passing.is_whole and not isinstance(error, ServiceRefused):
            await run_in_threadpool(owners.keep_size, name, passing.size_bytes)
        elif reserved.mark is not None:
            await run_in_threadpool(owners.release, name, reserved.mark)
        raise
    await run_in_threadpool(owners.keep_size, name, passing.size_bytes)
    return report


def _declared_bytes(request: Request) -> int | None:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdigit() and len(declared) < 16 else None


@dataclass(frozen=True)
class _Reserved:
    """A name, and room for what is to have it."""

    mark: datetime | None
    """By which the name is given back; None where the tenant had it before."""
    room: int | None
    """Bytes that may come; None: the runner alone limits them."""


def _reserve(services: Services, tenant: str, name: str, declared: int | None) -> _Reserved:
    """Keep the name, and room for what was declared, or all there is where nothing was."""
    known = {report.name for report in services.datasets.all_reports()}
    try:
        with services.database.write() as session:
            room = services.quotas.require_storage(session, tenant, declared or 1)
            size_bytes = (room or 0) if declared is None else declared
            mark = services.datasets.owners.reserve(session, name, tenant, size_bytes)
            if mark is not None and name in known:
                raise DatasetNameTaken(name)
            return _Reserved(mark, room)
    except DatasetNameTaken as error:
        raise RequestProblem(
            409,
            "dataset_name_taken",
            f"The name {name!r} is taken.",
            field="name",
            value=name,
            remedy="Choose another name.",
        ) from error


def _unknown(name: str) -> RequestProblem:
    return RequestProblem(404, "dataset_unknown", f"There is no dataset {name[:60]!r}.")
