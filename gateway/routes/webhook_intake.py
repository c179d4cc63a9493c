"""Checks what a caller says about webhooks, and says what is wrong with it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.domain.webhook_targets import (
    HOST_REFUSED,
    HOST_REMEDY,
    HostRefused,
    TargetRefused,
    host_refusal,
)
from gateway.infra.webhook_endpoints import (
    MAX_ENDPOINTS,
    EndpointDisabled,
    EndpointUnknown,
    TooManyEndpoints,
)
from gateway.infra.webhook_log import DeliveryPending, DeliveryUnknown
from gateway.infra.webhook_lookups import LookupsBusy
from gateway.infra.webhook_outbox import host_of
from gateway.infra.webhook_transport import LookupFailed
from gateway.routes.problems import RequestProblem
from gateway.services import Services

BUSY_RETRY_SECONDS = 10

logger = logging.getLogger(__name__)


def require_receiver(services: Services, tenant: str, field: str, url: str | None) -> None:
    """Refuse a URL that no webhook goes to; None is none. Raises RequestProblem."""
    if url is None:
        return
    try:
        services.webhook_lookups.require_allowed(url, tenant)
    except (HostRefused, LookupFailed) as error:
        logger.info("%s, named by the tenant %s, was refused: %s", host_of(url), tenant, str(error)[:400])
        raise RequestProblem(
            422,
            HOST_REFUSED,
            host_refusal(host_of(url)),
            field=field,
            value=url[:200],
            remedy=HOST_REMEDY,
        ) from error
    except TargetRefused as error:
        raise RequestProblem(
            422, error.code, str(error), field=field, value=url[:200], remedy=error.remedy
        ) from error
    except LookupsBusy as error:
        raise RequestProblem(
            429,
            "webhook_lookups_busy",
            "A name server let the gateway wait; its host cannot be checked now.",
            field=field,
            value=url[:200],
            remedy="Try again shortly.",
            headers={"retry-after": str(BUSY_RETRY_SECONDS)},
        ) from error


@contextmanager
def webhook_problems() -> Iterator[None]:
    """Raise RequestProblem for what the endpoints and the log refuse."""
    try:
        yield
    except EndpointUnknown as error:
        raise RequestProblem(
            404, "webhook_endpoint_unknown", f"There is no webhook endpoint {str(error)[:60]!r}."
        ) from error
    except DeliveryUnknown as error:
        raise RequestProblem(
            404, "webhook_delivery_unknown", f"There is no webhook delivery {str(error)[:60]!r}."
        ) from error
    except DeliveryPending as error:
        raise RequestProblem(
            409,
            "webhook_delivery_pending",
            f"The delivery {str(error)[:60]!r} is still being tried.",
            field="state",
            value="pending",
            remedy="Wait until it is delivered or failed.",
        ) from error
    except EndpointDisabled as error:
        raise RequestProblem(
            409,
            "webhook_endpoint_disabled",
            f"The webhook endpoint {str(error)[:60]!r} is disabled.",
            field="enabled",
            value=False,
            remedy='Enable it first: PATCH it with {"enabled": true}.',
        ) from error
    except TooManyEndpoints as error:
        raise RequestProblem(
            409,
            "too_many_webhook_endpoints",
            f"There are {MAX_ENDPOINTS} webhook endpoints; no more may be registered.",
            remedy="Remove one, or have one receiver pass its messages on.",
        ) from error
