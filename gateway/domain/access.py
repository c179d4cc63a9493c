"""What API keys allow: the scopes there are, and which of them each call of `/v1` needs. Pure."""

from collections.abc import Iterable
from enum import StrEnum


class KeyScope(StrEnum):
    """What a key may be used for. All but `operator` reach the things of the key's own tenant alone."""

    READ = "read"
    SUBMIT = "submit"
    """Evaluations, smoke runs, applying deltas and novelty checks."""
    SEARCH = "search"
    """Searches, asking and telling, fine-tunes and training pairs."""
    ADMIN = "admin"
    """All of these, the tenant's keys and audit log, its data sets, and removing what it made."""
    OPERATOR = "operator"
    """The farm: metrics, agents, tenants and quotas, what is there for everybody. No tenant's things."""


TENANT_SCOPES = (KeyScope.READ, KeyScope.SUBMIT, KeyScope.SEARCH, KeyScope.ADMIN)
USUAL_SCOPES = (KeyScope.READ, KeyScope.SUBMIT, KeyScope.SEARCH)

_SAFE_METHODS = frozenset({"GET", "HEAD"})

_SUBMIT = frozenset({KeyScope.SUBMIT})
_SEARCH = frozenset({KeyScope.SEARCH})
_PROPOSE = frozenset({KeyScope.SUBMIT, KeyScope.SEARCH})
_ADMIN = frozenset({KeyScope.ADMIN})
_OPERATOR = frozenset({KeyScope.OPERATOR})
_ADMIN_OR_OPERATOR = _ADMIN | _OPERATOR

CALLS: dict[tuple[str, str], frozenset[KeyScope]] = {
    ("POST", "/v1/evaluations"): _SUBMIT,
    ("POST", "/v1/evaluations:batch"): _SUBMIT,
    ("DELETE", "/v1/evaluations/{evaluation_id}"): _SUBMIT,
    ("POST", "/v1/deltas:apply"): _PROPOSE,
    ("POST", "/v1/novelty:check"): _PROPOSE,
    ("POST", "/v1/baselines:smoke"): _SUBMIT,
    ("POST", "/v1/baselines/smoke-runs/{run_id}:cancel"): _SUBMIT,
    ("POST", "/v1/searches"): _SEARCH,
    ("POST", "/v1/searches/{search_id}:pause"): _SEARCH,
    ("POST", "/v1/searches/{search_id}:resume"): _SEARCH,
    ("POST", "/v1/searches/{search_id}:cancel"): _SEARCH,
    ("POST", "/v1/searches/{search_id}/candidates/{proposal_id}:replay"): _SEARCH,
    ("POST", "/v1/searches/{search_id}:ask"): _SEARCH,
    ("POST", "/v1/searches/{search_id}:tell"): _SEARCH,
    ("POST", "/v1/searches/{search_id}:heartbeat"): _SEARCH,
    ("POST", "/v1/searches/{search_id}:release"): _SEARCH,
    ("POST", "/v1/fine-tunes"): _SEARCH,
    ("DELETE", "/v1/fine-tunes/{job_id}"): _SEARCH,
    ("POST", "/v1/training-pairs"): _SEARCH,
    ("DELETE", "/v1/adapters/{adapter_id}"): _ADMIN,
    ("POST", "/v1/webhook-endpoints"): _ADMIN,
    ("PATCH", "/v1/webhook-endpoints/{endpoint_id}"): _ADMIN,
    ("DELETE", "/v1/webhook-endpoints/{endpoint_id}"): _ADMIN,
    ("POST", "/v1/webhook-endpoints/{endpoint_id}:rotate"): _ADMIN,
    ("POST", "/v1/webhook-endpoints/{endpoint_id}:test"): _ADMIN,
    ("POST", "/v1/webhook-endpoints/{endpoint_id}:replay"): _ADMIN,
    ("POST", "/v1/webhook-callback-secret:rotate"): _ADMIN,
    ("POST", "/v1/webhook-deliveries/{delivery_id}:replay"): _ADMIN,
    ("POST", "/v1/datasets"): _ADMIN,
    ("POST", "/v1/datasets/{name}:prepare"): _ADMIN_OR_OPERATOR,
    # What is imported is there for everybody.
    ("POST", "/v1/baselines:import"): _OPERATOR,
    ("GET", "/v1/keys"): _ADMIN_OR_OPERATOR,
    ("POST", "/v1/keys"): _ADMIN_OR_OPERATOR,
    ("GET", "/v1/keys/{key_id}"): _ADMIN_OR_OPERATOR,
    ("POST", "/v1/keys/{key_id}:rotate"): _ADMIN_OR_OPERATOR,
    ("DELETE", "/v1/keys/{key_id}"): _ADMIN_OR_OPERATOR,
    ("GET", "/v1/audit"): _ADMIN_OR_OPERATOR,
    ("GET", "/v1/tenants"): _OPERATOR,
    ("GET", "/v1/tenants/{tenant}"): _OPERATOR,
    ("PATCH", "/v1/tenants/{tenant}"): _OPERATOR,
    ("POST", "/v1/tenants/{tenant}:remove"): _OPERATOR,
}
"""Any one of the scopes opens the call. Reading needs `read`, where nothing else is said here."""

OPERATIONS: dict[str, frozenset[KeyScope]] = {
    "/v1/evaluations/{evaluation_id}": _SUBMIT,
    "/v1/evaluations/{evaluation_id}/events": _SUBMIT,
    "/v1/baselines/smoke-runs/{run_id}": _SUBMIT,
    "/v1/searches/{search_id}": _SEARCH,
    "/v1/searches/{search_id}/events": _SEARCH,
    # Where `:tell` sends an agent to see what became of its answer.
    "/v1/searches/{search_id}/candidates/{proposal_id}": _SEARCH,
    "/v1/fine-tunes/{job_id}": _SEARCH,
    "/v1/fine-tunes/{job_id}/events": _SEARCH,
    "/v1/datasets": _OPERATOR,
    "/v1/datasets/{name}": _OPERATOR,
    "/v1/baselines/imports": _OPERATOR,
    "/v1/baselines/imports/{import_id}": _OPERATOR,
}
"""Who may start an operation may see how far it is: these scopes open it as `read` does."""


def scopes_for(method: str, template: str) -> frozenset[KeyScope]:
    """Which scopes open a call, by its method and the template of its route, such as `/v1/keys/{key_id}`.

    Never by the path as it was sent: two readings of one path would be two answers. A change that nobody has
    put into the list is the operator's: a forgotten line keeps people out.
    """
    listed = CALLS.get((method, template))
    if listed is not None:
        return listed
    if method not in _SAFE_METHODS:
        return _OPERATOR
    return frozenset({KeyScope.READ}) | OPERATIONS.get(template, frozenset())


def is_allowed(held: Iterable[KeyScope], needed: Iterable[KeyScope]) -> bool:
    """Whether a key with these scopes opens what needs one of those."""
    own = set(held)
    if KeyScope.ADMIN in own:
        own |= set(TENANT_SCOPES)
    return not own.isdisjoint(needed)
