"""`/v1/novelty:check`: is an architecture new, compared with a search's candidates or with the baselines."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from contracts.jobs import Admission, ScreeningRequest
from contracts.source_rules import candidate_id
from gateway.infra.identifiers import new_id
from gateway.infra.service_clients import ServiceRefused
from gateway.routes.answers import json_response
from gateway.routes.api_document import may_answer
from gateway.routes.dependencies import ServicesOf, Tenant
from gateway.routes.source_resolution import checked
from gateway.schemas.delta_shape import ScreeningDocument
from gateway.schemas.evaluation_body import SourceText
from gateway.services import Services

router = APIRouter(prefix="/v1", tags=["novelty"], responses=may_answer(404, 502))

LIBRARY_SCOPE = "library"


class NoveltyBody(BaseModel):
    """What to compare, with what, and from which Jaccard similarity on it counts as a copy."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    source: SourceText
    scope: Annotated[str, Field(pattern=r"^(library|se_[0-9a-f]{1,40})$")] = LIBRARY_SCOPE
    """A search's id, or `library`: the baselines."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.90


@router.post("/novelty:check", response_model=ScreeningDocument)
def check_novelty(body: NoveltyBody, services: ServicesOf, tenant: Tenant) -> Response:
    """Novel or not, the layer that decided, and the nearest architectures. Admits nothing."""
    source = checked(body.source, "source")
    if body.scope == LIBRARY_SCOPE:
        scope = _filled_library(services)
    else:
        services.searches.read(body.scope, tenant)
        scope = f"search:{body.scope}"
    asked = ScreeningRequest(
        scope=scope, proposal_id=new_id("check"), source=source, threshold=body.threshold
    )
    return json_response(services.filter.screen(asked))


def _filled_library(services: Services) -> str:
    """The filter's scope that holds the baselines as they are now; filled unless it is.

    Its name follows from their sources: after an upgrade that changes them, nothing is compared with the old.
    """
    baselines = services.generator.baselines()
    sources = "".join(sorted(candidate_id(baseline.source) for baseline in baselines))
    scope = f"library:{hashlib.sha256(sources.encode()).hexdigest()[:16]}"
    try:
        if services.filter.count(scope) >= len(baselines):
            return scope
    except ServiceRefused as error:
        if error.status != 404:
            raise
    for baseline in baselines:
        services.filter.admit(
            f"library-{baseline.name}", Admission(scope, baseline.source, label=baseline.name)
        )
    return scope
