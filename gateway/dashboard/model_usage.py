"""What the language models of a search took, cycle by cycle, for the report."""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class UsageRow:
    """One row of the table; `cycle` is empty in the last one, the sum. Costs are in US dollars."""

    cycle: str
    calls: int
    repairs: int
    prompt_tokens: int
    completion_tokens: int
    tokens_per_valid_candidate: float | None
    cost_usd: float | None
    is_cost_complete: bool
    seconds: float


def usage_rows(search: Json, cycles: list[Json]) -> list[UsageRow]:
    """A row for each cycle that called models, and their sum; empty where none did."""
    total = search.get("model") or {}
    if not total.get("calls"):
        return []
    told = [cycle for cycle in cycles if (cycle.get("model") or {}).get("calls")]
    told.sort(key=lambda cycle: int(cycle["cycle"]))
    return [*(_row(str(cycle["cycle"]), cycle["model"]) for cycle in told), _row("", total)]


def stop_sentence(search: Json) -> str | None:
    """Why the search proposed no more; None for one that its budget has not stopped."""
    stop = search.get("stopped_by")
    if not stop:
        return None
    limit = str(stop["limit"])
    allowed, unknown = _amount(limit, stop["allowed"]), stop.get("unknown_calls") or 0
    if stop.get("spent") is None:
        return f"Its models do not say what they take, so {limit} = {allowed} could not be kept."
    guessed = f" ({unknown} calls of unknown size counted as the largest)" if unknown else ""
    return f"Its models had spent {_amount(limit, stop['spent'])}{guessed}; {limit} is {allowed}."


def _row(cycle: str, model: Json) -> UsageRow:
    return UsageRow(
        cycle=cycle,
        calls=model["calls"],
        repairs=model["repairs"],
        prompt_tokens=model["prompt_tokens"],
        completion_tokens=model["completion_tokens"],
        tokens_per_valid_candidate=model.get("tokens_per_valid_candidate"),
        cost_usd=model.get("cost_usd"),
        is_cost_complete=not model.get("calls_without_cost"),
        seconds=model["seconds"],
    )


def _amount(limit: str, number: float) -> str:
    return f"${number:,.4f}" if limit == "max_cost_usd" else f"{number:,.0f}"
