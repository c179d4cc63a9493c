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
from generator_svc.language_models.local.memory import resident_memory
from generator_svc.language_models.local.models import memory_needed
from generator_svc.language_models.model_store import ModelDamaged, ModelStore, ModelUnknown

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
        make_room: Callable[[], bool | None] = lambda: None,
    ) -> None:
        """`make_room` lets go of memory that the job may need, and gives False where that takes longer."""
        self._job = job
        self._limits = limits
        self._command = trainer_command
        self._adapters = adapters
        self._models = ModelStore(adapters.folder.parent)
        self._changed = changed
        self._is_stopping = is_stopping
        self._make_room = make_room
        self._trainer: TrainerProcess | None = None
        self._deaths = 0

    def run(self) -> None:
        """Until the job is over, or the desk stops."""
        self._wait_for_room()
        while not self._must_stop():
            with self._changed:
                if not self._job.wants_trainer:
                    return
                self._begin()
            try:
                self._trainer = TrainerProcess(
                    self._job.folder, self._limits, self._job.standing.memory_was_short, self._command
                )
                end = self._trainer.follow(self._must_stop, self._ring)
            except OSError as error:
                end = TrainerEnd(failure=disk_failure(error))
            self._trainer = None
            with self._changed:
                self._job.has_trainer = False
                self._settle(end)
                self._changed.notify_all()

    def memory_to_come(self) -> int:
        """Bytes that the trainer has yet to take until it has loaded its model; 0 where nobody knows."""
        try:
            needed = memory_needed(self._models.read(self._job.record.settings.model))
        except (ModelUnknown, ModelDamaged):
            return 0
        trainer = self._trainer
        return max(0, needed - (resident_memory(trainer.pid) if trainer is not None else 0))

    def _wait_for_room(self) -> None:
        """Until whoever answers with a model here has put it away: two would not fit."""
        told = False
        while not self._must_stop() and self._make_room() is False:
            if not told:
                with self._changed:
                    self._job.note("waiting_for_memory", message="A local model is still answering.")
                    self._changed.notify_all()
            told = True

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
