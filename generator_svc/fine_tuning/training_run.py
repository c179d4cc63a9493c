"""Brings one job to its end: starts a trainer, and another where one dies, as long as that may help."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from contracts.fine_tuning import FineTuneFailure, FineTuneState, GradientCheckpointing
from generator_svc.fine_tuning.adapters import AdapterStore, AdapterUnknown
from generator_svc.fine_tuning.durable_files import disk_failure
from generator_svc.fine_tuning.jobs import Job
from generator_svc.fine_tuning.journal import now
from generator_svc.fine_tuning.limits import FineTuneLimits
from generator_svc.fine_tuning.trainer_process import TrainerEnd, TrainerProcess

MAX_DEATHS = 3
"""So often a trainer may die without having come to a new checkpoint."""


class TrainingRun:
    """One job, from its first trainer to its last."""

    def __init__(
        self,
        job: Job,
        limits: FineTuneLimits,
        trainer_command: Sequence[str],
        adapters: AdapterStore,
        changed: threading.Condition,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._job = job
        self._limits = limits
        self._command = trainer_command
        self._adapters = adapters
        self._changed = changed
        self._is_stopping = is_stopping
        self._deaths = 0

    def run(self) -> None:
        """Until the job is over, or the desk stops."""
        while not self._must_stop():
            with self._changed:
                if not self._job.wants_trainer:
                    return
                self._begin()
            try:
                trainer = TrainerProcess(
                    self._job.folder, self._limits, self._job.standing.memory_was_short, self._command
                )
                end = trainer.follow(self._must_stop, self._ring)
            except OSError as error:
                end = TrainerEnd(failure=disk_failure(error))
            with self._changed:
                self._job.has_trainer = False
                self._settle(end)
                self._changed.notify_all()

    def _must_stop(self) -> bool:
        return self._is_stopping() or not self._job.wants_trainer

    def _ring(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _begin(self) -> None:
        standing = self._job.standing
        starts = standing.trainer_starts + 1
        self._job.stand(
            state=FineTuneState.RUNNING, started_at=standing.started_at or now(), trainer_starts=starts
        )
        self._job.note("started", trainer=starts)
        self._job.has_trainer = True
        self._checkpoint = self._job.progress.checkpoint_step
        self._changed.notify_all()

    def _settle(self, end: TrainerEnd) -> None:
        if self._job.is_over:  # cancelled, perhaps in the moment in which it succeeded
            with suppress(AdapterUnknown, OSError):
                self._adapters.remove(self._job.record.id)
            self._job.settle_cancellation()
        elif end.result is not None:
            self._job.succeed(end.result)
        elif end.failure is not None:
            self._job.fail(end.failure)
        elif end.out_of_memory is not None:
            self._try_with_less(end.out_of_memory)
        elif end.lost is not None:
            self._count_death(end.lost)

    def _try_with_less(self, message: str) -> None:
        spare = self._job.record.settings.gradient_checkpointing is GradientCheckpointing.AUTO
        if spare and not self._job.standing.memory_was_short:
            self._job.stand(memory_was_short=True)
            self._job.note("trainer_lost", message=f"{message} The next one computes activations twice.")
            return
        self._job.fail(
            FineTuneFailure(
                "out_of_memory",
                message,
                "Choose a smaller `max_length` or `batch`, a smaller model, or end what else uses memory.",
                retryable=True,
            )
        )

    def _count_death(self, message: str) -> None:
        self._job.note("trainer_lost", message=f"{message}.")
        came_further = self._job.progress.checkpoint_step != self._checkpoint
        self._deaths = 1 if came_further else self._deaths + 1
        if self._deaths >= MAX_DEATHS:
            self._job.fail(
                FineTuneFailure(
                    "trainer_died",
                    f"Trainers died {MAX_DEATHS} times without coming further; last, {message}.",
                    f"See {self._job.folder.log.name} in the job's folder under DELTANAS_HOME.",
                    retryable=True,
                )
            )
