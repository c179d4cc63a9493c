"""`/v1/baselines`: the reference architectures that a search starts from."""

from fastapi import APIRouter

from contracts.jobs import BaselineNetwork
from gateway.routes.dependencies import ServicesOf, Tenant
from gateway.routes.problems import RequestProblem

router = APIRouter(prefix="/v1", tags=["baselines"])


@router.get("/baselines")
def list_baselines(services: ServicesOf, _tenant: Tenant) -> dict[str, list[BaselineNetwork]]:
    """Every baseline, with its source."""
    return {"items": services.generator.baselines()}


@router.get("/baselines/{name}")
def read_baseline(name: str, services: ServicesOf, _tenant: Tenant) -> BaselineNetwork:
    """One baseline."""
    baseline = services.generator.baseline(name)
    if baseline is None:
        raise RequestProblem(404, "baseline_unknown", f"There is no baseline {name[:60]!r}.")
    return baseline
