"""What a caller may ask of webhooks, with its ranges. Unknown fields are refused."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gateway.domain.webhook_targets import MAX_URL_LENGTH
from gateway.domain.webhooks import EVENT_FILTERS

MAX_OVERLAP_HOURS = 168

_CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True)

WebhookUrl = Annotated[str, Field(min_length=1, max_length=MAX_URL_LENGTH)]
"""Read by `gateway.domain.webhook_targets`, which says what is wrong with it."""
Description = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
EventFilter = Literal[EVENT_FILTERS]  # type: ignore[valid-type]
EventTypes = Annotated[list[EventFilter], Field(max_length=len(EVENT_FILTERS))]


class WebhookEndpointBody(BaseModel):
    """A URL to tell of events."""

    model_config = _CLOSED

    url: WebhookUrl
    event_types: EventTypes = Field(default_factory=list)
    """Which events; `search.*` are all of searches, an empty list is everything."""
    description: Description = ""


class WebhookEndpointChange(BaseModel):
    """What to change of an endpoint; what is left out or null stays."""

    model_config = _CLOSED

    url: WebhookUrl | None = None
    event_types: EventTypes | None = None
    description: Description | None = None
    enabled: Annotated[bool, Field(strict=True)] | None = None


class RotationBody(BaseModel):
    """How a secret is replaced."""

    model_config = _CLOSED

    overlap_hours: Annotated[int, Field(strict=True, ge=0, le=MAX_OVERLAP_HOURS)] = 24
    """So long messages are signed with the old secret, too; 0 ends it at once."""


class ReplayBody(BaseModel):
    """Which failed deliveries of an endpoint are sent again."""

    model_config = _CLOSED

    since: AwareDatetime | None = None
    """Those accepted from then on; null: all that are in the log."""
