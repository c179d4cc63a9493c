"""How a search, a cycle and a candidate look in JSON, in answers and in events alike. Pure dictionaries.

The sealed half stays sealed here: `audit_accuracy` is null unless the caller says that it is revealed.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from gateway.domain.candidate import Slot
from gateway.domain.finals import FinalComparison
from gateway.domain.search import Funnel, SearchRecord

Document = dict[str, Any]


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
        "elite": slot.elite,
        "evaluation_id": slot.evaluation_id,
    }


def search_document(record: SearchRecord, funnel: Funnel, slots_done: int, best: Slot | None) -> Document:
    """A search with its progress; `best` is the best elite so far, baselines included."""
    request = record.request
    asked = asdict(request)
    asked["baselines"] = list(request.baselines)
    return {
        "id": record.id,
        "name": request.name,
        "state": record.state.value,
        "request": asked,
        "progress": {
            "cycle": record.cycle,
            "cycles": request.cycles,
            "slots_done": slots_done,
            "slots_total": len(request.baselines) + request.cycles * request.candidates_per_cycle,
            "waiting_for": record.waiting_for,
        },
        "funnel": asdict(funnel),
        "best": None if best is None else candidate_document(best, revealed=record.reveals(best.proposal_id)),
        "final": record.final,
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


def cycle_document(
    cycle: int,
    state: str,
    funnel: Funnel,
    best_accuracy: float | None,
    mean_accuracy: float | None,
    failures: Mapping[str, int],
    delta_failures: Mapping[str, int],
) -> Document:
    """One cycle. Cycle 0 counts the baselines themselves, as if they had been proposed.

    `failures` counts every failure by its reason, `delta_failures` those of deltas by the applier's code.
    """
    return {
        "cycle": cycle,
        "state": state,
        "funnel": asdict(funnel),
        "best_accuracy": best_accuracy,
        "mean_accuracy": mean_accuracy,
        "failures": dict(failures),
        "delta_failures": dict(delta_failures),
    }


def timestamp(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC, as every time in an answer."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
