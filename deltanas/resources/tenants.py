"""Keys, quotas, tenants, and the log of what was done with keys."""

from typing import Any

from deltanas.resources.resource import Json, Resource, part


class TenantCalls(Resource):
    """`/v1/keys`, `/v1/quota`, `/v1/tenants` and `/v1/audit`."""

    def create_key(self, **request: Any) -> Json:
        """Make an API key; the answer has its `key`, which cannot be read again.

        `request` has any of tenant, label, scopes and expires_in_days.
        """
        return self._transport.json("POST", "/v1/keys", json=request)

    def keys(self) -> list[Json]:
        """The tenant's keys, newest first; an operator's are everybody's."""
        return self._all("/v1/keys")

    def key(self, key_id: str) -> Json:
        """One key, without what opens the door."""
        return self._transport.json("GET", f"/v1/keys/{part(key_id)}")

    def rotate_key(
        self, key_id: str, overlap_hours: float = 24.0, expires_in_days: int | None = None
    ) -> Json:
        """Make a key with the same rights; both open the door until the overlap is over.

        Without `expires_in_days` the new one is good for as long as the old one was made for.
        """
        body = {"overlap_hours": overlap_hours, "expires_in_days": expires_in_days}
        return self._transport.json("POST", f"/v1/keys/{part(key_id)}:rotate", json=body)

    def revoke_key(self, key_id: str) -> Json:
        """End a key at once."""
        return self._transport.json("DELETE", f"/v1/keys/{part(key_id)}")

    def quota(self) -> Json:
        """What the tenant may use, and uses now."""
        return self._transport.json("GET", "/v1/quota")

    def tenants(self) -> list[Json]:
        """What every tenant may use, and uses now. An operator's call."""
        return self._all("/v1/tenants")

    def tenant(self, name: str) -> Json:
        """The same of one tenant."""
        return self._transport.json("GET", f"/v1/tenants/{part(name)}")

    def set_quota(self, name: str, **limits: Any) -> Json:
        """Change limits of a tenant; None goes back to the farm's. An operator's call."""
        return self._transport.json("PATCH", f"/v1/tenants/{part(name)}", json=limits)

    def audit(self, limit: int = 100, **filters: Any) -> list[Json]:
        """What was done with keys, newest first; `filters` has any of tenant and actor."""
        parameters = {"limit": min(limit, 500), **filters}
        found: Json = self._transport.json("GET", "/v1/audit", params=parameters)
        items: list[Json] = found["items"]
        return items
