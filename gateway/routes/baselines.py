"""`/v1/baselines`: the reference architectures that a search starts from, shipped and imported."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from gateway.domain.baseline_filter import is_imported_name
from gateway.routes.answers import json_response
from gateway.routes.api_document import may_answer
from gateway.routes.baseline_listing import listed
from gateway.routes.dependencies import ServicesOf, Tenant
from gateway.routes.problems import RequestProblem
from gateway.schemas.baseline_document import imported_document, shipped_document
from gateway.schemas.baseline_query import BaselineQuery
from gateway.schemas.baseline_shape import BaselineList, FacetsDocument, WholeBaselineDocument

router = APIRouter(prefix="/v1", tags=["baselines"], responses=may_answer(502))


@router.get("/baselines", response_model=BaselineList)
def list_baselines(
    query: Annotated[BaselineQuery, Query()], services: ServicesOf, _tenant: Tenant
) -> Response:
    """The baselines that the filters admit, without their sources.

    By name, the shipped ones first; or with `sort=accuracy`, those with a recorded first epoch on `dataset`,
    the best first.
    """
    return json_response(listed(query, services))


@router.get("/baselines/facets", response_model=FacetsDocument)
def list_facets(services: ServicesOf, _tenant: Tenant) -> Response:
    """What imported networks can be filtered by: each value with how many networks have it."""
    return json_response(services.baselines.facets())


# The last route: an imported network's name has a slash, and so would take in every path beside it.
@router.get("/baselines/{name:path}", response_model=WholeBaselineDocument)
def read_baseline(name: str, services: ServicesOf, _tenant: Tenant) -> Response:
    """One baseline with its source, its licence, what others recorded, and how it did in smoke runs."""
    if is_imported_name(name) and name.isascii() and name.isprintable():
        imported = services.baselines.named(name)
        if imported is not None:
            return json_response(imported_document(imported, whole=True))
    else:
        shipped = services.generator.baseline(name)
        if shipped is not None:
            return json_response(shipped_document(shipped, whole=True))
    raise RequestProblem(404, "baseline_unknown", f"There is no baseline {name[:60]!r}.")
