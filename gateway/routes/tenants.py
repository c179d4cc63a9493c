"""`/v1/quota`, `/v1/tenants`, `/v1/audit`: what tenants may use, and what was done with their keys."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from gateway.domain.access import KeyScope
from gateway.domain.api_keys import TENANT_PATTERN
from gateway.infra.quotas import QuotaStore
from gateway.routes.dependencies import CallerOf, Operator, ServicesOf, Tenant
from gateway.routes.problems import RequestProblem
from gateway.schemas.tenant_body import QuotaBody
from gateway.schemas.tenant_document import (
    AuditList,
    QuotaDocument,
    TenantList,
    audit_document,
    quota_document,
)

router = APIRouter(prefix="/v1", tags=["tenants"])

TenantPath = Annotated[str, Path(pattern=TENANT_PATTERN)]
TenantQuery = Annotated[str | None, Query(pattern=TENANT_PATTERN)]
Actor = Annotated[str | None, Query(pattern=r"^(local|key_[0-9a-f]{1,36})$")]
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[int | None, Query(ge=1, le=2**62)]


@router.get("/quota")
def read_quota(services: ServicesOf, tenant: Tenant) -> QuotaDocument:
    """What the caller's tenant may use, and uses now."""
    return _document(services.quotas, tenant)


@router.get("/tenants")
def list_tenants(services: ServicesOf, _operator: Operator) -> TenantList:
    """Every tenant with a key, a quota or work, and what each may use and uses."""
    quotas = services.quotas
    return TenantList(tuple(_document(quotas, tenant) for tenant in quotas.tenants()))


@router.get("/tenants/{tenant}")
def read_tenant(tenant: TenantPath, services: ServicesOf, _operator: Operator) -> QuotaDocument:
    """One tenant."""
    if not services.quotas.is_known(tenant):
        raise RequestProblem(
            404, "tenant_unknown", f"There is no tenant {tenant!r}.", remedy="A key or a quota makes one."
        )
    return _document(services.quotas, tenant)


@router.patch("/tenants/{tenant}")
def change_quota(
    tenant: TenantPath, body: QuotaBody, services: ServicesOf, _operator: Operator
) -> QuotaDocument:
    """Change limits of a tenant. They hold for what comes from now on; what was accepted stays."""
    changes: dict[str, Any] = body.model_dump(include=body.model_fields_set)
    services.quotas.change(tenant, changes)
    return _document(services.quotas, tenant)


@router.get("/audit")
def read_audit(
    services: ServicesOf,
    caller: CallerOf,
    limit: Limit = 100,
    cursor: Cursor = None,
    tenant: TenantQuery = None,
    actor: Actor = None,
) -> AuditList:
    """What was done with keys, newest first. An admin sees its own tenant's, an operator everybody's."""
    whose = tenant if KeyScope.OPERATOR in caller.scopes else caller.tenant
    found, next_cursor = services.audit.page(whose, limit, cursor, actor)
    return AuditList(tuple(audit_document(place, entry) for place, entry in found), next_cursor)


def _document(quotas: QuotaStore, tenant: str) -> QuotaDocument:
    quota, used = quotas.read(tenant)
    return quota_document(tenant, quota, used)
