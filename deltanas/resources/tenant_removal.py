"""Removing a tenant: the operator's call."""

from deltanas.resources.resource import Json, Resource, part

REMOVAL_SECONDS = 600.0
"""A tenant with much takes long; the call may be made again and goes on where it was."""


class TenantRemovalCalls(Resource):
    """`/v1/tenants/{tenant}:remove`."""

    def remove_tenant(self, tenant: str, *, dry_run: bool = True) -> Json:
        """Tell what a tenant has, by table; with `dry_run=False` remove it all, for good."""
        body = {"dry_run": dry_run}
        path = f"/v1/tenants/{part(tenant)}:remove"
        return self._transport.json("POST", path, json=body, timeout=REMOVAL_SECONDS)
