"""Webhooks: endpoints that are told of what happens, and the log of what they were told."""

from typing import Any

from deltanas.resources.resource import Json, Resource, part


class WebhookCalls(Resource):
    """`/v1/webhook-endpoints`, `/v1/webhook-deliveries` and the secret of callbacks."""

    def create_webhook_endpoint(self, url: str, **request: Any) -> Json:
        """Register a URL; the answer has its `secret`, which cannot be read again.

        `request` has any of event_types (`search.*`, `evaluation.failed`, …; none: all) and description.
        """
        return self._transport.json("POST", "/v1/webhook-endpoints", json={"url": url, **request})

    def webhook_endpoints(self) -> list[Json]:
        """All endpoints, oldest first: whether messages go there, and if not, why."""
        return self._all("/v1/webhook-endpoints")

    def webhook_endpoint(self, endpoint_id: str) -> Json:
        """One endpoint."""
        return self._transport.json("GET", f"/v1/webhook-endpoints/{part(endpoint_id)}")

    def change_webhook_endpoint(self, endpoint_id: str, **changes: Any) -> Json:
        """Change any of url, event_types, description, enabled (True takes up one that was disabled)."""
        return self._transport.json("PATCH", f"/v1/webhook-endpoints/{part(endpoint_id)}", json=changes)

    def remove_webhook_endpoint(self, endpoint_id: str) -> None:
        """Forget an endpoint; what was on its way there ends as failed."""
        self._transport.json("DELETE", f"/v1/webhook-endpoints/{part(endpoint_id)}")

    def rotate_webhook_secret(self, endpoint_id: str, overlap_hours: int = 24) -> Json:
        """Replace an endpoint's secret; the answer has the new one. Both sign until the overlap is over."""
        path = f"/v1/webhook-endpoints/{part(endpoint_id)}:rotate"
        return self._transport.json("POST", path, json={"overlap_hours": overlap_hours})

    def rotate_callback_secret(self, overlap_hours: int = 24) -> Json:
        """Make or replace what signs messages to a `callback_url`: {"secret", "old_secret_expires_at"}."""
        path = "/v1/webhook-callback-secret:rotate"
        return self._transport.json("POST", path, json={"overlap_hours": overlap_hours})

    def test_webhook_endpoint(self, endpoint_id: str) -> Json:
        """Send a message of the type `webhook.test`; gives its delivery."""
        return self._transport.json("POST", f"/v1/webhook-endpoints/{part(endpoint_id)}:test")

    def webhook_deliveries(self, limit: int = 50, cursor: str | None = None, **filters: Any) -> Json:
        """One page of deliveries, newest first: {"items", "next_cursor"}.

        `filters` has any of endpoint_id, subject_id (of an evaluation, search or fine-tune), and state
        (`pending`, `delivered` or `failed`).
        """
        parameters = {"limit": limit, **filters, **({"cursor": cursor} if cursor else {})}
        return self._transport.json("GET", "/v1/webhook-deliveries", params=parameters)

    def webhook_delivery(self, delivery_id: str) -> Json:
        """One delivery with its payload and its last tries."""
        return self._transport.json("GET", f"/v1/webhook-deliveries/{part(delivery_id)}")

    def replay_webhook_delivery(self, delivery_id: str) -> Json:
        """Send a message again under its own id. Raises Conflict while it is still being tried."""
        return self._transport.json("POST", f"/v1/webhook-deliveries/{part(delivery_id)}:replay")

    def replay_failed_webhooks(self, endpoint_id: str, since: str | None = None) -> int:
        """Send again what an endpoint did not take, at most 1,000; `since` a moment in RFC 3339."""
        path = f"/v1/webhook-endpoints/{part(endpoint_id)}:replay"
        answer: Json = self._transport.json("POST", path, json={"since": since} if since else {})
        return int(answer["replayed"])
