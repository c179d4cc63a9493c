"""`/v1/webhook-endpoints`, `/v1/webhook-deliveries`: who is told of what happens, and what became of it.

Messages are those of Standard Webhooks; docs/webhooks.md tells receivers how to check them.
"""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import TypeAdapter

from gateway.domain.webhooks import DeliveryState
from gateway.infra.idempotency import Answer, answer_once, recall
from gateway.routes.answers import answer_response, idempotency_scope
from gateway.routes.api_document import may_answer
from gateway.routes.dependencies import IdempotencyKey, ServicesOf, Tenant
from gateway.routes.webhook_intake import require_receiver, webhook_problems
from gateway.schemas.webhook_body import (
    ReplayBody,
    RotationBody,
    WebhookEndpointBody,
    WebhookEndpointChange,
)
from gateway.schemas.webhook_document import (
    CallbackSecretDocument,
    NewWebhookEndpointDocument,
    ReplayDocument,
    WebhookDeliveryDocument,
    WebhookDeliveryList,
    WebhookEndpointDocument,
    WebhookEndpointList,
    delivery_document,
    endpoint_document,
    new_endpoint_document,
)

router = APIRouter(prefix="/v1", tags=["webhooks"])

_NEW_ENDPOINT = TypeAdapter(NewWebhookEndpointDocument)

Cursor = Annotated[str | None, Query(pattern=r"^wd_[0-9a-f]{1,40}$")]
Limit = Annotated[int, Query(ge=1, le=200)]
EndpointId = Annotated[str | None, Query(pattern=r"^we_[0-9a-f]{1,40}$")]
SubjectId = Annotated[str | None, Query(pattern=r"^(ev|se|ft)_[0-9a-f]{1,40}$")]


@router.post(
    "/webhook-endpoints",
    status_code=201,
    response_model=NewWebhookEndpointDocument,
    responses=may_answer(409),
)
def create_endpoint(
    body: WebhookEndpointBody, services: ServicesOf, tenant: Tenant, idempotency_key: IdempotencyKey
) -> Response:
    """Register a URL that is told of events. The answer has its `secret`, which cannot be read again."""
    scope = idempotency_scope(tenant, "POST /v1/webhook-endpoints", idempotency_key, body.model_dump_json())
    earlier = recall(services.database, scope)
    if earlier is not None:
        return _unkept(answer_response(earlier))
    require_receiver(services, tenant, "url", body.url)

    def act(session: Any) -> Answer:
        record, secret = services.webhook_endpoints.create(
            session, tenant, body.url, body.description, body.event_types
        )
        document = _NEW_ENDPOINT.dump_python(new_endpoint_document(record, secret), mode="json")
        return Answer(201, document, f"/v1/webhook-endpoints/{record.id}")

    with webhook_problems():
        return _unkept(answer_response(answer_once(services.database, scope, act)))


@router.get("/webhook-endpoints")
def list_endpoints(services: ServicesOf, tenant: Tenant) -> WebhookEndpointList:
    """A tenant's endpoints, oldest first."""
    return WebhookEndpointList(tuple(endpoint_document(r) for r in services.webhook_endpoints.all(tenant)))


@router.get("/webhook-endpoints/{endpoint_id}")
def read_endpoint(endpoint_id: str, services: ServicesOf, tenant: Tenant) -> WebhookEndpointDocument:
    """One endpoint: whether messages go there, and if not, why."""
    with webhook_problems():
        return endpoint_document(services.webhook_endpoints.read(endpoint_id, tenant))


@router.patch("/webhook-endpoints/{endpoint_id}")
def change_endpoint(
    endpoint_id: str, body: WebhookEndpointChange, services: ServicesOf, tenant: Tenant
) -> WebhookEndpointDocument:
    """Change an endpoint, or enable one that was disabled. Messages on their way go to its new URL, too."""
    with webhook_problems():
        services.webhook_endpoints.read(endpoint_id, tenant)
        require_receiver(services, tenant, "url", body.url)
        record = services.webhook_endpoints.change(
            endpoint_id,
            tenant,
            url=body.url,
            description=body.description,
            event_types=body.event_types,
            enabled=body.enabled,
        )
    return endpoint_document(record)


@router.delete("/webhook-endpoints/{endpoint_id}", status_code=204)
def remove_endpoint(endpoint_id: str, services: ServicesOf, tenant: Tenant) -> Response:
    """Forget an endpoint. Messages on their way end as failed; the log stays."""
    with webhook_problems():
        services.webhook_endpoints.remove(endpoint_id, tenant)
    return Response(status_code=204)


@router.post("/webhook-endpoints/{endpoint_id}:rotate")
def rotate_secret(
    endpoint_id: str, body: RotationBody, services: ServicesOf, tenant: Tenant, response: Response
) -> NewWebhookEndpointDocument:
    """Replace an endpoint's secret. Until `old_secret_expires_at` messages are signed with both."""
    with webhook_problems():
        record, secret = services.webhook_endpoints.rotate(
            endpoint_id, tenant, timedelta(hours=body.overlap_hours)
        )
    _unkept(response)
    return new_endpoint_document(record, secret)


@router.post("/webhook-endpoints/{endpoint_id}:test", status_code=202, responses=may_answer(409))
def test_endpoint(endpoint_id: str, services: ServicesOf, tenant: Tenant) -> WebhookDeliveryDocument:
    """Send a `webhook.test` message; the delivery that is answered tells what becomes of it."""
    with webhook_problems():
        delivery_id = services.webhook_endpoints.test(endpoint_id, tenant)
        return delivery_document(services.webhook_log.read(delivery_id, tenant))


@router.post("/webhook-endpoints/{endpoint_id}:replay", status_code=202, responses=may_answer(409))
def replay_failed(endpoint_id: str, body: ReplayBody, services: ServicesOf, tenant: Tenant) -> ReplayDocument:
    """Send again what an endpoint did not take, oldest first, at most 1,000 at a time."""
    with webhook_problems():
        return ReplayDocument(services.webhook_log.replay_failed(endpoint_id, tenant, body.since))


@router.post("/webhook-callback-secret:rotate")
def rotate_callback_secret(
    body: RotationBody, services: ServicesOf, tenant: Tenant, response: Response
) -> CallbackSecretDocument:
    """Make the secret that signs what goes to a `callback_url`, or replace it. It cannot be read again."""
    overlap = timedelta(hours=body.overlap_hours)
    _unkept(response)
    return CallbackSecretDocument(*services.webhook_endpoints.rotate_callback_secret(tenant, overlap))


@router.get("/webhook-deliveries")
def list_deliveries(
    services: ServicesOf,
    tenant: Tenant,
    limit: Limit = 50,
    cursor: Cursor = None,
    endpoint_id: EndpointId = None,
    subject_id: SubjectId = None,
    state: DeliveryState | None = None,
) -> WebhookDeliveryList:
    """What was told to a tenant's receivers, newest first. `subject_id`: of an evaluation, search or job."""
    records, next_cursor = services.webhook_log.page(
        tenant, limit=limit, cursor=cursor, endpoint_id=endpoint_id, subject_id=subject_id, state=state
    )
    return WebhookDeliveryList(tuple(delivery_document(record) for record in records), next_cursor)


@router.get("/webhook-deliveries/{delivery_id}")
def read_delivery(delivery_id: str, services: ServicesOf, tenant: Tenant) -> WebhookDeliveryDocument:
    """One delivery, its payload and its last tries."""
    with webhook_problems():
        return delivery_document(services.webhook_log.read(delivery_id, tenant))


@router.post("/webhook-deliveries/{delivery_id}:replay", status_code=202, responses=may_answer(409))
def replay_delivery(delivery_id: str, services: ServicesOf, tenant: Tenant) -> WebhookDeliveryDocument:
    """Send a message again, under its own id, so that a receiver knows one that it has had."""
    with webhook_problems():
        services.webhook_log.replay(delivery_id, tenant)
        return delivery_document(services.webhook_log.read(delivery_id, tenant))


def _unkept(response: Response) -> Response:
    """An answer with a secret: nobody on the way keeps it."""
    response.headers["cache-control"] = "no-store"
    return response
