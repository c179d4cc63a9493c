"""The end of a search for people: who won, by how much, and on what evidence."""

from typing import Any

from rich.console import Console
from rich.text import Text

from deltanas.cli.model_usage import stop_sentence, usage_sentence
from deltanas.cli.output import accuracy, cell, mebibytes, percent, plain, seconds, table
from deltanas.client import TERMINAL_STATES

Json = dict[str, Any]


def show_leaderboard(search: Json, candidates: list[Json], console: Console, rows: int = 12) -> None:
    """Print the best candidates, baselines among them, and what the finals say."""
    ranked = sorted((c for c in candidates if c.get("accuracy") is not None), key=_rank)
    if not ranked:
        console.print(Text("no candidate has been measured", style="yellow"))
        return
    winner = (search.get("final") or {}).get("winner") or {}
    estimates = ("estimate",) if any(c.get("estimate") is not None for c in ranked) else ()
    numbers = ("accuracy", *estimates, "CPU", "memory")
    shown = table("#", "candidate", "baseline", "delta", *numbers, right=("#", *numbers), title=None)
    for place, candidate in enumerate(ranked[:rows], 1):
        is_winner = candidate["proposal_id"] == winner.get("proposal_id")
        shown.add_row(*_row(place, candidate, is_winner, bool(estimates)))
    console.print()
    console.print(shown)
    if len(ranked) > rows:
        console.print(Text(f"… and {len(ranked) - rows} more that were measured", style="dim"))
    console.print()
    console.print(Text(funnel_sentence(search.get("funnel") or {}), style="dim"))
    for sentence in filter(None, (reruns_sentence(search), usage_sentence(search), stop_sentence(search))):
        console.print(Text(plain(sentence), style="dim"))
    console.print(Text(plain(finals_sentence(search)), style="bold"))


def _rank(candidate: Json) -> tuple[bool, float, str]:
    """By estimates where the search has some: they do not compare with single runs."""
    estimate = candidate.get("estimate")
    believed = candidate["accuracy"] if estimate is None else estimate
    return (estimate is None, -believed, candidate["proposal_id"])


def _row(place: int, candidate: Json, is_winner: bool, has_estimates: bool) -> list[Any]:
    parent = candidate.get("parent")
    style = "bold green" if is_winner else ("" if candidate.get("elite") else "dim")
    return [
        cell(place, style),
        cell(short_id(candidate), style),
        cell(parent["name"] if parent else candidate.get("name") or "", style),
        cell(candidate.get("summary") or "" if parent else "(as it is)", style),
        cell(accuracy(candidate["accuracy"], candidate.get("accuracy_standard_error")), style),
        *([cell(percent(candidate.get("estimate")), style)] if has_estimates else []),
        cell(seconds(candidate.get("cpu_seconds")), style),
        cell(mebibytes(candidate.get("peak_memory_bytes")), style),
    ]


def copy_sentence(likeness: Json) -> str:
    """What a candidate is like: `copy of oak (jaccard 0.953, corpus)`."""
    seen = f"{likeness['layer']} {likeness['similarity']:.3f}, {likeness['scope']}"
    return f"copy of {plain(likeness['name'], limit=60)} ({seen})"


def short_id(candidate: Json) -> str:
    """`se_…-c001-s003` → `c001-s003`."""
    return "-".join(str(candidate.get("proposal_id", "")).split("-")[-2:])


def funnel_sentence(funnel: Json) -> str:
    """Where the proposals went."""
    steps = ("proposed", "applied", "novel", "ran", "elite")
    sentence = " → ".join(f"{funnel.get(step, 0)} {step}" for step in steps)
    uncounted = [
        f"{funnel[name]} {words}"
        for name, words in (("lost", "lost by the platform"), ("skipped", "skipped at the budget's end"))
        if funnel.get(name)
    ]
    return sentence + (f" ({', '.join(uncounted)}, not counted)" if uncounted else "")


def reruns_sentence(search: Json) -> str:
    """How many candidates were trained again, and at what cost; empty of none."""
    tally = search.get("reruns") or {}
    kinds = [
        f"{tally[name]} {words}{'' if tally[name] == 1 else 's'}"
        for name, words in (("replicates", "replicate"), ("audits", "audit"))
        if tally.get(name)
    ]
    if not kinds:
        return ""
    ended = [f"{tally[name]} {name}" for name in ("failed", "lost") if tally.get(name)]
    rest = f"; of these {' and '.join(ended)}" if ended else ""
    return f"trained again: {' and '.join(kinds)}, {seconds(tally['cpu_seconds'])} of CPU time{rest}"


def finals_sentence(search: Json) -> str:
    """The mean gain of the winner over its baseline, whatever its sign, and how sure it is."""
    final = search.get("final")
    if not final or final.get("mean_gain") is None:
        state = search.get("state")
        if state not in TERMINAL_STATES:
            return "the finals come at the end of the search"
        if state != "succeeded":
            return f"no finals: the search {'failed' if state == 'failed' else 'was cancelled'}"
        return str((final or {}).get("note") or "no finals: nothing to compare the best candidate with")
    interval = final.get("gain_interval")
    half = "sealed half" if final.get("scored_on") == "sealed_half" else str(final.get("scored_on"))
    seeds = len(final.get("per_seed") or [])
    certainty = (
        f"{100 * final.get('confidence', 0.95):.0f} % interval "
        f"[{signed_points(interval[0])}, {signed_points(interval[1])}]"
        if interval
        else "no interval from so few seeds"
    )
    counted = f"{seeds} fresh seed{'' if seeds == 1 else 's'}"
    return f"mean gain {signed_points(final['mean_gain'])} points, {certainty}, {counted}, {half}"


def signed_points(fraction: float) -> str:
    """0.0042 → '+0.4', with a true minus sign."""
    return f"{100 * fraction:+.1f}".replace("-", "−")
