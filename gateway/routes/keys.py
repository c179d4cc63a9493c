"""`/v1/keys`: API keys of a tenant, for its admin; of every tenant, for the operator."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response

from gateway.domain.access import TENANT_SCOPES, KeyScope
from gateway.domain.api_keys import TENANT_PATTERN, ApiKey, Caller
from gateway.infra.api_keys import (
    MAX_KEYS,
    ApiKeyEnded,
    ApiKeyRotated,
    ApiKeyUnknown,
    TooManyApiKeys,
)
from gateway.infra.database import utc_now
from gateway.routes.api_document import may_answer
from gateway.routes.dependencies import CallerOf, ServicesOf
from gateway.routes.problems import RequestProblem
from gateway.schemas.tenant_body import KeyBody, RotationBody
from gateway.schemas.tenant_document import (
    KeyDocument,
    KeyList,
    NewKeyDocument,
    key_document,
    new_key_document,
)
from gateway.services import Services

router = APIRouter(prefix="/v1", tags=["keys"])

TenantQuery = Annotated[str | None, Query(pattern=TENANT_PATTERN)]


@router.post("/keys", status_code=201, responses=may_answer(409))
def create_key(body: KeyBody, services: ServicesOf, caller: CallerOf, response: Response) -> NewKeyDocument:
    """Make a key. Its `key` is in this answer and nowhere else."""
    tenant = body.tenant or caller.tenant
    _require_may_give(caller, tenant, body.scopes)
    scopes = tuple(scope for scope in KeyScope if scope in body.scopes)
    with _naming_problems():
        key_id, key = services.keys.create(tenant, body.label, scopes, _end(body.expires_in_days))
    response.headers["location"] = f"/v1/keys/{key_id}"
    response.headers["cache-control"] = "no-store"
    return new_key_document(services.keys.read(key_id, tenant), key, utc_now())


@router.get("/keys")
def list_keys(services: ServicesOf, caller: CallerOf, tenant: TenantQuery = None) -> KeyList:
    """Keys without what opens the door, newest first. An operator sees those of every tenant."""
    now = utc_now()
    found = services.keys.all(_whose(caller))
    items = [key_document(key, now) for key in found if tenant in {None, key.tenant}]
    return KeyList(tuple(items))


@router.get("/keys/{key_id}")
def read_key(key_id: str, services: ServicesOf, caller: CallerOf) -> KeyDocument:
    """One key."""
    return key_document(_found(services, key_id, caller), utc_now())


@router.post("/keys/{key_id}:rotate", status_code=201, responses=may_answer(409))
def rotate_key(
    key_id: str, body: RotationBody, services: ServicesOf, caller: CallerOf, response: Response
) -> NewKeyDocument:
    """Make a key with the same rights; the old one goes on for `overlap_hours`, and then ends.

    Without `expires_in_days` the new one is good for as long as the old one was made for.
    """
    old = _found(services, key_id, caller)
    _require_may_give(caller, old.tenant, old.scopes)
    with _naming_problems(old):
        key, secret = services.keys.rotate(
            key_id, _whose(caller), timedelta(hours=body.overlap_hours), _end(body.expires_in_days)
        )
    response.headers["location"] = f"/v1/keys/{key.id}"
    response.headers["cache-control"] = "no-store"
    return new_key_document(key, secret, utc_now())


@router.delete("/keys/{key_id}")
def revoke_key(key_id: str, services: ServicesOf, caller: CallerOf) -> KeyDocument:
    """End a key at once. One that has ended stays as it is."""
    _found(services, key_id, caller)
    services.keys.revoke(key_id, _whose(caller))
    return key_document(_found(services, key_id, caller), utc_now())


def _whose(caller: Caller) -> str | None:
    """Whose keys a caller sees: its tenant's, or everybody's."""
    return None if KeyScope.OPERATOR in caller.scopes else caller.tenant


def _found(services: Services, key_id: str, caller: Caller) -> ApiKey:
    try:
        return services.keys.read(key_id, _whose(caller))
    except ApiKeyUnknown as error:
        raise _unknown(key_id) from error


@contextmanager
def _naming_problems(old: ApiKey | None = None) -> Iterator[None]:
    """`old`: the key that is to be rotated."""
    try:
        yield
    except ApiKeyUnknown as error:
        raise _unknown(str(error)) from error
    except ApiKeyEnded as error:
        remedy = "Make a new one: `deltanas keys create`."
        raise _not_to_rotate("key_not_in_force", "is in force no more", old, remedy) from error
    except ApiKeyRotated as error:
        remedy = f"Rotate {error.follower}, or revoke it and make a new key."
        raise _not_to_rotate("key_rotated_already", "has a follower already", old, remedy) from error
    except TooManyApiKeys as error:
        raise RequestProblem(
            409,
            "too_many_keys",
            f"The tenant {str(error)!r} has {MAX_KEYS} keys in force; no more may be.",
            field="tenant",
            value=str(error),
            remedy="Revoke those that nobody uses; `deltanas keys list` says when each was used last.",
        ) from error


def _not_to_rotate(code: str, what: str, old: ApiKey | None, remedy: str) -> RequestProblem:
    prefix, key_id = ("", "") if old is None else (old.prefix, old.id)
    detail = f"The key {prefix}… {what}."
    return RequestProblem(409, code, detail, field="key_id", value=key_id, remedy=remedy)


def _unknown(key_id: str) -> RequestProblem:
    return RequestProblem(404, "key_unknown", f"There is no key {key_id[:60]!r}.")


def _require_may_give(caller: Caller, tenant: str, scopes: tuple[KeyScope, ...]) -> None:
    """A tenant's admin makes keys of its own tenant alone, and nobody but an operator makes operators."""
    if KeyScope.OPERATOR in caller.scopes:
        return
    if tenant != caller.tenant:
        raise RequestProblem(
            403,
            "operator_only",
            "Only an operator makes keys of another tenant.",
            field="tenant",
            value=tenant,
            remedy="Leave `tenant` out, or use a key with the scope operator.",
        )
    if not set(scopes) <= set(TENANT_SCOPES):
        raise RequestProblem(
            403,
            "operator_only",
            "Only an operator makes operators' keys.",
            field="scopes",
            value=" ".join(scopes),
            remedy=f"Use some of: {', '.join(TENANT_SCOPES)}.",
        )


def _end(days: int | None) -> datetime | None:
    return None if days is None else utc_now() + timedelta(days=days)
