"""A search beside its control arm, for the report."""

from dataclasses import dataclass
from typing import Any

from gateway.domain.control import compare_arms

Json = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """One of the two. `best` is the accuracy that selection went by, of baselines and proposals together."""

    name: str
    search_id: str
    state: str
    proposed: int
    ran: int
    best: float | None
    gain: float | None
    """Of its winner over the baseline that it descends from, on the sealed half."""


@dataclass(frozen=True)
class ControlTable:
    """Both arms, and a sentence that compares their winners."""

    arms: tuple[Arm, Arm]
    sentence: str


def control_table(search: Json, control: Json | None) -> ControlTable | None:
    """None of a search without a control arm."""
    if control is None:
        return None
    arms = (_arm("this search", search), _arm("control: best of N", control))
    return ControlTable(arms, _sentence(search, control))


def _arm(name: str, search: Json) -> Arm:
    best, funnel = search.get("best") or {}, search["funnel"]
    estimate = best.get("estimate")
    return Arm(
        name,
        search["id"],
        search["state"],
        funnel["proposed"],
        funnel["ran"],
        best.get("accuracy") if estimate is None else estimate,
        (search.get("final") or {}).get("mean_gain"),
    )


def _sentence(search: Json, control: Json) -> str:
    found = compare_arms(search.get("final"), control.get("final"))
    if found is None:
        return "The winners are compared once both arms have held their finals."
    seeds = len(found.differences)
    told = f"{100 * found.mean:+.2f} points of accuracy over {seeds} fresh seeds that both share"
    if found.interval is None:
        return f"The search's winner less the control's: {told}; one seed gives no interval."
    low, high = found.interval
    between = f"{100 * low:+.2f} to {100 * high:+.2f}"
    return (
        f"The search's winner less the control's: {told} (95 % over seeds: {between}). One pair of searches "
        "is one draw of each: what selection adds is told by several pairs with other seeds."
    )
