"""When a proposer or a model cannot go on, by no fault of what it said."""

from contracts.proposals import ProposerBlocked


class HeldUp(Exception):
    """A proposer cannot go on: what it depends on is away, refuses, or is too large. Nobody answered ill."""

    def __init__(self, blocked: ProposerBlocked) -> None:
        super().__init__(blocked.message)
        self.blocked = blocked
