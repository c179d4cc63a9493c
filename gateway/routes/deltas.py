"""`/v1/deltas:apply`: a baseline and a delta make a candidate, or a precise refusal."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from contracts.names import MAX_DELTA_BYTES
from contracts.proposals import AnswerForm, DataShape, DeploymentLimits
from gateway.routes.answers import json_response
from gateway.routes.api_document import may_answer
from gateway.routes.cost_intake import data_shape, limited_cost
from gateway.routes.dependencies import ServicesOf, Tenant
from gateway.routes.edit_intake import edit_permissions
from gateway.routes.problems import RequestProblem
from gateway.routes.source_resolution import baseline_of
from gateway.schemas.delta_shape import AppliedDeltaDocument
from gateway.schemas.deployment_body import DeploymentBody, deployment_limits
from gateway.schemas.edits_body import EditsBody
from gateway.schemas.evaluation_body import ArchitectureBody, Name
from gateway.services import Services

router = APIRouter(prefix="/v1", tags=["deltas"], responses=may_answer(502))


class DeltaBody(ArchitectureBody):
    """A `baseline` by name, or a `baseline_source`; and the text that holds the delta."""

    source: None = None
    delta: Annotated[str, Field(min_length=1, max_length=MAX_DELTA_BYTES)]
    form: AnswerForm = AnswerForm.DELTA
    """`source`: `delta` holds a whole source, prose and fences around it allowed."""
    edits: EditsBody = Field(default_factory=EditsBody)
    """Where the delta may change the baseline; further changes are refused as `forbidden_region`."""
    deployment: DeploymentBody = Field(default_factory=DeploymentBody)
    """What the result must keep to; its parameters and FLOPs are counted for `dataset`."""
    dataset: Name | None = None


@router.post("/deltas:apply", response_model=AppliedDeltaDocument)
def apply_delta(body: DeltaBody, services: ServicesOf, tenant: Tenant) -> Response:
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
    limits = deployment_limits(body.deployment)
    shape = _data_shape(body.dataset, limits, services, tenant)
    source = baseline_of(body, services).source
    applied = services.generator.apply_delta(
        source,
        body.delta,
        edit_permissions(body.edits, [source]),
        body.form,
        limits,
        dataset=body.dataset,
        data_shape=shape,
        with_repair=True,
    )
    return json_response(applied)


def _data_shape(
    dataset: str | None, limits: DeploymentLimits, services: Services, tenant: str
) -> DataShape | None:
    """For whose images the costs are counted that the caller limits; None where none are limited."""
    limited = limited_cost(limits)
    if limited is None:
        return None
    if dataset is None:
        raise RequestProblem(
            422,
            "invalid_request",
            f"deployment.{limited} is counted for the images of a data set, and none is named.",
            field="dataset",
            remedy="Name the data set that the network is meant for.",
        )
    return data_shape(services.datasets.require_ready(dataset, tenant), limits)
