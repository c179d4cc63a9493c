"""What the language models of a search took, cycle by cycle, for the report."""

from dataclasses import dataclass
from typing import Any

from gateway.dashboard.wording import counted

Json = dict[str, Any]


@dataclass(frozen=True)
class UsageRow:
    """One row of the table; `cycle` is empty in the last one, the sum. The cost is told in US dollars."""

    cycle: str
    calls: int
    repairs: int
    prompt_tokens: int
    completion_tokens: int
    tokens_per_valid_candidate: float | None
    cost: str
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
        return f"No more was proposed: no model says what it takes, so {allowed} could not be kept."
    guessed = f" ({counted(unknown, 'call')} of unknown size counted as the largest)" if unknown else ""
    return (
        f"No more was proposed: its models had spent {_amount(limit, stop['spent'])}{guessed} of {allowed}."
    )


def waits_sentence(search: Json) -> str | None:
    """How often the search waited for what its proposer depends on, and why; None where it never did."""
    waits = (search.get("progress") or {}).get("platform_waits") or {}
    if not waits:
        return None
    told = sorted(waits.items(), key=lambda item: (-item[1], item[0]))
    reasons = ", ".join(f"{count} × {code.replace('_', ' ')}" for code, count in told)
    return f"It waited {counted(sum(waits.values()), 'time')} for what its proposer depends on: {reasons}."


def cost_words(cost_usd: float | None, is_complete: bool) -> str:
    """0.0425 → '$0.0425', with 'or more' where some calls do not tell theirs."""
    if cost_usd is None:
        return "cost unknown"
    return f"${cost_usd:,.4f}" + ("" if is_complete else " or more")


def _row(cycle: str, model: Json) -> UsageRow:
    return UsageRow(
        cycle=cycle,
        calls=model["calls"],
        repairs=model["repairs"],
        prompt_tokens=model["prompt_tokens"],
        completion_tokens=model["completion_tokens"],
        tokens_per_valid_candidate=model.get("tokens_per_valid_candidate"),
        cost=cost_words(model.get("cost_usd"), not model.get("calls_without_cost")),
        seconds=model["seconds"],
    )


def _amount(limit: str, number: float) -> str:
    if limit == "max_cost_usd":
        return f"${number:,.4f}"
    return counted(round(number), limit.removeprefix("max_").removesuffix("s"))
