"""`/v1/baselines`: the reference architectures that a search starts from, shipped and imported."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from gateway.domain.baseline_filter import is_imported_name
from gateway.routes.api_document import may_answer
from gateway.routes.baseline_listing import listed
from gateway.routes.dependencies import ServicesOf, Tenant
from gateway.routes.problems import RequestProblem
from gateway.schemas.baseline_document import imported_document, shipped_document
from gateway.schemas.baseline_query import BaselineQuery

router = APIRouter(prefix="/v1", tags=["baselines"], responses=may_answer(502))

Json = dict[str, Any]


@router.get("/baselines")
def list_baselines(query: Annotated[BaselineQuery, Query()], services: ServicesOf, _tenant: Tenant) -> Json:
    """The baselines that the filters admit, without their sources.

    By name, the shipped ones first; or with `sort=accuracy`, those with a recorded first epoch on `dataset`,
    the best first.
    """
    return listed(query, services)


@router.get("/baselines/facets")
def list_facets(services: ServicesOf, _tenant: Tenant) -> Json:
    """What imported networks can be filtered by: each value with how many networks have it."""
    return {
        name: [{"value": facet.value, "networks": facet.networks} for facet in facets]
        for name, facets in services.baselines.facets().items()
    }


# The last route: an imported network's name has a slash, and so would take in every path beside it.
@router.get("/baselines/{name:path}")
def read_baseline(name: str, services: ServicesOf, _tenant: Tenant) -> Json:
    """One baseline with its source, its licence, what others recorded, and how it did in smoke runs."""
    if is_imported_name(name) and name.isascii() and name.isprintable():
        imported = services.baselines.named(name)
        if imported is not None:
            return imported_document(imported, whole=True)
    else:
        shipped = services.generator.baseline(name)
        if shipped is not None:
            return shipped_document(shipped, whole=True)
    raise RequestProblem(404, "baseline_unknown", f"There is no baseline {name[:60]!r}.")
