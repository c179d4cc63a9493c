"""How fast a run learns, and when it has learnt enough. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from contracts.fine_tuning import FineTuneSettings, Schedule


def learning_rate(settings: FineTuneSettings, step: int, steps: int) -> float:
    """Of optimizer step `step`, counted from 0, out of `steps`: a linear warm-up, then the schedule."""
    warmup = math.ceil(settings.warmup_share * steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    gone = (step - warmup) / max(1, steps - warmup)
    match settings.schedule:
        case Schedule.COSINE:
            share = (1 + math.cos(math.pi * gone)) / 2
        case Schedule.LINEAR:
            share = 1 - gone
        case Schedule.CONSTANT:
            share = 1.0
    return settings.learning_rate * share


@dataclass(frozen=True)
class Validations:
    """Every validation of a run so far, by the steps done before it. The first is from before training."""

    steps: tuple[int, ...] = ()
    losses: tuple[float, ...] = ()

    def with_loss(self, step: int, loss: float) -> "Validations":
        """One more."""
        return replace(self, steps=(*self.steps, step), losses=(*self.losses, loss))

    @property
    def best(self) -> int:
        """The number of the one with the lowest loss, the earliest of equals."""
        return lowest(self.losses)

    @property
    def best_step(self) -> int:
        """Steps done before the best one."""
        return self.steps[self.best]

    @property
    def best_trained(self) -> int | None:
        """The number of the best one after a first step; None where there is none."""
        return 1 + lowest(self.losses[1:]) if len(self.losses) > 1 else None

    @property
    def best_trained_step(self) -> int | None:
        """Steps done before the best one after a first step."""
        return None if self.best_trained is None else self.steps[self.best_trained]

    def is_due(self, step: int, steps: int, every: int) -> bool:
        """Whether there is one to do after `step` steps out of `steps`."""
        return step not in self.steps and (step % every == 0 or step == steps)

    def has_stalled(self, patience: int) -> bool:
        """Whether the last `patience` ones brought nothing better; never for a patience of 0."""
        return patience > 0 and len(self.losses) - 1 - self.best >= patience


def lowest(losses: Sequence[float]) -> int:
    """Where the lowest loss is, the first of equals; what is no number is never the lowest."""
    return min(range(len(losses)), key=lambda i: math.inf if math.isnan(losses[i]) else losses[i])


ONE_SIDED_5_PERCENT = 1.645
"""Standard errors."""


@dataclass(frozen=True)
class Verdict:
    """Whether an adapter takes its parent's place, and why."""

    adopted: bool
    reason: str


def judge(
    before: float, after: float, rate_before: float | None, rate_after: float | None, samples: int = 0
) -> Verdict:
    """Compare validation losses, and the probe's valid rates of so many answers where both are known.

    A rate has fallen where chance alone would seldom (once in twenty) bring such a fall about: otherwise
    half of all adapters that change nothing about it would be rolled back.
    """
    if not after < before:
        return Verdict(False, f"no validation loss was below {before:.4f}, the loss before training")
    if rate_before is not None and rate_after is not None and _has_fallen(rate_before, rate_after, samples):
        return Verdict(
            False,
            f"the validation loss fell from {before:.4f} to {after:.4f}, but of the probe's answers only "
            f"{rate_after:.0%} apply, {rate_before:.0%} before training",
        )
    return Verdict(True, f"the validation loss fell from {before:.4f} to {after:.4f}")


def _has_fallen(before: float, after: float, samples: int) -> bool:
    """A one-sided test of two shares of equally many answers, at 5 %, by the normal approximation."""
    share = (before + after) / 2
    error = math.sqrt(2 * share * (1 - share) / max(1, samples))
    return before - after > ONE_SIDED_5_PERCENT * error
