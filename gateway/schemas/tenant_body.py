"""Bodies of requests about keys and tenants."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gateway.domain.access import USUAL_SCOPES, KeyScope
from gateway.domain.api_keys import TENANT_PATTERN

TenantName = Annotated[str, Field(pattern=TENANT_PATTERN)]
LONGEST_DAYS = 3650
LONGEST_OVERLAP_HOURS = 24 * 30
GREATEST = 10**15

Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Amount = Annotated[int, Field(ge=0, le=GREATEST)]
Days = Annotated[int, Field(ge=1, le=LONGEST_DAYS)]


class KeyBody(BaseModel):
    """A key to make. `tenant`: the caller's own, unless an operator says another."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    tenant: TenantName | None = None
    label: Annotated[str, Field(max_length=120)] = ""
    scopes: Annotated[tuple[KeyScope, ...], Field(min_length=1, max_length=len(KeyScope))] = USUAL_SCOPES
    expires_in_days: Days | None = None
    """None: never."""


class RotationBody(BaseModel):
    """How a key is followed by another."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    overlap_hours: Annotated[float, Field(ge=0, le=LONGEST_OVERLAP_HOURS)] = 24.0
    """So long both open the door, for what still uses the old one."""
    expires_in_days: Days | None = None
    """None: as many as the old one was made with."""


class QuotaBody(BaseModel):
    """Limits of a tenant to change; what is left out stays, null goes back to the farm's default."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    weight: Annotated[float, Field(ge=0.01, le=1000)] | None = None
    """Its share of contested slots beside others, which have 1."""
    queued: Count | None = None
    running: Count | None = None
    gpu_seconds_per_day: Amount | None = None
    storage_bytes: Amount | None = None
    searches: Count | None = None
