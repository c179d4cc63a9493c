"""`/v1/deltas:apply`: a baseline and a delta make a candidate, or a precise refusal."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from contracts.jobs import AppliedDelta
from contracts.names import MAX_DELTA_BYTES
from gateway.routes.dependencies import ServicesOf, Tenant
from gateway.routes.edit_intake import edit_permissions
from gateway.routes.problems import RequestProblem
from gateway.routes.source_resolution import baseline_of
from gateway.schemas.edits_body import EditsBody
from gateway.schemas.evaluation_body import ArchitectureBody

router = APIRouter(prefix="/v1", tags=["deltas"])


class DeltaBody(ArchitectureBody):
    """A `baseline` by name, or a `baseline_source`; and the text that holds the delta."""

    source: None = None
    delta: Annotated[str, Field(min_length=1, max_length=MAX_DELTA_BYTES)]
    edits: EditsBody = Field(default_factory=EditsBody)
    """Where the delta may change the baseline; further changes are refused as `forbidden_region`."""


@router.post("/deltas:apply")
def apply_delta(body: DeltaBody, services: ServicesOf, _tenant: Tenant) -> AppliedDelta:
    """Apply a delta. A delta that does not fit is an answer, `refused`, not an error.

    A refusal carries `repair_prompt`: what to say to the language model that wrote the delta.
    """
    if (body.baseline is None) == (body.baseline_source is None):
        raise RequestProblem(
            422,
            "invalid_request",
            "exactly one of baseline and baseline_source is needed",
            field="baseline",
            remedy="Name a baseline, or send its source.",
        )
    source = baseline_of(body, services).source
    return services.generator.apply_delta(source, body.delta, edit_permissions(body.edits, [source]))
