"""Bounds the work that one delta may cause, whatever it and the baseline are."""

from generator_svc.deltas.refusals import DeltaRefused, RefusalReason

MAX_STEPS = 120_000
"""About a second; a damaged delta of a usual network takes about 1,300, the worst seen 14,000."""


class Effort:
    """Counts steps of a few microseconds each."""

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """Raises DeltaRefused (too_large) once too much was spent."""
        self.left -= steps
        if self.left < 0:
            raise DeltaRefused(
                RefusalReason.TOO_LARGE,
                "the hunks fit in too many ways to try them all; send fewer and shorter hunks, with context "
                "that stands only once in the baseline",
            )
