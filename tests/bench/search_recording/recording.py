"""What is kept of a search: every score, what became of every proposal, and the word of every instrument.

Neither sources nor raw answers: the seed and the request make a mutation proposer's again. Pure.
"""

import json
from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

_ASKED = (
    "dataset",
    "cycles",
    "candidates_per_cycle",
    "seed",
    "proposer",
    "epochs",
    "train_images",
    "elites",
    "final_seeds",
    "novelty",
    "replicates",
    "audit_sample",
    "fine_tune",
    "feedback",
    "baselines",
)
_OF_CYCLE = ("cycle", "funnel", "best_accuracy", "mean_accuracy", "diversity", "fine_tune")


def recording(search: Json, cycles: Sequence[Json], candidates: Sequence[Json], theory: Json) -> Json:
    """The file's content, from the documents of the product's HTTP interface."""
    prefix = f"{search['id']}-"
    finals = _finals(search["final"])
    ordered = sorted(candidates, key=lambda one: (one["cycle"], one["slot"]))
    return {
        "request": {name: search["request"][name] for name in _ASKED},
        "state": search["state"],
        "seconds": [search["started_at"], search["finished_at"]],
        "funnel": search["funnel"],
        "model": search["model"],
        "final": _final(search["final"]),
        "cycles": [{name: cycle[name] for name in _OF_CYCLE} for cycle in cycles],
        "candidates": [_candidate(one, prefix, finals.get(one["proposal_id"], [])) for one in ordered],
        "readings": theory["readings"],
    }


def written(record: Json) -> str:
    """As JSON with a line for each candidate, cycle and reading, so that two recordings can be compared."""
    parts = []
    for name, value in record.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f'"{name}": [\n{rows}\n ]')
        else:
            parts.append(f'"{name}": {json.dumps(value, ensure_ascii=False)}')
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def _candidate(one: Json, prefix: str, finals: list[float]) -> Json:
    parent, likeness = one["parent"], one["likeness"]
    kept = {
        "id": one["proposal_id"].removeprefix(prefix),
        "cycle": one["cycle"],
        "name": one["name"],
        "parent": parent and parent["proposal_id"].removeprefix(prefix),
        "state": one["state"],
        "reason": (one["failure"] or {}).get("reason"),
        "copy_of": likeness and {"name": likeness["name"], "layer": likeness["layer"]},
        "accuracy": one["accuracy"],
        "plausible": one["plausible"],
        "estimate": one["estimate"],
        "elite": one["elite"],
        "cpu_seconds": one["cpu_seconds"],
        "summary": one["summary"],
        "reruns": [
            {name: run[name] for name in ("purpose", "seed", "accuracy", "cpu_seconds")}
            for run in one["reruns"]
        ],
        "finals": finals,
    }
    return {name: value for name, value in kept.items() if value not in (None, "")}


def _finals(final: Json | None) -> dict[str, list[float]]:
    """By proposal id, accuracies on the sealed half."""
    if final is None:
        return {}
    return {
        final[who]["proposal_id"]: [
            pair[f"{who}_accuracy"] for pair in final["per_seed"] if pair[f"{who}_accuracy"] is not None
        ]
        for who in ("winner", "baseline")
    }


def _final(final: Json | None) -> Json | None:
    if final is None:
        return None
    names = {who: final[who]["name"] for who in ("winner", "baseline")}
    return names | {name: final[name] for name in ("mean_gain", "gain_interval", "note")}
