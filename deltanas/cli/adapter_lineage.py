"""What a search's model learnt after its cycles, and what each cycle proposed with, as a table."""

from typing import Any

from rich.console import Console

from deltanas.cli.output import cell, table

Json = dict[str, Any]

_KINDS = ("elite", "replayed", "lemur", "mutation")


def has_adapters(search: Json) -> bool:
    """Whether a search starts with an adapter or learns its own."""
    request = search.get("request") or {}
    return bool(request.get("fine_tune") or request.get("adapter"))


def show_lineage(cycles: list[Json], console: Console) -> None:
    """Print a row for each cycle of proposals."""
    numbers = ("cycle", "chats", "loss before", "after")
    shown = table("cycle", "proposed with", *numbers[1:], "then learnt", right=numbers)
    for cycle in (one for one in cycles if one["cycle"] > 0):
        job = cycle.get("fine_tune") or {}
        shown.add_row(
            cell(cycle["cycle"]),
            cell(cycle.get("adapter") or "the model as it is"),
            cell(_chats(job)),
            cell(_loss(job, "validation_loss_before")),
            cell(_loss(job, "validation_loss_after")),
            cell(_alarm(cycle) or _outcome(job)),
        )
    console.print(shown)


def _chats(job: Json) -> str:
    counts = job.get("chats")
    return "–" if not counts else str(sum(counts.get(kind) or 0 for kind in _KINDS))


def _loss(job: Json, name: str) -> str:
    value = (job.get("result") or {}).get(name)
    return "–" if value is None else f"{value:.4f}"


def _alarm(cycle: Json) -> str:
    """Such as `nothing, for unique share 0.20 is below 0.50`; empty where no alarm was acted upon."""
    alarm = cycle.get("alarm")
    if not alarm:
        return ""
    done = "went back an adapter" if alarm["action"] == "roll_back_adapter" else "nothing"
    measure = str(alarm["measure"]).replace("_", " ")
    return f"{done}, for {measure} {alarm['value']:.2f} is below {alarm['threshold']:.2f}"


def _outcome(job: Json) -> str:
    """Such as `ft_1: rolled back, no validation loss was below …`."""
    if not job:
        return "nothing"
    result, failure = job.get("result"), job.get("failure")
    if result is not None:
        return f"{job['id']}: {'adopted' if result['adopted'] else 'rolled back'}, {result['reason']}"
    if failure is not None:
        return f"{job['id']}: failed, {failure['reason']}: {failure['message']}"
    waiting = job.get("waiting_for")
    return f"{job['id']}: {job['state']}" + (f", waits for: {waiting}" if waiting else "")
