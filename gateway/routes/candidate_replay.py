"""`/v1/searches/{id}/candidates/{id}:replay`: one candidate from the journal once more, to the last bit."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Response
from pydantic import TypeAdapter

from gateway.domain.candidate import Slot
from gateway.domain.search import SearchRecord, training_seed
from gateway.infra.idempotency import Answer, answer_once, recall
from gateway.infra.search_recordings import SearchRecordings, split_key_of
from gateway.infra.slot_records import SlotRecords
from gateway.loop.budget import evaluation_request
from gateway.loop.candidate_replay import repeat_proposal
from gateway.routes.answers import answer_response, idempotency_scope
from gateway.routes.api_document import may_answer
from gateway.routes.dependencies import IdempotencyKey, ServicesOf, Tenant
from gateway.routes.evaluation_intake import require_room
from gateway.routes.problems import RequestProblem
from gateway.schemas.evaluation_document import EvaluationDocument, evaluation_document
from gateway.schemas.theory_shape import CandidateReplay
from gateway.services import Services

router = APIRouter(prefix="/v1", tags=["searches"])

_EVALUATION = TypeAdapter(EvaluationDocument)


@router.post(
    "/searches/{search_id}/candidates/{proposal_id}:replay",
    status_code=202,
    response_model=CandidateReplay,
    responses=may_answer(404, 409, 502),
)
def replay_candidate(
    search_id: str,
    proposal_id: str,
    services: ServicesOf,
    tenant: Tenant,
    idempotency_key: IdempotencyKey,
) -> Response:
    """Propose, apply and evaluate a measured candidate again, as it was: seeds, keys, budget and source.

    What is proposed and applied is compared at once. The evaluation is queued, and on the same device and
    versions has to end with `recorded_accuracy`, to the last bit on a CPU. The search is not changed by it.
    """
    what = f"{search_id}/{proposal_id}"
    scope = idempotency_scope(tenant, "POST …/candidates/{proposal_id}:replay", idempotency_key, what)
    earlier = recall(services.database, scope)
    if earlier is not None:
        return answer_response(earlier)
    search = services.searches.read(search_id, tenant)
    slot = _measured(services, search_id, proposal_id)
    records = SlotRecords(services.database, services.evaluations, search_id)
    repetition = repeat_proposal(search, slot, records, services.generator)
    source = records.source(proposal_id)

    def act(session: Any) -> Answer:
        evaluation = _submitted(services, session, search, slot, source)
        assert slot.score is not None
        body = {
            "proposal_id": proposal_id,
            "proposed_again": repetition.proposed,
            "applied_again": repetition.applied,
            "recorded_accuracy": slot.score.accuracy,
            "evaluation": _EVALUATION.dump_python(evaluation, mode="json"),
        }
        return Answer(202, body, f"/v1/evaluations/{evaluation.id}")

    return answer_response(answer_once(services.database, scope, act))


def _measured(services: Services, search_id: str, proposal_id: str) -> Slot:
    slot = SearchRecordings(services.database, services.evaluations).slot(search_id, proposal_id)
    if slot is None:
        raise RequestProblem(404, "candidate_unknown", f"The search has no candidate {proposal_id[:80]!r}.")
    if slot.score is None:
        raise RequestProblem(
            409,
            "candidate_not_measured",
            f"The candidate is {slot.state.value}: it has no score to repeat.",
            remedy="Replay one whose state is `judged`.",
        )
    return slot


def _submitted(
    services: Services, session: Any, search: SearchRecord, slot: Slot, source: str
) -> EvaluationDocument:
    seed = training_seed(search.request.seed)
    request = replace(evaluation_request(search.request, slot, source, seed), reuse=False)
    require_room(services, session, search.tenant, [request])
    evaluation_id = services.evaluations.submit(
        session,
        request,
        tenant=search.tenant,
        search_id=search.id,
        split_key=split_key_of(session, search.id),
    )
    return evaluation_document(services.evaluations.submitted(session, evaluation_id))
