"""What further runs of contenders change in selection: one recorded search read again, and a simulation.

    .venv/bin/python tests/bench/bench_selection.py [--repeats 50] [--search FILE]

The first lines are from a real search that replicated and audited (`recorded/`): how far first
scores flatter, who was elite and who would have been by one run each, and what the audit says. The last
lines are from scores drawn from the model itself, normal with one noise, and no evidence from any search:
the product's own rules (`gateway.domain.reruns`), at equal numbers of evaluations, so candidates that are
run again cost others.
"""

import argparse
import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from contracts.names import SlotState
from gateway.domain.candidate import Score, Slot
from gateway.domain.rerun import ReplicatePlan, Rerun, RerunPurpose
from gateway.domain.reruns import as_of, choose_contenders
from gateway.domain.selection import select_elites
from gateway.domain.statistics import mean_interval
from gateway.theory.proxy_reliability import measured_spearman, read_ceiling_gap, reliability
from gateway.theory.variance_components import Replication, variance_components

RECORDED = Path(__file__).parent / "recorded" / "fashion-mnist-1000-images.json"
EVALUATIONS = 48
FURTHER_SEEDS = 2
BUDGETS = (8, 16)
ELITES = 5
Json = dict[str, Any]


def recorded_search(search: Json) -> list[Json]:
    """What a search that replicated and audited says of single runs. Accuracies are fractions."""
    candidates = [one for one in search["candidates"] if one.get("plausible", "accuracy" in one)]
    again = {one["id"]: _scores(one, "replicate") for one in candidates}
    audited = {one["id"]: _scores(one, "audit") for one in candidates}
    contenders = [one for one in candidates if again[one["id"]]]
    flattery = [one["accuracy"] - fmean(again[one["id"]]) for one in contenders]
    runs = [[one["accuracy"], *again[one["id"]], *audited[one["id"]]] for one in candidates]
    over_all = reliability(runs, Replication.CONTENDERS)
    alone = variance_components(
        [[one["accuracy"], *again[one["id"]]] for one in contenders], Replication.CONTENDERS
    )
    pairs = [(one["accuracy"], audited[one["id"]][0]) for one in candidates if audited[one["id"]]]
    elites = search["request"]["elites"]
    single = sorted(candidates, key=lambda one: (-one["accuracy"], one["id"]))[:elites]
    return [
        {
            "recorded": "contenders",
            "count": len(contenders),
            "first_less_replicates": [round(fmean(flattery), 4), _rounded(mean_interval(flattery, 0.95))],
        },
        {
            "recorded": "finalists",
            "rows": [
                {name: one[name] for name in ("id", "accuracy", "estimate")}
                | {"finals": fmean(one["finals"])}
                for one in candidates
                if one["finals"]
            ],
        },
        {
            "recorded": "elites",
            "by_estimate": sorted(one["id"] for one in candidates if one["elite"]),
            "by_one_run": sorted(one["id"] for one in single),
        },
        {
            "recorded": "icc",
            "likelihood_over_all": over_all and _estimate(over_all.components.icc),
            "contenders_alone": alone and _estimate(alone.icc),
        },
        {
            "recorded": "audit",
            "spearman": _estimate(measured_spearman(pairs)),
            "verdict": read_ceiling_gap(over_all, pairs, 1.0, is_longer=False)[0].verdict,
        },
        {
            "recorded": "cost",
            "first_runs": [len(candidates), round(sum(one["cpu_seconds"] for one in candidates), 1)],
            "further_runs": [
                sum(len(one["reruns"]) for one in candidates),
                round(sum(run["cpu_seconds"] for one in candidates for run in one["reruns"]), 1),
            ],
        },
    ]


def simulated(icc: float, budget: int, repeats: int) -> Json:
    """True accuracy of the best and of the elites, in deviations of architectures from their mean.

    Each rule has as many evaluations: one run each of all, or of fewer and the rest for contenders.
    """
    noise = math.sqrt((1 - icc) / icc)
    rows: dict[str, list[tuple[float, float]]] = {"one_run": [], "replicates": []}
    for seed in range(repeats):
        draws = random.Random(f"{icc} {budget} {seed}")
        truths = [draws.gauss(0, 1) for _ in range(EVALUATIONS)]
        firsts = [truth + draws.gauss(0, noise) for truth in truths]
        slots = [_slot(place, score) for place, score in enumerate(firsts)]
        rows["one_run"].append(_truth(select_elites(slots, ELITES), truths))
        slots = slots[: EVALUATIONS - budget]
        plan = ReplicatePlan(FURTHER_SEEDS, budget)
        while chosen := choose_contenders(slots, 1, ELITES, plan):
            for slot, place in chosen:
                run = 1 + truths[slot.slot] / 100 + draws.gauss(0, noise) / 100
                again = Rerun(RerunPurpose.REPLICATE, 1, place, place, 1, SlotState.JUDGED, run)
                slots[slot.slot] = replace(slots[slot.slot], reruns=(*slots[slot.slot].reruns, again))
        rows["replicates"].append(_truth(select_elites(as_of(slots, 1), ELITES), truths))
    found: Json = {
        "simulated": "normal scores",
        "icc": icc,
        "evaluations": EVALUATIONS,
        "of_them_again": budget,
    }
    for place, name in enumerate(("winner", "elites")):
        one, other = ([pair[place] for pair in rows[rule]] for rule in ("one_run", "replicates"))
        gains = [b - a for a, b in zip(one, other, strict=True)]
        found |= {
            f"{name}_one_run": round(fmean(one), 3),
            f"{name}_replicates": round(fmean(other), 3),
            f"{name}_difference": [round(fmean(gains), 3), _rounded(mean_interval(gains, 0.95))],
        }
    return found


def _slot(place: int, score: float) -> Slot:
    """Scores around 1, so that none of them is zero, which would be a failure."""
    return Slot(
        proposal_id=f"se_0-c001-s{place:03d}",
        search_id="se_0",
        cycle=1,
        slot=place,
        state=SlotState.JUDGED,
        name=str(place),
        root_id="",
        family="",
        candidate_id=str(place),
        score=Score(1 + score / 100, 0.0, None, 0.0, 0, None, True),
    )


def _truth(elites: Sequence[Slot], truths: Sequence[float]) -> tuple[float, float]:
    found = [truths[one.slot] for one in elites]
    return found[0], fmean(found)


def _scores(candidate: Json, purpose: str) -> list[float]:
    return [run["accuracy"] for run in candidate["reruns"] if run["purpose"] == purpose]


def _estimate(estimate: Any) -> list[Any] | None:
    return None if estimate is None else [round(estimate.value, 3), _rounded(estimate.interval)]


def _rounded(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else [round(end, 4) for end in interval]


def main() -> None:
    """Print everything as JSON lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--search", type=Path, default=RECORDED)
    asked = parser.parse_args()
    for row in recorded_search(json.loads(asked.search.read_text())):
        print(json.dumps(row))
    for icc in (0.5, 0.85):
        for budget in BUDGETS:
            print(json.dumps(simulated(icc, budget, asked.repeats)), flush=True)


if __name__ == "__main__":
    main()
