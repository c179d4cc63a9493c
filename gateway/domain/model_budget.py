"""What the language models of a search may spend, what they have spent, and when that is enough. Pure.

A budget is looked at before each batch of proposals, and counts what earlier batches have spent: what is in
flight is finished, so a search spends at most one batch more than it may, and one that was cut off in the
middle of a batch stops where it would have stopped anyway.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelBudget:
    """The most that a search may spend on calls of language models. None: as much as they take."""

    max_tokens: int | None = None
    """Of prompts and answers together."""
    max_cost_usd: float | None = None
    max_calls: int | None = None


@dataclass(frozen=True)
class ModelSpending:
    """What calls of language models have taken, summed over those that say it."""

    calls: int = 0
    repairs: int = 0
    """Of the calls, those that asked for a better answer after a refused one."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    """Time that the calls took, one after the other; they may have run side by side."""
    calls_without_tokens: int = 0
    calls_without_cost: int = 0
    most_tokens: int = 0
    """Of the longest call that says what it took."""
    highest_cost_usd: float = 0.0
    """Of the dearest call whose cost is known."""

    @property
    def tokens(self) -> int:
        """Of prompts and answers together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class BudgetStop:
    """Why a search proposes no more."""

    limit: str
    """The field of the budget: `max_tokens`, `max_cost_usd` or `max_calls`."""
    spent: float | None
    """None: no call says what it took, so that the limit could not be kept."""
    allowed: float
    unknown_calls: int = 0
    """So many calls do not say what they took; each is in `spent` as the largest that does."""


def add_spending(parts: list[ModelSpending]) -> ModelSpending:
    """The sum of all parts."""
    return ModelSpending(
        calls=sum(part.calls for part in parts),
        repairs=sum(part.repairs for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        completion_tokens=sum(part.completion_tokens for part in parts),
        cost_usd=sum(part.cost_usd for part in parts),
        seconds=sum(part.seconds for part in parts),
        calls_without_tokens=sum(part.calls_without_tokens for part in parts),
        calls_without_cost=sum(part.calls_without_cost for part in parts),
        most_tokens=max((part.most_tokens for part in parts), default=0),
        highest_cost_usd=max((part.highest_cost_usd for part in parts), default=0.0),
    )


def budget_stop(budget: ModelBudget, spent: ModelSpending) -> BudgetStop | None:
    """The limit that is reached, or that cannot be kept because no call says what it took; else None.

    A call whose endpoint counts no tokens, say, does not tell its cost: it counts as the dearest that does.
    """
    amounts = (
        ("max_tokens", budget.max_tokens, spent.tokens, spent.calls_without_tokens, spent.most_tokens),
        (
            "max_cost_usd",
            budget.max_cost_usd,
            spent.cost_usd,
            spent.calls_without_cost,
            spent.highest_cost_usd,
        ),
        ("max_calls", budget.max_calls, spent.calls, 0, 0),
    )
    for limit, allowed, known, unknown, largest in amounts:
        if allowed is None:
            continue
        if unknown and unknown == spent.calls:
            return BudgetStop(limit, None, allowed, unknown)
        if (amount := known + unknown * largest) >= allowed:
            return BudgetStop(limit, amount, allowed, unknown)
    return None
