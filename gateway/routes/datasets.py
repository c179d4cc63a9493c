"""`/v1/datasets`: what there is to train on, preparing it, and adding one's own data."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from contracts.jobs import DatasetReport
from gateway.infra.dataset_owners import DatasetNameTaken
from gateway.routes.dependencies import CallerOf, ServicesOf, Tenant, require_operator
from gateway.routes.problems import RequestProblem
from gateway.services import Services

router = APIRouter(prefix="/v1", tags=["datasets"])

_REPORT = TypeAdapter(DatasetReport)

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


@router.get("/datasets")
def list_datasets(services: ServicesOf, tenant: Tenant) -> dict[str, list[DatasetReport]]:
    """Every dataset of the farm's and one's own that a host knows, ready or not."""
    return {"items": services.datasets.reports(tenant)}


@router.get("/datasets/{name}")
def read_dataset(name: str, services: ServicesOf, tenant: Tenant) -> DatasetReport:
    """One dataset."""
    for report in services.datasets.reports(tenant):
        if report.name == name:
            return report
    raise _unknown(name)


@router.post("/datasets", status_code=201, response_model=DatasetReport)
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
    owners = services.datasets.owners
    declared = request.headers.get("content-length", "")
    wanted = int(declared) if declared.isdigit() and len(declared) < 16 else 1
    if shared:
        require_operator(caller)
    is_new = not shared and await run_in_threadpool(_reserve, services, caller.tenant, name, wanted)
    counted = _Counted(request.stream())
    try:
        report = await services.runner.upload_dataset(name, counted)
    except BaseException:
        if is_new:
            await run_in_threadpool(owners.release, name)
        raise
    if not shared:
        await run_in_threadpool(owners.keep_size, name, counted.size_bytes)
    return Response(
        _REPORT.dump_json(report), 201, {"location": f"/v1/datasets/{name}"}, media_type="application/json"
    )


@router.post("/datasets/{name}:prepare", status_code=202)
def prepare_dataset(name: str, services: ServicesOf, tenant: Tenant, response: Response) -> DatasetReport:
    """Start preparing a standard dataset; its report says when it is ready."""
    if name in services.datasets.owners.hidden_from(tenant):
        raise _unknown(name)
    report = services.runner.prepare_dataset(name)
    response.headers["location"] = f"/v1/datasets/{report.name}"
    response.headers["retry-after"] = "2"
    return report


class _Counted:
    """A stream that counts what passes."""

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        self.size_bytes = 0
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._content:
            self.size_bytes += len(chunk)
            yield chunk


def _reserve(services: Services, tenant: str, name: str, wanted: int) -> bool:
    """Keep the name for the tenant, if it has room for so many bytes; whether it is new."""
    known = {report.name for report in services.datasets.all_reports()}
    try:
        with services.database.write() as session:
            is_new = services.datasets.owners.reserve(session, name, tenant)
            if is_new and name in known:
                raise DatasetNameTaken(name)
            services.quotas.require_storage(session, tenant, wanted)
            return is_new
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
