"""From an agent's question to its tasks: what is free is leased, and each lease comes with what to know."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from contracts.proposals import AnswerForm, ProposalRequest
from contracts.slot_prompts import SlotPrompt
from gateway.infra.ask_journal import NothingFree, OpenSlots
from gateway.infra.idempotency import Answer, IdempotencyScope, answer_once, recall
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable
from gateway.infra.slot_records import SlotRecords
from gateway.loop.proposal_tasks import ProposalTasks
from gateway.routes.problems import RequestProblem
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

    Raises SearchNotFound, ProposerNotExternal, SearchPaused, SearchStateConflict, ServiceUnavailable,
    RequestProblem.
    """
    earlier = recall(services.database, scope)
    if earlier is not None:
        return _tasks(search_id, earlier.body["tasks"], body.prompt, services, tenant)
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
        return _tasks(search_id, given, body.prompt, services, tenant)
    except (ServiceUnavailable, RequestProblem):
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


def _tasks(
    search_id: str, task_ids: Sequence[str], form: AnswerForm | None, services: Services, tenant: str
) -> Document:
    search = services.searches.read(search_id, tenant)
    records = SlotRecords(services.database, services.evaluations, search_id)
    given = services.asks.given(task_ids)
    # What was leased at once is of one cycle.
    cycle = given[0][1].cycle if given else 0
    request = ProposalTasks(search, cycle, records).request(slot for _, slot in given)
    prompts = {} if form is None else _prompts(request, form, services)
    documents = [
        task_document(search, slot, asked, lease, prompts.get(slot.slot))
        for (lease, slot), asked in zip(given, request.slots, strict=True)
    ]
    return {"tasks": documents, "reason": None, "retry_after": None}


def _prompts(request: ProposalRequest, form: AnswerForm, services: Services) -> dict[int, SlotPrompt]:
    asked = replace(request, options={"form": form.value})
    try:
        return {prompt.slot: prompt for prompt in services.generator.prompts(asked)}
    except ServiceRefused as error:
        raise RequestProblem(
            502,
            "prompt_failed",
            f"The generator makes no prompt of this task: {error.document.get('detail', '')}"[:1000],
            remedy="Ask with `prompt: null`, and write your own.",
        ) from error
