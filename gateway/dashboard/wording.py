"""Numbers and verdicts as people read them."""

from typing import Any

_MIB = 1024 * 1024
_DASH = "–"


def percent(fraction: float | None, digits: int = 2) -> str:
    """0.8534 → '85.34 %'."""
    return _DASH if fraction is None else f"{100 * fraction:.{digits}f} %"


def accuracy(fraction: float | None, standard_error: float | None) -> str:
    """0.8534, 0.0051 → '85.34 ± 0.51 %'."""
    if fraction is None or standard_error is None:
        return percent(fraction)
    return f"{100 * fraction:.2f} ± {100 * standard_error:.2f} %"


def signed_points(fraction: float | None, digits: int = 2) -> str:
    """0.0042 → '+0.42', with a true minus sign."""
    return _DASH if fraction is None else f"{100 * fraction:+.{digits}f}".replace("-", "−")


def duration(seconds: float | None) -> str:
    """312.4 → '5 min 12 s'."""
    if seconds is None:
        return _DASH
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def mebibytes(size: float | None) -> str:
    """Bytes → '512 MiB'."""
    return _DASH if size is None else f"{size / _MIB:,.0f} MiB"


def moment(timestamp: str | None) -> str:
    """'2026-01-02T03:04:05.678Z' → '2026-01-02 03:04:05 UTC'."""
    return _DASH if not timestamp else f"{timestamp[:19].replace('T', ' ')} UTC"


def shortened(text: object, length: int = 160) -> str:
    """At most `length` characters on one line."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def counted(number: int, one: str) -> str:
    """1, 'call' → '1 call'; 1200 → '1,200 calls'."""
    return f"{number:,} {one if number == 1 else f'{one}s'}"


def short_id(candidate: dict[str, Any]) -> str:
    """`se_…-c001-s003` → `c001-s003`."""
    return "-".join(str(candidate["proposal_id"]).split("-")[-2:])


def verdict(search: dict[str, Any]) -> dict[str, str]:
    """What came of a search: a `headline`, a `sentence`, and a `tone` of good, bad or even."""
    final = search.get("final")
    if not final:
        return _unfinished(search)
    gain, interval = final.get("mean_gain"), final.get("gain_interval")
    over = f"over {final['baseline'].get('name') or 'its baseline'}"
    if gain is None:
        return {"headline": "No gain can be stated", "sentence": final.get("note") or "", "tone": "even"}
    sentence = final.get("note") or ""
    if interval is None or interval[0] <= 0 <= interval[1]:
        headline = f"{signed_points(gain)} points {over}: not distinguishable from none"
        return {"headline": headline, "sentence": sentence, "tone": "even"}
    if gain > 0:
        return {"headline": f"{signed_points(gain)} points {over}", "sentence": sentence, "tone": "good"}
    headline = f"{signed_points(gain)} points: the winner is worse than its baseline"
    return {"headline": headline, "sentence": sentence, "tone": "bad"}


def news_sentence(search: dict[str, Any]) -> str:
    """What a search waits for, or why it is paused or has failed; empty where all goes well."""
    if search.get("failure"):
        return str(search["failure"])
    if search.get("paused_by"):
        return str(search["paused_by"]["message"])
    waiting = search["progress"].get("waiting_for")
    return f"waits for: {waiting}" if waiting else ""


def _unfinished(search: dict[str, Any]) -> dict[str, str]:
    state = search["state"]
    if state == "failed":
        return {"headline": "The search failed", "sentence": search.get("failure") or "", "tone": "bad"}
    if state in {"succeeded", "cancelled"}:
        headline = "No candidate to compare" if state == "succeeded" else "The search was cancelled"
        return {"headline": headline, "sentence": "There are no finals.", "tone": "even"}
    if search.get("paused_by"):
        reason = search["paused_by"]
        sentence = f"{reason['message']} {reason['remedy']} Then resume the search."
        return {"headline": "The search is paused", "sentence": sentence, "tone": "bad"}
    progress = search["progress"]
    headline = f"{state.capitalize()}: cycle {progress['cycle']} of {progress['cycles']}"
    done = f"{progress['slots_done']} of {progress['slots_total']} slots done; the finals come at the end."
    if progress.get("waiting_for"):
        done = f"{done} It waits for: {progress['waiting_for']}"
    return {"headline": headline, "sentence": done, "tone": "even"}
