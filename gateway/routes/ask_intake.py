"""From an agent's question to its tasks: what is free is leased, and each lease comes with what to know."""

from collections.abc import Sequence
from typing import Any

from gateway.infra.ask_journal import NothingFree, OpenSlots
from gateway.infra.idempotency import Answer, IdempotencyScope, answer_once, recall
from gateway.infra.service_clients import ServiceUnavailable
from gateway.infra.slot_journal import SlotJournal
from gateway.loop.proposal_tasks import ProposalTasks
from gateway.schemas.ask_tell_body import AskBody
from gateway.schemas.ask_tell_document import task_document
from gateway.schemas.search_document import Document
from gateway.services import Services

RETRY_SECONDS = 5
"""When to ask again where nothing is free."""


def offered(
    search_id: str, body: AskBody, services: Services, tenant: str, scope: IdempotencyScope | None
) -> Document:
    """Tasks for an agent, or none and why. Who repeats a question under its key gets the same tasks.

    Raises SearchNotFound, ProposerNotExternal, SearchPaused, SearchStateConflict, ServiceUnavailable.
    """
    earlier = recall(services.database, scope)
    if earlier is not None:
        return _tasks(search_id, earlier.body["tasks"], services, tenant)
    found = services.asks.open_slots(search_id, tenant)
    if not found.free:
        return _nothing(found)

    def act(session: Any) -> Answer:
        given = services.asks.lease(session, search_id, tenant, body.tasks, body.agent, body.lease_seconds)
        return Answer(200, {"tasks": given})

    try:
        given = answer_once(services.database, scope, act).body["tasks"]
    except NothingFree:
        return _nothing(services.asks.open_slots(search_id, tenant))
    try:
        return _tasks(search_id, given, services, tenant)
    except ServiceUnavailable:
        # Without a key nobody could ask for the same tasks again.
        if scope is None:
            for task_id in given:
                services.asks.release(search_id, tenant, task_id)
        raise


def _nothing(found: OpenSlots) -> Document:
    return {
        "tasks": [],
        "reason": "all_slots_leased" if found.held else "search_at_work",
        "retry_after": RETRY_SECONDS,
    }


def _tasks(search_id: str, task_ids: Sequence[str], services: Services, tenant: str) -> Document:
    search = services.searches.read(search_id, tenant)
    journal = SlotJournal(services.database, services.evaluations, search_id)
    documents = []
    for lease, slot in services.asks.given(task_ids):
        asked = ProposalTasks(search, slot.cycle, journal).slot(slot)
        documents.append(task_document(search, slot, asked, lease, None))
    return {"tasks": documents, "reason": None, "retry_after": None}
