"""What an attempt is doing, as the host sees it: each phase ends when the guest's next frame is in."""

from enum import StrEnum

from contracts.failures import FailureReason, TimeoutPhase


class Phase(StrEnum):
    """In the order in which an attempt passes through them."""

    PREPARING = "preparing"
    STARTING = "starting"
    """The sandbox is launched; the guest imports. No line of the candidate has run."""
    BUILDING = "building"
    TRACING = "tracing"
    """In the place of training and predicting, where the attempt is a trace."""
    TRAINING = "training"
    PREDICTING = "predicting"
    FINISHING = "finishing"
    """All answers are in; the guest may leave."""

    @property
    def before_candidate(self) -> bool:
        """Whether everything so far was the platform's own doing."""
        return self in {Phase.PREPARING, Phase.STARTING}

    @property
    def failure_reason(self) -> FailureReason:
        """What a candidate that fails here without a better reason has failed at."""
        return _REASONS.get(self, FailureReason.PREDICT_ERROR)

    @property
    def timeout_phase(self) -> TimeoutPhase:
        """The same phase in the words of a timeout."""
        return _TIMEOUTS.get(self, TimeoutPhase.PREDICT)


_REASONS = {
    Phase.PREPARING: FailureReason.INFRASTRUCTURE,
    Phase.STARTING: FailureReason.INFRASTRUCTURE,
    Phase.BUILDING: FailureReason.BUILD_ERROR,
    Phase.TRACING: FailureReason.TRAIN_ERROR,
    Phase.TRAINING: FailureReason.TRAIN_ERROR,
}
_TIMEOUTS = {
    Phase.BUILDING: TimeoutPhase.STARTUP,
    Phase.TRACING: TimeoutPhase.TRAIN,
    Phase.TRAINING: TimeoutPhase.TRAIN,
}
