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

    @property
    def tokens(self) -> int:
        """Of prompts and answers together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class BudgetStop:
    """Why a search proposes no more."""

    limit: str
    """The field of the budget: `max_tokens`, `max_cost_usd` or `max_calls`."""
    spent: float
    allowed: float
    unknown_calls: int = 0
    """Not 0: so many calls do not say what they took, so that the limit could not be kept."""


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
    )


def budget_stop(budget: ModelBudget, spent: ModelSpending) -> BudgetStop | None:
    """The limit that is reached, or that cannot be kept because nobody knows what was spent; else None."""
    amounts = (
        ("max_tokens", budget.max_tokens, spent.tokens, spent.calls_without_tokens),
        ("max_cost_usd", budget.max_cost_usd, spent.cost_usd, spent.calls_without_cost),
        ("max_calls", budget.max_calls, spent.calls, 0),
    )
    for limit, allowed, amount, unknown in amounts:
        if allowed is not None and (amount >= allowed or unknown):
            return BudgetStop(limit, amount, allowed, 0 if amount >= allowed else unknown)
    return None
