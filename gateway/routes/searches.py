"""`/v1/searches`: start, read, follow, pause, resume, cancel; their cycles, candidates and report."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import HTMLResponse
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from contracts.names import SearchState, SlotState
from gateway.dashboard.copies import copies_shown
from gateway.dashboard.lineage_figure import ancestors
from gateway.dashboard.report import render_report, winner_id
from gateway.domain.control import control_request
from gateway.infra.idempotency import Answer, answer_once, recall
from gateway.infra.search_store import search_topic
from gateway.infra.webhook_outbox import expect_callback
from gateway.routes.answers import answer_response, idempotency_scope, json_response
from gateway.routes.api_document import may_answer
from gateway.routes.dependencies import IdempotencyKey, ServicesOf, Tenant
from gateway.routes.following import STREAM_ENDS, LastEventId, WaitSeconds, follow, wait_until
from gateway.routes.problems import RequestProblem
from gateway.routes.search_intake import prepared
from gateway.routes.webhook_intake import require_receiver
from gateway.schemas.candidate_shape import CandidateList, EliteList, WholeCandidateDocument
from gateway.schemas.evaluation_document import evaluation_document
from gateway.schemas.search_body import SearchBody
from gateway.schemas.search_shape import (
    CycleList,
    DiagnosticsDocument,
    SearchDocument,
    SearchList,
)
from gateway.services import Services

router = APIRouter(prefix="/v1", tags=["searches"])

Cursor = Annotated[str | None, Query(pattern=r"^se_[0-9a-f]{1,40}$")]
SlotCursor = Annotated[str | None, Query(pattern=r"^se_[0-9a-f]{1,40}-c[0-9]{3}-s[0-9]{3}$")]
Limit = Annotated[int, Query(ge=1, le=500)]
Json = dict[str, Any]


@router.post("/searches", status_code=202, response_model=SearchDocument, responses=may_answer(502))
def create_search(
    body: SearchBody, services: ServicesOf, tenant: Tenant, idempotency_key: IdempotencyKey
) -> Response:
    """Accept a search: once answered with 202 it is on disk and will end in one state."""
    scope = idempotency_scope(tenant, "POST /v1/searches", idempotency_key, body.model_dump_json())
    earlier = recall(services.database, scope)
    if earlier is not None:
        return answer_response(earlier)
    require_receiver(services, tenant, "callback_url", body.callback_url)
    search = prepared(body, services, tenant)

    def act(session: Any) -> Answer:
        services.quotas.require_search(session, tenant)
        store = services.searches
        search_id = store.create(session, tenant, search.request, search.baselines, search.classes)
        if body.control:
            services.quotas.require_search(session, tenant)
            alike = control_request(search.request)
            store.create(session, tenant, alike, search.baselines, search.classes, control_of=search_id)
        if body.callback_url is not None:
            expect_callback(session, tenant, search_id, body.callback_url)
        return Answer(
            202, jsonable_encoder(store.document_in(session, search_id)), f"/v1/searches/{search_id}"
        )

    return answer_response(answer_once(services.database, scope, act))


@router.get("/searches", response_model=SearchList)
def list_searches(services: ServicesOf, tenant: Tenant, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """A tenant's searches, newest first."""
    items, next_cursor = services.searches.page(tenant, limit, cursor)
    return json_response({"items": items, "next_cursor": next_cursor})


@router.get("/searches/{search_id}", response_model=SearchDocument)
async def read_search(
    search_id: str, services: ServicesOf, tenant: Tenant, wait: WaitSeconds = 0
) -> Response:
    """One search; with `wait`, as soon as it has ended or that many seconds have passed."""
    found = await wait_until(
        services.database.signals,
        search_topic(search_id),
        partial(services.searches.document, search_id, tenant),
        lambda document: SearchState(document["state"]).is_terminal,
        wait,
    )
    return json_response(found)


@router.post("/searches/{search_id}:pause", response_model=SearchDocument, responses=may_answer(409))
def pause_search(search_id: str, services: ServicesOf, tenant: Tenant) -> Response:
    """Begin nothing new. Evaluations already submitted end, and count when the search is resumed."""
    services.searches.pause(search_id, tenant)
    return json_response(services.searches.document(search_id, tenant))


@router.post("/searches/{search_id}:resume", response_model=SearchDocument, responses=may_answer(409))
def resume_search(search_id: str, services: ServicesOf, tenant: Tenant) -> Response:
    """Go on where a paused search stands; a search that runs just goes on running.

    Of a search that the platform paused, what `paused_by` names has to be mended first, or it pauses again.
    """
    services.searches.resume(search_id, tenant)
    return json_response(services.searches.document(search_id, tenant))


@router.post("/searches/{search_id}:cancel", response_model=SearchDocument, responses=may_answer(409))
def cancel_search(search_id: str, services: ServicesOf, tenant: Tenant) -> Response:
    """End a search and its open evaluations; what it has measured stays."""
    services.searches.cancel(search_id, tenant)
    return json_response(services.searches.document(search_id, tenant))


@router.get("/searches/{search_id}/cycles", response_model=CycleList)
def list_cycles(search_id: str, services: ServicesOf, tenant: Tenant) -> Response:
    """The cycles so far. Cycle 0 are the baselines themselves."""
    return json_response({"items": services.searches.cycles(search_id, tenant), "next_cursor": None})


@router.get("/searches/{search_id}/diagnostics", response_model=DiagnosticsDocument)
def diagnose_search(search_id: str, services: ServicesOf, tenant: Tenant) -> Response:
    """What became of the deltas so far, as flat records by cycle and proposer.

    `proposals` answered and applied, `delta_failures` by the applier's code, `hunks` by status and reason,
    `repairs` by kind.
    """
    return json_response(services.candidates.diagnostics(search_id, tenant))


@router.get("/searches/{search_id}/candidates", response_model=CandidateList)
def list_candidates(
    search_id: str,
    services: ServicesOf,
    tenant: Tenant,
    limit: Limit = 100,
    cursor: SlotCursor = None,
    cycle: Annotated[int | None, Query(ge=0, le=999)] = None,
    state: SlotState | None = None,
) -> Response:
    """The candidates so far, in slot order."""
    items, next_cursor = services.candidates.page(
        search_id, tenant, cycle=cycle, state=state, limit=limit, after=cursor
    )
    return json_response({"items": items, "next_cursor": next_cursor})


@router.get("/searches/{search_id}/candidates/{proposal_id}", response_model=WholeCandidateDocument)
def read_candidate(search_id: str, proposal_id: str, services: ServicesOf, tenant: Tenant) -> Response:
    """One candidate with its source, the raw proposal and the model calls behind it, as they came: untrusted.

    A call has all that it takes to ask again: messages, model, adapter, sampling, prompt version.
    """
    found = services.candidates.read(search_id, proposal_id, tenant)
    if found is None:
        raise RequestProblem(404, "candidate_unknown", f"The search has no candidate {proposal_id[:80]!r}.")
    return json_response(found)


@router.get("/searches/{search_id}/elites", response_model=EliteList)
def list_elites(search_id: str, services: ServicesOf, tenant: Tenant) -> Response:
    """Who is elite now, best first."""
    return json_response({"items": services.candidates.elites(search_id, tenant), "next_cursor": None})


@router.get("/searches/{search_id}/events", response_class=EventSourceResponse, responses=STREAM_ENDS)
async def follow_search(
    search_id: str, services: ServicesOf, tenant: Tenant, last_event_id: LastEventId
) -> Response:
    """Server-sent events: state, cycle_started, slot, rerun, cycle_finished, fine_tune_started, alarm,
    finals_started, finished.

    Ends after the last. A `slot` event is a candidate without its delta. A `state` event may say what the
    search waits for, why the platform paused it (`paused_by`), or that its budget is spent (`stopped_by`).
    """
    read = partial(services.searches.read, search_id, tenant)
    await run_in_threadpool(read)
    return await follow(
        services.database, search_topic(search_id), last_event_id, lambda: read().state.is_terminal
    )


@router.get("/searches/{search_id}/report", response_class=HTMLResponse)
def report_search(search_id: str, services: ServicesOf, tenant: Tenant) -> HTMLResponse:
    """The report: one self-contained page."""
    search = services.searches.document(search_id, tenant)
    candidates = services.candidates.outline(search_id, tenant)
    line = ancestors(candidates, winner_id(search))
    deltas = services.candidates.deltas(search_id, [candidate["proposal_id"] for candidate in line])
    for candidate in line:
        candidate["delta"] = deltas.get(candidate["proposal_id"])
    copies = copies_shown(candidates)
    differences = services.candidates.differences(search_id, [copy["proposal_id"] for copy in copies])
    for candidate in copies:
        candidate["difference"] = differences.get(candidate["proposal_id"])
    control = None
    if search["control"] is not None:
        control = jsonable_encoder(services.searches.document(search["control"], tenant))
    page = render_report(
        jsonable_encoder(search),
        services.searches.cycles(search_id, tenant),
        candidates,
        _measured_example(services, search, candidates),
        services.candidates.diagnostics(search_id, tenant),
        control,
    )
    # The page quotes untrusted text: even if its escaping failed, nothing in it could run or load.
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return HTMLResponse(page, headers={"content-security-policy": policy})


def _measured_example(services: Services, search: Json, candidates: list[Json]) -> Json | None:
    """One evaluation of the search, the best's if there is one: its provenance is that of all."""
    measured = [search["best"], *candidates] if search["best"] else candidates
    for candidate in measured:
        if candidate["accuracy"] is not None:
            record = services.evaluations.read(candidate["evaluation_id"])
            document: Json = jsonable_encoder(evaluation_document(record))
            return document
    return None
