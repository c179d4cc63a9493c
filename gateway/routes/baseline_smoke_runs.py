"""`/v1/baselines:smoke` and `/v1/baselines/smoke-runs`: try imported networks, two batches each."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from gateway.domain.baseline_smoke import SmokeRunRecord, SmokeState
from gateway.infra.baseline_smokes import SmokeRunUnknown, smoke_run_topic
from gateway.infra.idempotency import Answer, answer_once, recall
from gateway.routes.answers import answer_response, idempotency_scope, json_response
from gateway.routes.api_document import may_answer
from gateway.routes.dependencies import IdempotencyKey, ServicesOf, Tenant
from gateway.routes.following import WaitSeconds, wait_until
from gateway.routes.open_limits import too_many_open
from gateway.routes.problems import RequestProblem
from gateway.schemas.baseline_document import smoke_item_document, smoke_run_document
from gateway.schemas.baseline_query import SmokeRunBody
from gateway.schemas.baseline_shape import SmokeItemList, SmokeRunDocument, SmokeRunList
from gateway.services import Services

router = APIRouter(prefix="/v1", tags=["baselines"], responses=may_answer(502))

MAX_OPEN_RUNS = 8

Cursor = Annotated[str | None, Query(pattern=r"^sm_[0-9a-f]{1,40}$")]
PlaceCursor = Annotated[int | None, Query(ge=0, le=10_000_000)]
Limit = Annotated[int, Query(ge=1, le=500)]


@router.post("/baselines:smoke", status_code=202, response_model=SmokeRunDocument)
def start_smoke_run(
    body: SmokeRunBody, services: ServicesOf, tenant: Tenant, idempotency_key: IdempotencyKey
) -> Response:
    """Try imported networks on a dataset; those that pass can start a search on it.

    A network that was tried there before, in the same environment, is answered from the record; with
    `again`, one that failed is tried once more.
    """
    scope = idempotency_scope(tenant, "POST /v1/baselines:smoke", idempotency_key, body.model_dump_json())
    earlier = recall(services.database, scope)
    if earlier is not None:
        return answer_response(earlier)
    services.datasets.require_ready(body.dataset, tenant)
    _require_known(body, services)

    def act(session: Any) -> Answer:
        _require_room(services, session, tenant)
        record = services.smoke_runs.create(
            session, tenant, body.dataset, body.filter, body.names, body.limit, body.again
        )
        if record.counts.total == 0:
            raise _no_networks()
        return Answer(202, smoke_run_document(record), f"/v1/baselines/smoke-runs/{record.id}")

    return answer_response(answer_once(services.database, scope, act))


@router.get("/baselines/smoke-runs", response_model=SmokeRunList)
def list_smoke_runs(
    services: ServicesOf, tenant: Tenant, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """A tenant's smoke runs, newest first."""
    records, next_cursor = services.smoke_runs.page(tenant, limit, cursor)
    items = [smoke_run_document(record) for record in records]
    return json_response({"items": items, "next_cursor": next_cursor})


@router.get("/baselines/smoke-runs/{run_id}", response_model=SmokeRunDocument)
async def read_smoke_run(
    run_id: str, services: ServicesOf, tenant: Tenant, wait: WaitSeconds = 0
) -> Response:
    """One run with its pass rate; with `wait`, as soon as it has ended or that many seconds have passed."""
    record = await wait_until(
        services.database.signals,
        smoke_run_topic(run_id),
        partial(_read, services, run_id, tenant),
        lambda found: found.state.is_terminal,
        wait,
    )
    return json_response(smoke_run_document(record))


@router.get("/baselines/smoke-runs/{run_id}/networks", response_model=SmokeItemList)
def list_smoked_networks(
    run_id: str,
    services: ServicesOf,
    tenant: Tenant,
    state: SmokeState | None = None,
    limit: Limit = 100,
    cursor: PlaceCursor = None,
) -> Response:
    """The networks of a run and what became of each."""
    _read(services, run_id, tenant)
    items, next_cursor = services.smoke_runs.items(run_id, tenant, state, limit, cursor)
    shown = [smoke_item_document(item) for item in items]
    return json_response({"items": shown, "next_cursor": next_cursor})


@router.post("/baselines/smoke-runs/{run_id}:cancel", response_model=SmokeRunDocument)
def cancel_smoke_run(run_id: str, services: ServicesOf, tenant: Tenant) -> Response:
    """End a run; what it has found out stays."""
    _read(services, run_id, tenant)
    services.smoke_runs.cancel(run_id, tenant)
    return json_response(smoke_run_document(_read(services, run_id, tenant)))


def _read(services: Services, run_id: str, tenant: str) -> SmokeRunRecord:
    try:
        return services.smoke_runs.read(run_id, tenant)
    except SmokeRunUnknown as error:
        raise RequestProblem(404, "smoke_run_unknown", f"There is no smoke run {run_id[:60]!r}.") from error


def _require_known(body: SmokeRunBody, services: Services) -> None:
    for place, name in enumerate(body.names or ()):
        if services.baselines.named(name) is None:
            raise RequestProblem(
                422,
                "unknown_baseline",
                f"No imported network is named {name!r}.",
                field=f"names.{place}",
                value=name,
                remedy="`deltanas baselines list --name-contains WORD` finds names.",
            )


def _require_room(services: Services, session: Any, tenant: str) -> None:
    if services.quotas.count_smoke_runs(session, tenant) >= MAX_OPEN_RUNS:
        remedy = "Wait for one to end, or cancel one."
        raise too_many_open("too_many_smoke_runs", "smoke runs", MAX_OPEN_RUNS, remedy)


def _no_networks() -> RequestProblem:
    return RequestProblem(
        422,
        "no_networks",
        "No imported network fits these filters.",
        remedy="Import networks with `deltanas baselines import lemur --download`, or ask for less.",
    )
