"""How often a damaged delta is understood, misunderstood or refused: ours, patch, git and whatthepatch.

Pairs of real networks, their true diff, and damage of the kinds that small language models do to it;
every applier meets the same instances in the same run. docs/benchmarks.md says what counts as right.

    python tests/bench/bench_delta_damage.py [--quick | --full] [--held-out] [--kinds NAME ...]
        [--show KIND] [--only-ours] [--json] [--wheel FILE] [--seed N]
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from delta_damage.appliers import Applier, all_appliers
from delta_damage.catalogue import CONTROL, HELD_OUT, PUBLIC
from delta_damage.kinds import Instance, Kind, draw
from delta_damage.lemur import Lemur, lemur_pairs, mutation_pairs
from delta_damage.pairs import Pair
from delta_damage.scores import Outcome, Score, Trial, overall, quantile, score, try_all, wilson
from lemur_package import lemur_wheel

MEMORY = Path("/dev/shm")
LINES_TIMED = range(70, 91)
"""Baselines of about 80 lines."""
SHOWN_LINES = 60
MOST_SHOWN = 5


@dataclass(frozen=True)
class Size:
    """How much is tried: pairs of two networks, mutation pairs, instances a kind for ours and the others."""

    pairs: int
    mutations: int
    ours: int
    others: int


QUICK, DEFAULT, FULL = Size(60, 9, 30, 10), Size(160, 27, 100, 40), Size(320, 40, 200, 100)


def collect(size: Size, arguments: argparse.Namespace) -> list[Pair]:
    """The pairs of one half of the families."""
    lemur = Lemur(arguments.wheel or lemur_wheel(), arguments.held_out)
    pairs = lemur_pairs(lemur, size.pairs, arguments.seed)
    return pairs + mutation_pairs(lemur, size.mutations, arguments.seed, shipped=not arguments.held_out)


def chosen_kinds(arguments: argparse.Namespace) -> list[Kind]:
    """Held-out kinds are met only with held-out sources."""
    kinds = [*PUBLIC, *(HELD_OUT if arguments.held_out else ())]
    wanted = set(arguments.kinds or [])
    unknown = wanted - {kind.name for kind in kinds}
    if unknown:
        raise SystemExit(f"unknown kinds: {', '.join(sorted(unknown))}; see docs/benchmarks.md")
    return [kind for kind in kinds if not wanted or kind.name in wanted]


def run(
    kinds: Sequence[Kind], pairs: Sequence[Pair], appliers: Mapping[str, Applier], size: Size, seed: int
) -> dict[str, dict[str, list[Trial]]]:
    """Trials by applier and kind."""
    trials: dict[str, dict[str, list[Trial]]] = {name: {} for name in appliers}
    for kind in kinds:
        instances = draw(kind, pairs, size.ours, seed)
        if not instances:
            print(f"no instance of {kind.name!r} could be drawn from these pairs", file=sys.stderr)
            continue
        for name, applier in appliers.items():
            given = instances if name == "deltanas" else instances[: size.others]
            trials[name][kind.name] = try_all(applier, given)
    return trials


def percent(share: float) -> str:
    """In a column."""
    return f"{100 * share:5.1f}"


def print_table(trials: Mapping[str, Mapping[str, Sequence[Trial]]]) -> None:
    """One line a kind, the means below it."""
    scores = {name: {kind: score(found) for kind, found in kinds.items()} for name, kinds in trials.items()}
    print("\nright / silently wrong, per cent; what is left was refused and should not have been")
    print(f"{'kind':<24}{'n':>5}" + "".join(f"{name:>18}" for name in scores) + "    wrong ≤ (95 %)")
    first = next(iter(scores))
    for kind in scores[first]:
        _print_row(kind, [scores[name][kind] for name in scores])
    means = {name: overall(kinds) for name, kinds in scores.items() if set(kinds) - {CONTROL.name}}
    if not means:
        return
    cells = "".join(f"{percent(m.right_share):>11} /{percent(m.wrong_share)}" for m in means.values())
    print(f"{f'mean of {means[first].kinds} kinds':<24}{means[first].count:>5}{cells}")
    for name, mean in means.items():
        low, high = (100 * bound for bound in mean.wrong_interval)
        print(f"  {name}: silently wrong {low:.2f}–{high:.2f} % of all {mean.count} (Wilson, 95 %)")


def _print_row(kind: str, scores: Sequence[Score]) -> None:
    cells = "".join(f"{percent(one.right_share):>11} /{percent(one.wrong_share)}" for one in scores)
    _, high = wilson(scores[0].wrong, scores[0].count)
    print(f"{kind:<24}{scores[0].count:>5}{cells}{100 * high:>15.1f}")


def print_times(trials: Mapping[str, Sequence[Trial]]) -> None:
    """Of ours, on baselines of about 80 lines."""
    taken = [
        1000 * trial.cpu_seconds
        for found in trials.values()
        for trial in found
        if len(trial.instance.baseline.splitlines()) in LINES_TIMED
    ]
    if taken:
        print(
            f"\ndeltanas, baselines of {LINES_TIMED.start}–{LINES_TIMED.stop - 1} lines: "
            f"p50 {quantile(taken, 0.5):.2f} ms, p95 {quantile(taken, 0.95):.2f} ms of CPU "
            f"({len(taken)} calls)"
        )


def as_json(trials: Mapping[str, Mapping[str, Sequence[Trial]]]) -> str:
    """Everything that the table says, and more digits."""
    document = {}
    for name, kinds in trials.items():
        scores = {kind: score(found) for kind, found in kinds.items()}
        document[name] = {
            "overall": asdict(overall(scores)) if set(scores) - {CONTROL.name} else None,
            "kinds": {
                kind: {**asdict(one), "wrong_interval": wilson(one.wrong, one.count)}
                for kind, one in scores.items()
            },
            "cpu_milliseconds": {
                kind: {
                    f"p{p}": round(1000 * quantile([t.cpu_seconds for t in found], p / 100), 3)
                    for p in (50, 95)
                }
                for kind, found in kinds.items()
            },
        }
    return json.dumps(document, indent=2)


def show(trials: Sequence[Trial]) -> None:
    """The first few failures of a public kind in full."""
    failures = [trial for trial in trials if trial.outcome is not Outcome.RIGHT]
    print(f"{len(failures)} of {len(trials)} not right; the first {min(MOST_SHOWN, len(failures))}:")
    for trial in failures[:MOST_SHOWN]:
        _show_one(trial.instance, trial)


def _show_one(instance: Instance, trial: Trial) -> None:
    from generator_svc.deltas import apply_delta, canonical_delta

    print("=" * 100)
    print(f"{instance.kind}: {instance.pair.name}: {trial.outcome}")
    _print_text("baseline", "\n".join(_around(instance)))
    _print_text("answer", instance.answer)
    wanted = min(instance.right, default=None)
    _print_text("right", "refuse" if wanted is None else canonical_delta(instance.baseline, wanted))
    if trial.source is None:
        _print_text("got", apply_delta(instance.baseline, instance.answer).message)
    else:
        _print_text("got", canonical_delta(instance.baseline, trial.source))
        if wanted is not None:
            _print_text("from right to got", canonical_delta(wanted, trial.source))


def _around(instance: Instance) -> list[str]:
    """The baseline's numbered lines around the true hunks."""
    lines = instance.baseline.split("\n")
    near = {
        at
        for hunk in instance.pair.hunks
        for at in range(max(0, hunk.start - 4), min(len(lines), hunk.start + len(hunk.old) + 4))
    }
    return [f"{at + 1:>4} {lines[at]}" for at in sorted(near)]


def _print_text(title: str, text: str) -> None:
    lines = text.splitlines()
    print(f"--- {title}")
    print("\n".join(line if line.isascii() else ascii(line)[1:-1] for line in lines[:SHOWN_LINES]))
    if len(lines) > SHOWN_LINES:
        print(f"    ({len(lines) - SHOWN_LINES} lines more)")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="30 instances a kind, under a minute")
    parser.add_argument("--full", action="store_true", help="200 instances a kind, under ten minutes")
    parser.add_argument("--held-out", action="store_true", help="held-out sources; adds the held-out kinds")
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="only these kinds")
    parser.add_argument("--show", metavar="KIND", help="print failures of ours at one public kind")
    parser.add_argument("--only-ours", action="store_true", help="leave the other appliers out")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--wheel", type=Path, help="nn-dataset 2.1.2; downloaded when not given")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.show:
        arguments.kinds, arguments.only_ours = [arguments.show], True
        if arguments.held_out:
            parser.error("--show is for public kinds and sources: whoever tunes must not see the others")
    return arguments


def main() -> None:
    """Draw, try, print."""
    arguments = parsed()
    size = QUICK if arguments.quick else FULL if arguments.full else DEFAULT
    kinds = chosen_kinds(arguments)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        appliers = all_appliers(Path(name))
        if arguments.only_ours:
            appliers = {"deltanas": appliers["deltanas"]}
        trials = run(kinds, collect(size, arguments), appliers, size, arguments.seed)
    if arguments.show:
        show(trials["deltanas"].get(arguments.show, []))
    elif arguments.json:
        print(as_json(trials))
    else:
        print_table(trials)
        print_times(trials["deltanas"])


if __name__ == "__main__":
    main()
