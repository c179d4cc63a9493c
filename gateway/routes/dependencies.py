"""What handlers ask for in their signatures: the services, the caller's tenant, the idempotency key."""

from typing import Annotated

from fastapi import Depends, Header, Request

from contracts.service_gate import bearer_token
from gateway.infra.evaluation_store import LOCAL_TENANT
from gateway.routes.problems import RequestProblem
from gateway.services import Services


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesOf = Annotated[Services, Depends(_services)]


def _tenant(request: Request, services: ServicesOf) -> str:
    """The tenant of the API key; without one, `local` where only this machine reaches the gateway."""
    key = bearer_token(request.scope)
    if key is None and services.settings.keyless:
        return LOCAL_TENANT
    tenant = None if key is None else services.keys.tenant_of(key)
    if tenant is None:
        raise RequestProblem(
            401,
            "api_key_required",
            "This needs a valid API key." if key is None else "This API key is not in force.",
            remedy="Send `Authorization: Bearer dn_…`; `deltanas keys create` makes a key.",
            headers={"www-authenticate": "Bearer"},
        )
    return tenant


Tenant = Annotated[str, Depends(_tenant)]


def _idempotency_key(idempotency_key: Annotated[str | None, Header()] = None) -> str | None:
    if idempotency_key is None:
        return None
    if not 1 <= len(idempotency_key) <= 200 or not idempotency_key.isprintable():
        raise RequestProblem(
            422,
            "invalid_request",
            "An Idempotency-Key has 1 to 200 printable characters.",
            field="Idempotency-Key",
            value=idempotency_key,
            remedy="Send a UUID, for example.",
        )
    return idempotency_key


IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]
