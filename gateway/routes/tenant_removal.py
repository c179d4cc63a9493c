"""`POST /v1/tenants/{tenant}:remove`: everything that a tenant has, told or removed. The operator's alone."""

import logging
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict

from gateway.domain.api_keys import TENANT_PATTERN
from gateway.infra.tenant_leftovers import Leftovers
from gateway.infra.tenant_removal import TenantRemoval
from gateway.routes.api_document import may_answer
from gateway.routes.dependencies import Operator, ServicesOf
from gateway.schemas.tenant_document import RemovalDocument

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1", tags=["tenants"])


class RemovalBody(BaseModel):
    """What to do."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    dry_run: bool = True
    """Only tell what would go."""


@router.post("/tenants/{tenant}:remove", responses=may_answer(409, 502))
def remove_tenant(
    tenant: Annotated[str, Path(pattern=TENANT_PATTERN)],
    services: ServicesOf,
    _operator: Operator,
    body: RemovalBody | None = None,
) -> RemovalDocument:
    """Remove a tenant with all that it has, by table. May be asked again where it was cut off."""
    leftovers = Leftovers(services.filter, services.fine_tuning, services.runner, services.baseline_spool)
    removal = TenantRemoval(services.database, leftovers)
    dry_run = body is None or body.dry_run
    if dry_run:
        holdings = removal.holdings(tenant)
    else:
        log.warning("removing all that a tenant has", extra={"details": {"removed_tenant": tenant}})
        holdings = removal.remove(tenant)
    return RemovalDocument(tenant, dry_run, holdings.rows)
