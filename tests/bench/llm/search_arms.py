"""Part b: what a search gains, in arms that share baselines, seeds and the number of proposals."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm.intervals import mean, share
from llm.plan import SearchArm
from llm.records import Outcome, ProposalRecord, taxonomy

Json = dict[str, Any]
Key = tuple[SearchArm, int]


@dataclass(frozen=True)
class ArmRun:
    """One search of one arm: its proposals, by cycle and slot, and its finals on the sealed half."""

    arm: SearchArm
    seed: int
    baseline_best: float | None
    """The best baseline's accuracy on the selection half."""
    records: tuple[ProposalRecord, ...]
    final: Json | None
    adapters: tuple[str | None, ...] = ()
    """What each cycle proposed with."""


def cycles_of(run: ArmRun, per_cycle: int) -> list[list[ProposalRecord]]:
    """The proposals in chunks of a cycle's size: no cycles of a best-of-N search, but as many proposals."""
    records = run.records
    return [list(records[at : at + per_cycle]) for at in range(0, len(records), per_cycle)]


def best_so_far(run: ArmRun, records: Sequence[ProposalRecord]) -> float | None:
    """The best accuracy of these proposals and of the baselines."""
    scored = [one.accuracy for one in records if one.accuracy is not None]
    return max([*scored, *([] if run.baseline_best is None else [run.baseline_best])], default=None)


def evaluated(run: ArmRun) -> list[ProposalRecord]:
    """Proposals that took an evaluation, in their order."""
    return [one for one in run.records if one.outcome in {Outcome.VALID, Outcome.FAILED}]


def search_summary(runs: Sequence[ArmRun], per_cycle: int) -> Json:
    """Each arm by cycle, at equal proposals and at equal evaluations; and the arms against the control."""
    by_arm = {arm: [run for run in runs if run.arm is arm] for arm in SearchArm}
    present = {arm: found for arm, found in by_arm.items() if found}
    equal = _equal_evaluations(runs)
    measures = {
        "final_gain": {key: final_gain(run) for key, run in _keyed(runs).items()},
        "sealed_accuracy": {key: sealed_accuracy(run) for key, run in _keyed(runs).items()},
        "best_at_equal_proposals": {key: best_so_far(run, run.records) for key, run in _keyed(runs).items()},
        "best_at_equal_evaluations": {
            key: best_so_far(run, evaluated(run)[: equal[run.seed]]) for key, run in _keyed(runs).items()
        },
    }
    return {
        "equal_evaluations": {str(seed): count for seed, count in equal.items()},
        "arms": {arm.value: _arm(found, per_cycle, measures) for arm, found in present.items()},
        "against": {
            control.value: {
                arm.value: {name: _paired(values, arm, control, runs) for name, values in measures.items()}
                for arm in present
                if arm is not control
            }
            for control in (SearchArm.BEST_OF_N, SearchArm.MUTATION)
            if control in present
        },
        "runs": [_run(run, per_cycle) for run in runs],
    }


def _keyed(runs: Sequence[ArmRun]) -> dict[Key, ArmRun]:
    return {(run.arm, run.seed): run for run in runs}


def _equal_evaluations(runs: Sequence[ArmRun]) -> dict[int, int]:
    """By seed: as many evaluations as the arm with the fewest has had."""
    seeds = sorted({run.seed for run in runs})
    return {seed: min(len(evaluated(run)) for run in runs if run.seed == seed) for seed in seeds}


def final_gain(run: ArmRun) -> float | None:
    """Of the winner on the baseline that it descends from; zero where nothing won: one keeps what one had."""
    gain: float | None = 0.0 if run.final is None else run.final["mean_gain"]
    return gain


def sealed_accuracy(run: ArmRun) -> float | None:
    """The winner's on the sealed half, over the fresh seeds; equal seeds of arms share half and seeds."""
    pairs = [] if run.final is None else run.final["per_seed"]
    scored = [pair["winner_accuracy"] for pair in pairs if pair["winner_accuracy"] is not None]
    return statistics.fmean(scored) if scored else None


def _arm(runs: Sequence[ArmRun], per_cycle: int, measures: Mapping[str, Mapping[Key, float | None]]) -> Json:
    chunks = [cycles_of(run, per_cycle) for run in runs]
    cycles = max((len(found) for found in chunks), default=0)
    return {
        "cycles": [_cycle(runs, chunks, number) for number in range(cycles)],
        "evaluations": sum(len(evaluated(run)) for run in runs),
        "searches": len(runs),
        "without_winner": sum(run.final is None for run in runs),
        "ends": taxonomy(one for run in runs for one in run.records if one.outcome.counts),
        **{
            name: mean([value for run in runs if (value := values[run.arm, run.seed]) is not None])
            for name, values in measures.items()
        },
    }


def _cycle(runs: Sequence[ArmRun], chunks: Sequence[list[list[ProposalRecord]]], number: int) -> Json:
    """One cycle over all seeds."""
    here = [one for found in chunks if number < len(found) for one in found[number] if one.outcome.counts]
    best = [
        best_so_far(run, [one for chunk in found[: number + 1] for one in chunk])
        for run, found in zip(runs, chunks, strict=True)
    ]
    return {
        "cycle": number + 1,
        "valid_and_novel": share(sum(one.outcome is Outcome.VALID for one in here), len(here)),
        "copies": share(sum(one.outcome is Outcome.COPY for one in here), len(here)),
        "mean_accuracy": mean([one.accuracy for one in here if one.accuracy is not None]),
        "best_so_far": mean([value for value in best if value is not None]),
    }


def _paired(
    values: Mapping[Key, float | None], arm: SearchArm, control: SearchArm, runs: Sequence[ArmRun]
) -> Json:
    """Arm less control over the seeds that both have, with Student's interval."""
    differences = []
    for seed in sorted({run.seed for run in runs}):
        ours, theirs = values.get((arm, seed)), values.get((control, seed))
        if ours is not None and theirs is not None:
            differences.append(ours - theirs)
    return mean(differences)


def _run(run: ArmRun, per_cycle: int) -> Json:
    final = run.final or {}
    return {
        "kind": "run",
        "arm": run.arm.value,
        "seed": run.seed,
        "baseline_best": run.baseline_best,
        "evaluations": len(evaluated(run)),
        "proposals": len(run.records),
        "best_by_cycle": [
            best_so_far(run, run.records[: per_cycle * (number + 1)])
            for number in range(len(cycles_of(run, per_cycle)))
        ],
        "winner_from": final["baseline"]["name"] if final else None,
        "sealed_accuracy": sealed_accuracy(run),
        "final_gain": final_gain(run),
        "final_gain_interval": final.get("gain_interval"),
        "note": final.get("note"),
        "adapters": list(run.adapters),
    }
