"""Between rows and the domain's words: how searches and slots are written down and read back."""

from dataclasses import asdict
from typing import Any, TypeVar

from contracts.jobs import HunkReport
from contracts.measurements import Limits
from contracts.names import Integrity, IsolationTier, NoveltyLayer, SearchState, SlotState
from contracts.proposals import AnswerForm, DataShape, DeploymentLimits, EditPermissions, Proposal
from gateway.domain.candidate import Score, Slot, SlotFailure
from gateway.domain.delta_reports import APPLIED, DeltaReport
from gateway.domain.feedback import FeedbackMemory
from gateway.domain.fine_tune_plan import FineTunePlan
from gateway.domain.judging import Verdict
from gateway.domain.model_budget import BudgetStop, ModelBudget
from gateway.domain.novelty import CopyPolicy, Likeness, NoveltyRules, NoveltyScope, ScreenedSlot
from gateway.domain.rerun import AuditPlan, ReplicatePlan, Rerun
from gateway.domain.search import PauseReason, ProposerChoice, SearchRecord, SearchRequest
from gateway.infra.search_tables import SearchRow, SlotRow
from gateway.theory.diversity import AlarmThresholds

Plan = TypeVar("Plan", ReplicatePlan, AuditPlan)


def stored_request(request: SearchRequest) -> dict[str, Any]:
    """A search request as its JSON column."""
    return asdict(request) | {"baselines": list(request.baselines)}


def search_record(row: SearchRow) -> SearchRecord:
    """A search as the domain knows it."""
    fields = dict(row.request)
    request = SearchRequest(
        baselines=tuple(fields.pop("baselines")),
        proposer=ProposerChoice(**fields.pop("proposer")),
        limits=Limits(**fields.pop("limits")),
        minimum_tier=IsolationTier(fields.pop("minimum_tier")),
        integrity=Integrity(fields.pop("integrity")),
        edits=_edit_permissions(fields.pop("edits", {})),
        deployment=_deployment_limits(fields.pop("deployment", {})),
        data_shape=_data_shape(fields.pop("data_shape", None)),
        feedback=FeedbackMemory(**fields.pop("feedback", {})),
        model_budget=ModelBudget(**fields.pop("model_budget", {})),
        fine_tune=_fine_tune_plan(fields.pop("fine_tune", None)),
        novelty=_novelty_rules(fields.pop("novelty")),
        replicates=_plan(ReplicatePlan, fields.pop("replicates", None)),
        audit_sample=_plan(AuditPlan, fields.pop("audit_sample", None)),
        **fields,
    )
    return SearchRecord(
        id=row.id,
        tenant=row.tenant,
        request=request,
        state=SearchState(row.state),
        cycle=row.cycle,
        classes=row.classes,
        waiting_for=row.waiting_for,
        paused_by=None if row.paused_by is None else PauseReason(**row.paused_by),
        stopped_by=None if row.stopped_by is None else BudgetStop(**row.stopped_by),
        platform_waits=dict(row.platform_waits or {}),
        failure=row.failure,
        final=row.final,
        control_of=row.control_of,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _edit_permissions(stored: dict[str, list[str]]) -> EditPermissions:
    """Empty of a search that was accepted before there were any."""
    return EditPermissions(tuple(stored.get("only", ())), tuple(stored.get("never", ())))


def _deployment_limits(stored: dict[str, Any]) -> DeploymentLimits:
    """None of a search that was accepted before there were any."""
    forbidden = tuple(stored.get("forbidden_operators", ()))
    return DeploymentLimits(forbidden, stored.get("max_parameters"), stored.get("max_flops"))


def _data_shape(stored: dict[str, int] | None) -> DataShape | None:
    return None if stored is None else DataShape(**stored)


def _fine_tune_plan(stored: dict[str, Any] | None) -> FineTunePlan | None:
    if stored is None:
        return None
    alarms = stored.get("alarms")
    return FineTunePlan(**stored | {"alarms": None if alarms is None else AlarmThresholds(**alarms)})


def _plan(kind: type[Plan], stored: dict[str, Any] | None) -> Plan | None:
    return None if stored is None else kind(**stored)


def _novelty_rules(stored: dict[str, Any]) -> NoveltyRules:
    scopes = tuple(NoveltyScope(scope) for scope in stored["scopes"])
    return NoveltyRules(**stored | {"scopes": scopes, "policy": CopyPolicy(stored["policy"])})


def slot_record(row: SlotRow, reruns: tuple[Rerun, ...] = ()) -> Slot:
    """A slot as the domain knows it, without its long texts; its further runs are the caller's to look up."""
    return Slot(
        proposal_id=row.proposal_id,
        search_id=row.search_id,
        cycle=row.cycle,
        slot=row.slot,
        state=SlotState(row.state),
        name=row.name,
        root_id=row.root_id,
        family=row.family,
        parent_id=row.parent_id,
        parent_name=row.parent_name,
        hyperparameters=row.hyperparameters,
        proposer=row.proposer,
        summary=row.summary,
        form=AnswerForm(row.form or AnswerForm.DELTA),
        delta=row.delta,
        delta_code=row.delta_code,
        delta_confidence=row.delta_confidence,
        candidate_id=row.candidate_id,
        failure=None if row.failure is None else SlotFailure(**row.failure),
        duplicate_of=row.duplicate_of,
        likeness=_likeness(row),
        trace_evaluation_id=row.trace_evaluation_id,
        traced=row.traced,
        structure_key=row.structure_key,
        evaluation_id=row.evaluation_id,
        admitted=row.admitted,
        score=_score(row),
        reruns=reruns,
        elite=row.elite,
        step_errors=row.step_errors,
    )


def _likeness(row: SlotRow) -> Likeness | None:
    if row.likeness is None:
        return None
    fields = dict(row.likeness)
    return Likeness(
        scope=NoveltyScope(fields.pop("scope")),
        layer=NoveltyLayer(fields.pop("layer")),
        penalty=row.penalty or 0.0,
        **fields,
    )


def _score(row: SlotRow) -> Score | None:
    if row.accuracy is None:
        return None
    return Score(
        accuracy=row.accuracy,
        accuracy_standard_error=row.accuracy_standard_error or 0.0,
        audit_accuracy=row.audit_accuracy,
        cpu_seconds=row.cpu_seconds or 0.0,
        peak_memory_bytes=row.peak_memory_bytes or 0,
        claimed_parameters=row.claimed_parameters,
        plausible=bool(row.plausible),
        estimate=row.estimate,
    )


def write_verdict(row: SlotRow, verdict: Verdict) -> None:
    """End a slot with its verdict."""
    write_end(row, verdict.state, verdict.failure)
    if verdict.score is not None:
        for name, value in asdict(verdict.score).items():
            setattr(row, name, value)


def write_screened(row: SlotRow, screened: ScreenedSlot) -> None:
    """What a slot is a copy of, if of anything, with the lines in which both differ; and its structure."""
    row.traced, row.structure_key = screened.traced, screened.structure_key
    if screened.likeness is None:
        return
    fields = asdict(screened.likeness)
    row.penalty = fields.pop("penalty") or None
    row.likeness = fields | {"name": storable(screened.likeness.name, 120)}
    row.difference = [storable(line, 500) for line in screened.difference]


def write_end(row: SlotRow, state: SlotState, failure: SlotFailure | None) -> None:
    """End a slot with or without a failure."""
    row.state = state
    if failure is not None:
        row.failure = asdict(failure) | {"message": storable(failure.message, 4000)}
        row.failure_reason = failure.reason


def write_proposal(row: SlotRow, proposal: Proposal) -> None:
    """What a proposer answered for a slot, as it came; the calls of its model are `model_calls`."""
    row.proposer = storable(proposal.proposer, 80)
    row.raw_proposal = storable(proposal.answer)
    row.form = proposal.form
    row.summary = storable(proposal.summary, 500)
    row.state = SlotState.PROPOSED


def write_report(row: SlotRow, report: DeltaReport) -> None:
    """What became of the slot's delta."""
    row.delta_code = report.code
    row.delta_confidence = report.confidence if report.code == APPLIED else None
    row.delta_counts = {"hunks": dict(report.hunk_counts), "repairs": dict(report.repair_counts)}
    row.delta_report = {
        "message": storable(report.message),
        "hunks": [_stored_hunk(hunk) for hunk in report.hunks],
        "hunks_left_out": report.hunks_left_out,
    }


def _stored_hunk(hunk: HunkReport) -> dict[str, Any]:
    return asdict(hunk) | {
        "message": storable(hunk.message),
        "repairs": [storable(repair) for repair in hunk.repairs],
    }


def storable(text: str, limit: int | None = None) -> str:
    """Text that every database takes: no NUL, no lone surrogates, at most `limit` characters."""
    clean = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return clean if limit is None or len(clean) <= limit else clean[: limit - 1] + "…"
