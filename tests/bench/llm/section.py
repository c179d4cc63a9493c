"""What a study found, as a section of docs/evidence.md; what was not measured is said to be so. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

NOT_YET = "Not yet measured."
_BEGIN, _END = "<!-- results of {}: begin -->", "<!-- results of {}: end -->"
_ARM_WORDS = {
    "delta_before": "delta, as it came",
    "delta_after": "delta, after learning from pairs",
    "source_before": "whole source, as it came",
    "source_after": "whole source, after learning from pairs",
    "fine_tuning": "fine-tuning after each cycle",
    "feedback_memory": "frozen, with feedback memory",
    "mutation": "mutation proposer",
    "best_of_n": "best of N",
}
_MEASURES = {
    "best_at_equal_proposals": "best, equal proposals",
    "best_at_equal_evaluations": "best, equal evaluations",
    "sealed_accuracy": "winner, sealed half",
    "final_gain": "final gain on its baseline, sealed half",
}
_AMOUNTS = {
    "first_completion_tokens": "first answer",
    "completion_tokens": "all answers of a proposal",
    "prompt_tokens": "all prompts of a proposal",
}


def section(study: Json, summaries: Mapping[str, Json], figure: str | None) -> str:
    """The section of one model. `study` is model, plan, versions, dates; `figure` the picture's file name."""
    parts = {"a": _shares, "b": _searches, "c": _tokens, "d": _applier}
    titles = {
        "a": "a. Valid share before and after learning from pairs",
        "b": "b. A search, by kind of proposer",
        "c": "c. Tokens a proposal",
        "d": "d. The applier on raw answers",
    }
    lines = [f"## {study['model']}", "", *_conditions(study), ""]
    if figure:
        lines += [f"![What was measured of {study['model']}]({figure})", ""]
    for part, title in titles.items():
        lines += [f"### {title}", ""]
        lines += parts[part](summaries[part]) if part in summaries else [NOT_YET]
        lines.append("")
    return "\n".join(lines)


def with_section(page: str, model: str, text: str) -> str:
    """The page with the section of this model in place of an earlier one, or at its end."""
    begin, end = _BEGIN.format(model), _END.format(model)
    block = f"{begin}\n{text.rstrip()}\n{end}\n"
    if begin in page and end in page:
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        return before + block + after.lstrip("\n")
    return f"{page.rstrip()}\n\n{block}"


def percent(share: float | None) -> str:
    """With one digit; a dash for what is not known."""
    return "–" if share is None else f"{100 * share:.1f} %"


def share_text(found: Json) -> str:
    """`11 of 20: 55.0 % (34.2 % to 74.2 %)`."""
    if found["share"] is None:
        return "–"
    low, high = found["interval"]
    return f"{found['count']} of {found['of']}: {percent(found['share'])} ({percent(low)} to {percent(high)})"


def mean_text(found: Json, scale: float = 1.0, unit: str = "", digits: int = 0) -> str:
    """A mean with its interval, and of how many where there is no interval."""
    if found["mean"] is None:
        return "–"
    value = f"{scale * found['mean']:.{digits}f}{unit}"
    if found["interval"] is None:
        return f"{value} (n = {found['n']})"
    low, high = (f"{scale * bound:.{digits}f}" for bound in found["interval"])
    return f"{value} ({low} to {high}; n = {found['n']})"


def _conditions(study: Json) -> list[str]:
    plan, versions = study["plan"], study.get("versions", {})
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [
        f"Measured on {study['machine']}, written {study['written']}; {told}. Data set {plan['dataset']}, "
        f"{plan['train_images']} training images, one epoch. Sampling: temperature {plan['temperature']}, "
        f"top-p {plan['top_p']}, top-k {plan['top_k']}, at most {plan['delta_tokens']} tokens a delta and "
        f"{plan['source_tokens']} a source, at most {plan['repairs']} repair(s). Seed {plan['seed']}; "
        "intervals are 95 %.",
    ]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ("---",) * len(head), *rows)]


def _shares(found: Json) -> list[str]:
    head = ("arm", "valid", "valid and novel", "valid without a repair", "where no kin trained", "lost")
    keys = ("valid", "valid_and_novel", "valid_without_repair", "valid_where_no_kin_trained")
    rows = [
        (_ARM_WORDS[name], *(share_text(arm[key]) for key in keys), str(arm["lost"]))
        for name, arm in found["arms"].items()
    ]
    lines = _table(head, rows)
    for form, difference in found["differences"].items():
        lines += ["", _difference_text(form, difference)]
    if found.get("fine_tune"):
        lines += ["", _fine_tune_text(found["fine_tune"])]
    lines += ["", "What became of all proposals:", ""]
    lines += _ends({name: arm["ends"] for name, arm in found["arms"].items()})
    return lines


def _difference_text(form: str, found: Json) -> str:
    if found["difference"] is None:
        return f"Of `{form}` no slot is in both arms."
    text = f"`{form}`, same slot and baseline before and after ({found['n']} pairs): "
    text += f"{100 * found['difference']:+.1f} points"
    if found["interval"]:
        low, high = (f"{100 * bound:+.1f}" for bound in found["interval"])
        text += f" ({low} to {high})"
    return f"{text}; valid only before {found['only_first']}, only after {found['only_second']}."


def _fine_tune_text(job: Json) -> str:
    result = job["result"]
    verdict = "adopted" if result["adopted"] else "**not adopted**, so that after is the model as it came"
    losses = f"{result['validation_loss_before']:.3f} → {result['validation_loss_after']:.3f}"
    return (
        f"Learning: validation loss {losses} "
        f"at step {result['best_step']}; {verdict} ({result['reason']}). {_chats_text(job['chats'])}"
    )


def _chats_text(chats: Json) -> str:
    measured = chats.get("measured") or {}
    left_out = {**(measured.get("left_out") or {}), **(chats.get("left_out") or {})}
    told = ", ".join(f"{name} {count}" for name, count in left_out.items()) or "none"
    return (
        f"Pairs: {chats['lemur']} recorded, {chats['mutation']} mutations; learnt from "
        f"{measured.get('train')}, validated with {measured.get('validation')}; left out: {told}."
    )


def _ends(by_arm: Mapping[str, Mapping[str, int]]) -> list[str]:
    ends = sorted({end for found in by_arm.values() for end in found})
    rows = [(f"`{end}`", *(str(found.get(end, 0)) for found in by_arm.values())) for end in ends]
    return _table(("end", *(_ARM_WORDS[name] for name in by_arm)), rows)


def _searches(found: Json) -> list[str]:
    head = ("arm", "evaluations", "searches without a winner", *_MEASURES.values())
    rows = [
        (
            _ARM_WORDS[name],
            str(arm["evaluations"]),
            f"{arm['without_winner']} of {arm['searches']}",
            *(mean_text(arm[key], 100, " points" if key == "final_gain" else " %", 2) for key in _MEASURES),
        )
        for name, arm in found["arms"].items()
    ]
    equal = ", ".join(f"{count} (seed {seed})" for seed, count in found["equal_evaluations"].items())
    lines = [*_table(head, rows), "", f"Equal evaluations are {equal}.", ""]
    lines += ["Less the control, over the same seeds, in points:", ""]
    pairs = [
        (
            f"{_ARM_WORDS[arm]} − {_ARM_WORDS[control]}",
            *(mean_text(measures[key], 100, "", 2) for key in _MEASURES),
        )
        for control, arms in found["against"].items()
        for arm, measures in arms.items()
    ]
    lines += _table(("", *_MEASURES.values()), pairs)
    lines += ["", "By cycle (of best of N: as many proposals as a cycle has):", "", *_by_cycle(found)]
    lines += ["", "Each search:", "", *_runs(found["runs"]), "", "What became of all proposals:", ""]
    return lines + _ends({name: arm["ends"] for name, arm in found["arms"].items()})


def _by_cycle(found: Json) -> list[str]:
    rows = [
        (
            _ARM_WORDS[name],
            str(cycle["cycle"]),
            share_text(cycle["valid_and_novel"]),
            share_text(cycle["copies"]),
            mean_text(cycle["mean_accuracy"], 100, " %", 2),
            mean_text(cycle["best_so_far"], 100, " %", 2),
        )
        for name, arm in found["arms"].items()
        for cycle in arm["cycles"]
    ]
    return _table(("arm", "cycle", "valid and novel", "copies", "mean accuracy", "best so far"), rows)


def _runs(runs: list[Json]) -> list[str]:
    rows = []
    for run in runs:
        gain, interval = run["final_gain"], run["final_gain_interval"]
        told = "–" if gain is None else f"{100 * gain:+.2f} points"
        if interval:
            told += f" ({100 * interval[0]:+.2f} to {100 * interval[1]:+.2f})"
        winner = "none"
        if run["winner_from"]:
            winner = f"{percent(run['sealed_accuracy'])}, from {run['winner_from']}"
        best = " → ".join(percent(value) for value in run["best_by_cycle"])
        adapters = len({name for name in run["adapters"] if name})
        rows.append(
            (
                _ARM_WORDS[run["arm"]],
                str(run["seed"]),
                percent(run["baseline_best"]),
                best,
                winner,
                told,
                str(adapters),
            )
        )
    return _table(
        ("arm", "seed", "best baseline", "best so far", "winner, sealed half", "final gain", "adapters"), rows
    )


def _tokens(found: Json) -> list[str]:
    rows = [
        (
            _ARM_WORDS[name],
            *(mean_text(arm[amount]) for amount in _AMOUNTS),
            "–"
            if arm["completion_tokens_per_valid"] is None
            else f"{arm['completion_tokens_per_valid']:.0f}",
            str(arm["proposals_cut"]),
        )
        for name, arm in found["arms"].items()
    ]
    lines = _table(("arm", *_AMOUNTS.values(), "written per valid proposal", "cut at the limit"), rows)
    for when, amounts in found["delta_over_source"].items():
        told = "; ".join(f"{_AMOUNTS[amount]} {_ratio_text(ratio)}" for amount, ratio in amounts.items())
        lines += ["", f"Delta over source, {when} learning: {told}."]
    return lines


def _ratio_text(found: Json) -> str:
    if found["ratio"] is None:
        return "–"
    low, high = found["interval"]
    return f"{found['ratio']:.2f} ({low:.2f} to {high:.2f})"


def _applier(found: Json) -> list[str]:
    words = {"all": "all", "before": "as it came", "after": "after learning from pairs"}
    reasons = sorted({reason for key in words for reason in found[key]["refused"]})
    rows = [("applied", *(share_text(found[key]["applied"]) for key in words))]
    rows += [
        (f"`{reason}`", *(str(found[key]["refused"].get(reason, 0)) for key in words)) for reason in reasons
    ]
    lines = _table((f"{found['answers']} answers, {found['different']} different", *words.values()), rows)
    return [*lines, "", _reading_text(found.get("reading"))]


def _reading_text(reading: Json | None) -> str:
    if reading is None or reading["right"] + reading["wrong"] + reading["unclear"] == 0:
        return "Applied as they were meant? Not yet read by hand."
    worst = share_text(reading["misapplied_at_worst"])
    return (
        f"Read by hand: misapplied {share_text(reading['misapplied'])}; unclear {reading['unclear']}, "
        f"not yet read {reading['unread']}; with all unclear ones as misapplied {worst}."
    )
