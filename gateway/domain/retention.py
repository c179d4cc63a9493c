"""How long things are kept. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Retention:
    """Days for which each kind is kept; None: for ever."""

    attempt_logs: float | None = 90
    events: float | None = 90
    model_texts: float | None = None
    """What was said to models and what they answered. Tokens, cost and deltas stay."""
    evaluations: float | None = None
    """Those outside searches, once they have ended."""
    fine_tunes: float | None = None
    """Ended ones with their adapters, unless a search or another adapter has to do with them."""
    searches: float | None = None
    """Ended ones, with all of their evaluations."""
