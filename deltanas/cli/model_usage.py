"""What the language models of a search were given, may spend and have taken, in words and as a table."""

from typing import Any

from rich.console import Console

from deltanas.cli.output import cell, table

Json = dict[str, Any]

_AMOUNTS = {"max_tokens": "{} tokens", "max_cost_usd": "{}", "max_calls": "{} calls"}


def usage_sentence(search: Json) -> str | None:
    """All calls of a search; None where no model was called."""
    model = search.get("model") or {}
    if not model.get("calls"):
        return None
    words = [_counted(model["calls"], "model call")]
    if model.get("repairs"):
        words.append(_counted(model["repairs"], "repair"))
    each = model.get("tokens_per_valid_candidate")
    words.append(f"{model.get('tokens', 0):,} tokens" + (f" ({each:,.0f} a valid candidate)" if each else ""))
    words.append(_cost(model))
    words.append(f"{model.get('seconds', 0):,.0f} s of model time")
    return ", ".join(words)


def stop_sentence(search: Json) -> str | None:
    """Why a search proposes no more; None for one that its budget has not stopped."""
    stop = search.get("stopped_by")
    if not stop:
        return None
    limit = str(stop.get("limit"))
    allowed, unknown = _amount(limit, stop.get("allowed")), stop.get("unknown_calls") or 0
    if stop.get("spent") is None:
        return (
            f"stopped proposing: no model call says what it took, so model_budget.{limit} = {allowed} "
            "cannot be kept"
        )
    guessed = f" ({_counted(unknown, 'call')} of unknown size counted as the largest)" if unknown else ""
    spent = _amount(limit, stop["spent"])
    return f"stopped proposing: {spent} spent{guessed}, model_budget.{limit} = {allowed}"


def settings_sentence(request: Json) -> str | None:
    """What a search tells its proposer and what it may spend; None where nothing is set."""
    words = []
    if window := (request.get("feedback") or {}).get("window"):
        words.append(f"feedback of the last {_counted(window, 'try', 'tries')}")
    deployment = request.get("deployment") or {}
    if forbidden := deployment.get("forbidden_operators"):
        words.append(f"without {', '.join(map(str, forbidden))}")
    words += [
        f"at most {deployment[name]:,} {unit}"
        for name, unit in (("max_parameters", "parameters"), ("max_flops", "FLOPs"))
        if deployment.get(name)
    ]
    budget = request.get("model_budget") or {}
    limits = [_amount(limit, budget[limit]) for limit in _AMOUNTS if budget.get(limit)]
    if limits:
        words.append(f"budget: {', '.join(limits)}")
    return "; ".join(words) or None


def show_usage(cycles: list[Json], console: Console) -> None:
    """Print what models took, cycle by cycle."""
    columns = ("cycle", "calls", "repairs", "tokens", "a valid candidate", "cost", "model time")
    shown = table(*columns, right=columns)
    for cycle in cycles:
        model = cycle.get("model") or {}
        if not model.get("calls"):
            continue
        each = model.get("tokens_per_valid_candidate")
        shown.add_row(
            cell(cycle["cycle"]),
            cell(f"{model['calls']:,}"),
            cell(f"{model['repairs']:,}"),
            cell(f"{model['tokens']:,}"),
            cell("–" if each is None else f"{each:,.0f}"),
            cell(_cost(model)),
            cell(f"{model['seconds']:,.0f} s"),
        )
    console.print()
    console.print(shown)


def _amount(limit: str, number: Any) -> str:
    if limit == "max_cost_usd":
        return f"${number:,.4f}"
    return _AMOUNTS.get(limit, "{}").format(f"{number:,.0f}")


def _cost(model: Json) -> str:
    cost = model.get("cost_usd")
    if cost is None:
        return "cost unknown"
    return f"${cost:,.4f}" + (" or more" if model.get("calls_without_cost") else "")


def _counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
