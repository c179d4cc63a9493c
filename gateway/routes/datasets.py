"""`/v1/datasets`: what there is to train on, preparing it, and adding one's own data."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter

from contracts.jobs import DatasetReport
from gateway.routes.dependencies import ServicesOf, Tenant
from gateway.routes.problems import RequestProblem

router = APIRouter(prefix="/v1", tags=["datasets"])

_REPORT = TypeAdapter(DatasetReport)

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


@router.get("/datasets")
def list_datasets(services: ServicesOf, _tenant: Tenant) -> dict[str, list[DatasetReport]]:
    """Every dataset that a host knows, ready or not."""
    return {"items": services.datasets.reports()}


@router.get("/datasets/{name}")
def read_dataset(name: str, services: ServicesOf, _tenant: Tenant) -> DatasetReport:
    """One dataset."""
    for report in services.datasets.reports():
        if report.name == name:
            return report
    raise RequestProblem(404, "dataset_unknown", f"There is no dataset {name[:60]!r}.")


@router.post("/datasets", status_code=201, response_model=DatasetReport)
async def add_dataset(
    request: Request,
    services: ServicesOf,
    _tenant: Tenant,
    name: Annotated[str, Query(pattern=NAME_PATTERN)],
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
    report = await services.runner.upload_dataset(name, request.stream())
    return Response(
        _REPORT.dump_json(report), 201, {"location": f"/v1/datasets/{name}"}, media_type="application/json"
    )


@router.post("/datasets/{name}:prepare", status_code=202)
def prepare_dataset(name: str, services: ServicesOf, _tenant: Tenant, response: Response) -> DatasetReport:
    """Start preparing a standard dataset; its report says when it is ready."""
    report = services.runner.prepare_dataset(name)
    response.headers["location"] = f"/v1/datasets/{report.name}"
    response.headers["retry-after"] = "2"
    return report
