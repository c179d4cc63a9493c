"""What a search's model learnt after its cycles, and what it proposed with, for the report."""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class LearningRow:
    """One cycle. Losses are nats per token of held-out answers; `outcome` is a sentence."""

    cycle: int
    adapter: str
    """What its proposals were made with; empty: the model as it is."""
    chats: int | None
    """Learnt when it had closed."""
    loss_before: float | None
    loss_after: float | None
    outcome: str


def learning_rows(cycles: list[Json]) -> list[LearningRow]:
    """A row for each cycle of proposals; empty of a search without adapters."""
    told = sorted((cycle for cycle in cycles if cycle["cycle"] > 0), key=lambda cycle: int(cycle["cycle"]))
    if not any(cycle.get("adapter") or cycle.get("fine_tune") or cycle.get("alarm") for cycle in told):
        return []
    return [_row(cycle) for cycle in told]


def _row(cycle: Json) -> LearningRow:
    job = cycle.get("fine_tune") or {}
    result = job.get("result") or {}
    counts = job.get("chats")
    return LearningRow(
        cycle=int(cycle["cycle"]),
        adapter=cycle.get("adapter") or "",
        chats=None if counts is None else sum(count for count in counts.values() if isinstance(count, int)),
        loss_before=result.get("validation_loss_before"),
        loss_after=result.get("validation_loss_after"),
        outcome=alarm_sentence(cycle) or _outcome(job),
    )


def alarm_sentence(cycle: Json) -> str:
    """What was done about collapsing proposals after a cycle; empty of nothing."""
    alarm = cycle.get("alarm")
    if not alarm:
        return ""
    goes_back = alarm["action"] == "roll_back_adapter"
    done = "went back to the adapter before" if goes_back else "nothing was learnt"
    measure = str(alarm["measure"]).replace("_", " ")
    return f"alarm of a collapse, {done}: {measure} {alarm['value']:.2f}, below {alarm['threshold']:.2f}"


def _outcome(job: Json) -> str:
    if not job:
        return "nothing was learnt"
    result, failure = job.get("result"), job.get("failure")
    if result is not None:
        kept = "adopted" if result["adopted"] else "rolled back"
        return f"{job['id']}: {kept}. {result['reason']}"
    if failure is not None:
        reason = str(failure["reason"]).replace("_", " ")
        return f"{job['id']}: failed, {reason}. {failure['message']}"
    return f"{job['id']}: {job['state']}"
