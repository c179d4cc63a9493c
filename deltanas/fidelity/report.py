"""What a study found, as one JSON document. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from deltanas.fidelity.agreement import CONFIDENCE, RESAMPLES, agreement_of, wilson_interval
from deltanas.fidelity.sample import Criteria, Exclusion, RecordedNetwork
from deltanas.fidelity.study import Conditions, Outcome, State

Json = dict[str, Any]

_NOT_RUN = frozenset({State.FAILED, State.REFUSED})


def fidelity_report(
    criteria: Criteria,
    conditions: Conditions,
    chosen: Sequence[RecordedNetwork | Exclusion],
    outcomes: Sequence[Outcome],
    seed: int,
) -> Json:
    """Exclusions, the share that ran, the agreement of accuracies, and a row for each network."""
    excluded = Counter(found.value for found in chosen if isinstance(found, Exclusion))
    return {
        "study": {
            **asdict(criteria),
            **asdict(conditions),
            "epochs": 1,
            "seed": seed,
            "tag": conditions.tag,
        },
        "catalogue": {
            "recorded": len(chosen),
            "fitting": len(chosen) - excluded.total(),
            "excluded": dict(excluded.most_common()),
        },
        "runs": _runs(outcomes),
        "agreement": _agreement(outcomes, seed),
        "environments": sorted({digest for digest in map(_environment, outcomes) if digest}),
        "networks": [_row(outcome) for outcome in outcomes],
    }


def _runs(outcomes: Sequence[Outcome]) -> Json:
    """`share_that_ran` is ran / (ran + failed + refused): what the platform lost is in no rate."""
    states = Counter(outcome.state for outcome in outcomes)
    judged = states[State.RAN] + sum(states[state] for state in _NOT_RUN)
    return {
        "drawn": len(outcomes),
        **{state.value: states[state] for state in State},
        "share_that_ran": states[State.RAN] / judged if judged else None,
        "share_interval": wilson_interval(states[State.RAN], judged),
        "failures": _failures(outcomes),
    }


def _failures(outcomes: Iterable[Outcome]) -> list[Json]:
    """By reason, phase and resource; the most frequent first."""
    tally = Counter(
        (outcome.failure.get("reason"), outcome.failure.get("phase"), outcome.failure.get("resource"))
        for outcome in outcomes
        if outcome.state in _NOT_RUN and outcome.failure
    )
    return [
        {"reason": reason, "phase": phase, "resource": resource, "networks": networks}
        for (reason, phase, resource), networks in tally.most_common()
    ]


def _agreement(outcomes: Iterable[Outcome], seed: int) -> Json | None:
    pairs = [
        (outcome.accuracy, outcome.network.recorded_accuracy)
        for outcome in outcomes
        if outcome.accuracy is not None
    ]
    found = agreement_of(pairs, seed)
    return None if found is None else {**asdict(found), "confidence": CONFIDENCE, "resamples": RESAMPLES}


def _environment(outcome: Outcome) -> str | None:
    found: str | None = (outcome.evaluation.get("provenance") or {}).get("environment_digest")
    return found


def _row(outcome: Outcome) -> Json:
    network, measurement = outcome.network, outcome.evaluation.get("measurement") or {}
    failure = outcome.failure or {}
    return {
        "name": network.name,
        "family": network.family,
        "transform": network.transform,
        "pixels": network.pixels,
        "batch": network.batch,
        "recorded_accuracy": network.recorded_accuracy,
        "state": outcome.state.value,
        "accuracy": outcome.accuracy,
        "difference": None if outcome.accuracy is None else outcome.accuracy - network.recorded_accuracy,
        "cpu_seconds": measurement.get("cpu_seconds"),
        "claimed_parameters": measurement.get("claimed_parameters"),
        "failure": {key: failure.get(key) for key in ("reason", "phase", "resource", "message")}
        if failure
        else None,
        "evaluation_id": outcome.evaluation.get("id"),
    }
