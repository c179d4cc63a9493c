"""Where proposals were lost on the way from proposed to elite, and why."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from gateway.dashboard.copies import copy_reason

_STEPS = (
    ("proposed", "proposed", "a proposer answered"),
    ("applied", "applied", "its delta fits the baseline"),
    ("novel", "novel", "no copy of an earlier candidate"),
    ("ran", "ran", "trained and scored in a sandbox"),
    ("elite", "elite", "kept for selection"),
)
_LOST_BEFORE = {"applied": {"refused"}, "novel": {"duplicate"}, "ran": {"failed"}}


@dataclass(frozen=True)
class Step:
    """One step of the funnel. `share` is of all proposals, in percent; `losses` came before it."""

    name: str
    meaning: str
    count: int
    share: float
    losses: list[tuple[str, int]]


@dataclass(frozen=True)
class FailureGroup:
    """All failures with one reason, and one of their messages."""

    reason: str
    count: int
    share: float
    example: str


def funnel_steps(search: dict[str, Any], candidates: list[dict[str, Any]]) -> list[Step]:
    """The five steps, first to last."""
    funnel = search.get("funnel") or {}
    proposed = max(funnel.get("proposed") or 0, 1)
    later = [c for c in candidates if c["cycle"] > 0]
    return [
        Step(
            name,
            meaning,
            funnel.get(key) or 0,
            round(100 * (funnel.get(key) or 0) / proposed, 1),
            Counter(_reason(c) for c in later if c["state"] in _LOST_BEFORE.get(key, ())).most_common(),
        )
        for key, name, meaning in _STEPS
    ]


def failure_groups(candidates: list[dict[str, Any]]) -> list[FailureGroup]:
    """Failures by reason, most frequent first; baselines' own among them."""
    failed = [c for c in candidates if c.get("failure")]
    counts = Counter(c["failure"]["reason"] for c in failed)
    examples = {c["failure"]["reason"]: c["failure"].get("message") or "" for c in reversed(failed)}
    most = max(counts.values(), default=1)
    return [
        FailureGroup(reason, count, round(100 * count / most, 1), examples[reason])
        for reason, count in counts.most_common()
    ]


def _reason(candidate: dict[str, Any]) -> str:
    failure = candidate.get("failure") or {}
    if candidate["state"] == "duplicate":
        return copy_reason(candidate)
    return str(failure.get("code") or failure.get("reason") or candidate["state"]).replace("_", " ")
