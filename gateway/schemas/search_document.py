"""How a search, a cycle and a candidate look in JSON, in answers and in events alike. Pure dictionaries.

The sealed half stays sealed here: `audit_accuracy` is null unless the caller says that it is revealed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from gateway.domain.candidate import Slot
from gateway.domain.finals import FinalComparison
from gateway.domain.model_budget import ModelSpending
from gateway.domain.rerun import Rerun, RerunTally
from gateway.domain.search import Funnel, SearchRecord

Document = dict[str, Any]


@dataclass(frozen=True)
class SlotCount:
    """How many slots have ended, and how many there are so far."""

    done: int
    laid_out: int


def candidate_document(slot: Slot, *, revealed: bool = False) -> Document:
    """A candidate, in lists and in `slot` events."""
    score = slot.score
    return {
        "proposal_id": slot.proposal_id,
        "candidate_id": slot.candidate_id,
        "cycle": slot.cycle,
        "slot": slot.slot,
        "state": slot.state.value,
        "parent": None
        if slot.parent_id is None
        else {"proposal_id": slot.parent_id, "name": slot.parent_name},
        "name": slot.name,
        "family": slot.family,
        "proposer": slot.proposer,
        "summary": slot.summary,
        "form": None if slot.is_baseline else slot.form.value,
        "delta": slot.delta,
        "delta_code": slot.delta_code,
        "delta_confidence": slot.delta_confidence,
        "accuracy": score and score.accuracy,
        "accuracy_standard_error": score and score.accuracy_standard_error,
        "audit_accuracy": score.audit_accuracy if score and revealed else None,
        "cpu_seconds": score and score.cpu_seconds,
        "peak_memory_bytes": score and score.peak_memory_bytes,
        "claimed_parameters": score and score.claimed_parameters,
        "plausible": score and score.plausible,
        "failure": asdict(slot.failure) if slot.failure else None,
        "duplicate_of": slot.duplicate_of,
        "likeness": asdict(slot.likeness) if slot.likeness else None,
        "traced": slot.traced,
        "selection_score": slot.selection_score,
        "estimate": score and score.estimate,
        "reruns": [rerun_document(rerun) for rerun in slot.reruns],
        "elite": slot.elite,
        "evaluation_id": slot.evaluation_id,
    }


def rerun_document(rerun: Rerun) -> Document:
    """One further run of a candidate."""
    return {
        "purpose": rerun.purpose.value,
        "cycle": rerun.cycle,
        "seed": rerun.seed,
        "epochs": rerun.epochs,
        "state": rerun.state.value,
        "accuracy": rerun.accuracy,
        "failure_reason": rerun.failure_reason,
        "cpu_seconds": rerun.cpu_seconds,
        "evaluation_id": rerun.evaluation_id,
    }


def search_document(
    record: SearchRecord,
    funnel: Funnel,
    slots: SlotCount,
    best: Slot | None,
    spent: ModelSpending,
    reruns: RerunTally,
    control: str | None,
) -> Document:
    """A search with its progress; `best` is the best elite so far, baselines included.

    `spent` is what language models have taken for it, `reruns` how many candidates were trained again.
    `control` is the id of its control arm.
    """
    request = record.request
    planned = len(request.baselines) + request.cycles * request.candidates_per_cycle
    asked = asdict(request)
    asked["baselines"] = list(request.baselines)
    # The data set tells its shape itself; nobody asked for it.
    del asked["data_shape"]
    return {
        "id": record.id,
        "name": request.name,
        "state": record.state.value,
        "request": asked,
        "progress": {
            "cycle": record.cycle,
            "cycles": request.cycles,
            "slots_done": slots.done,
            "slots_total": planned if record.stopped_by is None else slots.laid_out,
            "waiting_for": record.waiting_for,
            "platform_waits": record.platform_waits,
        },
        "paused_by": None if record.paused_by is None else asdict(record.paused_by),
        "stopped_by": None if record.stopped_by is None else asdict(record.stopped_by),
        "funnel": asdict(funnel),
        "reruns": asdict(reruns),
        "model": spending_document(spent, funnel.ran),
        "best": None if best is None else candidate_document(best, revealed=record.reveals(best.proposal_id)),
        "final": record.final,
        "control": control,
        "control_of": record.control_of,
        "failure": record.failure,
        "created_at": timestamp(record.created_at),
        "started_at": timestamp(record.started_at),
        "finished_at": timestamp(record.finished_at),
    }


def final_document(winner: Slot, baseline: Slot, comparison: FinalComparison) -> Document:
    """The end of a search, with both finalists' sealed half."""
    return {
        "winner": candidate_document(winner, revealed=True),
        "baseline": candidate_document(baseline, revealed=True),
        "per_seed": [asdict(pair) for pair in comparison.per_seed],
        "mean_gain": comparison.mean_gain,
        "gain_interval": None if comparison.gain_interval is None else list(comparison.gain_interval),
        "confidence": comparison.confidence,
        "scored_on": "sealed_half",
        "note": comparison.note,
    }


def spending_document(spent: ModelSpending, ran: int) -> Document:
    """What language models have taken; `ran` of their candidates are valid: trained and scored."""
    known = spent.calls > spent.calls_without_cost
    return {
        "calls": spent.calls,
        "repairs": spent.repairs,
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "tokens": spent.tokens,
        "tokens_per_valid_candidate": spent.tokens / ran if ran and spent.tokens else None,
        "cost_usd": spent.cost_usd if known else None,
        "seconds": spent.seconds,
        "calls_without_tokens": spent.calls_without_tokens,
        "calls_without_cost": spent.calls_without_cost,
    }


def cycle_document(
    cycle: int,
    state: str,
    funnel: Funnel,
    reruns: RerunTally,
    best_accuracy: float | None,
    mean_accuracy: float | None,
    failures: Mapping[str, int],
    delta_failures: Mapping[str, int],
    spent: ModelSpending,
    diversity: Document | None,
    adapter: str | None,
    fine_tune: Document | None,
    alarm: Document | None,
) -> Document:
    """One cycle. Cycle 0 counts the baselines themselves, as if they had been proposed.

    `failures` counts every failure by its reason, `delta_failures` those of deltas by the applier's code.
    `adapter` is what its proposals were made with, `fine_tune` what was learnt when it had closed.
    """
    return {
        "cycle": cycle,
        "state": state,
        "funnel": asdict(funnel),
        "reruns": asdict(reruns),
        "best_accuracy": best_accuracy,
        "mean_accuracy": mean_accuracy,
        "failures": dict(failures),
        "delta_failures": dict(delta_failures),
        "model": spending_document(spent, funnel.ran),
        "diversity": diversity,
        "adapter": adapter,
        "fine_tune": fine_tune,
        "alarm": alarm,
    }


def timestamp(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC, as every time in an answer."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
