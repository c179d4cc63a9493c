"""How a training ends that comes to nothing: with a reason that has a name."""

from contracts.fine_tuning import FineTuneFailure


class TrainingFailed(Exception):
    """The job cannot go on. Carries the failure."""

    def __init__(self, reason: str, message: str, remedy: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.failure = FineTuneFailure(reason, message, remedy, retryable)
