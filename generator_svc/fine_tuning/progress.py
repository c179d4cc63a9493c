"""How far a job has come, told from its journal. Pure."""

from collections import deque
from typing import Any

from contracts.fine_tuning import ChatCounts, FineTuneEvent

RECENT_STEPS = 20
"""Speed is told of these: the machine may have become slower or faster since the start."""


class Progress:
    """What the events so far amount to. A resumption takes back the steps after its checkpoint."""

    def __init__(self) -> None:
        self.last_event = 0
        self.phase = ""
        self.chats: ChatCounts | None = None
        self.steps: int | None = None
        self.step = 0
        self.epoch = 0.0
        self.train_loss: float | None = None
        self.checkpoint_step: int | None = None
        self._losses: dict[int, float] = {}
        """Of validations, by steps done before."""
        self._validation_seconds = 0.0
        self._evaluate_every = 1
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT_STEPS)

    def take(self, event: FineTuneEvent) -> None:
        """One more event, in the journal's order."""
        self.last_event = event.sequence
        data = event.data
        match event.kind:
            case "started":
                self.phase = "loading"
            case "phase":
                self.phase = data["phase"]
            case "measured":
                self.chats = ChatCounts(data["train"], data["validation"], data["left_out"])
                self.steps = data["steps"]
                self._evaluate_every = data["evaluate_every"]
            case "resumed":
                self._go_back_to(data["step"])
            case "step":
                self._take_step(data)
            case "validated":
                self._losses[data["step"]] = data["loss"]
                self._validation_seconds = data["seconds"]
            case "checkpoint":
                self.checkpoint_step = data["step"]
            case "trainer_lost" | "succeeded" | "failed" | "cancelled":
                self.phase = ""

    def _take_step(self, data: dict[str, Any]) -> None:
        self.step, self.epoch, self.train_loss = data["step"], data["epoch"], data["loss"]
        self._recent.append((data["tokens"], data["seconds"]))

    def _go_back_to(self, step: int) -> None:
        self.step = step
        self._losses = {at: loss for at, loss in self._losses.items() if at <= step}

    @property
    def validation_loss(self) -> float | None:
        """The last one."""
        return self._losses[max(self._losses)] if self._losses else None

    @property
    def validation_loss_before(self) -> float | None:
        """From before the first step."""
        return self._losses.get(0)

    @property
    def best_step(self) -> int | None:
        """Steps done before the best validation."""
        return min(self._losses, key=lambda step: (self._losses[step], step)) if self._losses else None

    @property
    def best_validation_loss(self) -> float | None:
        """The lowest one."""
        return None if self.best_step is None else self._losses[self.best_step]

    @property
    def tokens_per_second(self) -> float | None:
        """Of prompts and answers, in recent steps, padding apart."""
        seconds = sum(spent for _, spent in self._recent)
        return sum(tokens for tokens, _ in self._recent) / seconds if seconds > 0 else None

    @property
    def eta_seconds(self) -> float | None:
        """Until the last step and validation at the recent pace; early stopping may come before."""
        if self.steps is None or not self._recent:
            return None
        remaining = self.steps - self.step
        pace = sum(spent for _, spent in self._recent) / len(self._recent)
        validations = -(-remaining // self._evaluate_every)
        return remaining * pace + validations * self._validation_seconds
