"""What a network must keep to so that it can be deployed, as a caller says it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from contracts.proposals import DeploymentLimits

MAX_OPERATORS = 64
MAX_COUNT = 2**53 - 1
"""JSON numbers are whole up to here everywhere."""

Operator = Annotated[str, Field(pattern=r"^[\p{L}_][\w]{0,79}$")]
"""A name as it is written after the last dot."""
Count = Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)]


class DeploymentBody(BaseModel):
    """Nothing set: no limits. `max_flops` counts multiplications and additions for one image."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    forbidden_operators: Annotated[list[Operator], Field(max_length=MAX_OPERATORS)] = Field(
        default_factory=list
    )
    max_parameters: Count | None = None
    max_flops: Count | None = None


def deployment_limits(body: DeploymentBody) -> DeploymentLimits:
    """The limits, each operator once."""
    forbidden = tuple(dict.fromkeys(body.forbidden_operators))
    return DeploymentLimits(forbidden, body.max_parameters, body.max_flops)
