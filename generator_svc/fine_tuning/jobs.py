"""A job in memory: what it is, where it stands, how far it has come. What is here is a copy of its folder."""

import logging
from dataclasses import replace
from typing import Any

from contracts.fine_tuning import FineTuneCare, FineTuneFailure, FineTuneResult, FineTuneState, FineTuneStatus
from generator_svc.fine_tuning.durable_files import remove_folder
from generator_svc.fine_tuning.job_folder import JobFolder, JobRecord, JobStanding
from generator_svc.fine_tuning.journal import JournalReader, JournalWriter, now
from generator_svc.fine_tuning.progress import Progress

_log = logging.getLogger(__name__)


class Job:
    """One job. Not safe between threads: the desk's lock is held by whoever touches it."""

    def __init__(self, folder: JobFolder) -> None:
        """Raises JobDamaged."""
        self.folder = folder
        self.record: JobRecord = folder.record()
        self.standing: JobStanding = folder.standing()
        self.has_trainer = False
        """Then the journal is the trainer's to write."""
        self.rests = self.record.care is FineTuneCare.BORROWED
        """No trainer takes it up, until it is sent again."""
        self._is_on_disk = True
        self._progress = Progress()
        self._journal = JournalReader(folder.journal)

    @property
    def age(self) -> tuple[str, str]:
        """Orders jobs by their creation."""
        return self.record.created_at, self.record.id

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.standing.state.is_terminal

    @property
    def wants_trainer(self) -> bool:
        """Whether a trainer of this generator shall work on it."""
        return not self.is_over and not self.rests and self.record.care is not FineTuneCare.LENT

    @property
    def progress(self) -> Progress:
        """How far it has come by now."""
        for event in self._journal.new_events():
            self._progress.take(event)
        return self._progress

    def events_after(self, sequence: int) -> JournalReader:
        """What its journal tells after an event, and will."""
        _ = self.progress  # which reads on, so that nobody has to read from the beginning
        return self._journal.after(sequence)

    def stand(self, **changes: Any) -> None:
        """Change where it stands, here and on disk. On a full disk the folder stays behind, and says so."""
        self.standing = replace(self.standing, **changes)
        try:
            self.folder.stand(self.standing)
            self._is_on_disk = True
        except OSError as error:
            self._is_on_disk = False
            _log.error("the standing of the fine-tune %s could not be written: %s", self.record.id, error)

    def note(self, kind: str, **data: Any) -> None:
        """Add to the journal; nothing depends on it that would not do without."""
        try:
            writer = JournalWriter(self.folder.journal)
            writer.write(kind, data)
            writer.close()
        except OSError as error:
            _log.error("the journal of the fine-tune %s could not be written: %s", self.record.id, error)

    def try_again(self) -> None:
        """Let it wait for a trainer again, if it failed in a way that may pass."""
        if self.is_over and self.standing.may_go_on:
            self.stand(state=FineTuneState.QUEUED, finished_at=None, failure=None)
            self.note("queued")

    def rest(self) -> None:
        """Let nobody go on with it here until it is sent again; its checkpoint stays."""
        if not self.is_over and not self.rests:
            self.rests = True
            self.stand(state=FineTuneState.QUEUED)

    def fail(self, failure: FineTuneFailure) -> None:
        """It is over, without an adapter. What may pass leaves everything there for another try."""
        self.stand(state=FineTuneState.FAILED, finished_at=now(), failure=failure)
        self.note("failed", reason=failure.reason, message=failure.message)
        self.tidy()

    def succeed(self, result: FineTuneResult) -> None:
        """It is over, and its adapter in the store."""
        self.stand(state=FineTuneState.SUCCEEDED, finished_at=now(), result=result)
        self.note("succeeded", adapter=result.adapter, adopted=result.adopted, reason=result.reason)
        self.tidy()

    def settle_cancellation(self) -> None:
        """It was cancelled, and no trainer works on it any more."""
        self.note("cancelled")
        self.tidy()

    def give_up(self, before: str) -> None:
        """A job that failed before that moment is not tried again."""
        failure, finished_at = self.standing.failure, self.standing.finished_at
        if self.is_over and self.standing.may_go_on and failure and finished_at and finished_at < before:
            self.stand(failure=replace(failure, retryable=False))
            self.tidy()

    def tidy(self) -> None:
        """Remove what only a trainer needs, once none will come: the chats are somebody's data.

        Their digest stays, here and in the adapter's manifest; the trainer's log stays where it failed.
        """
        if self.standing.may_go_on or self.has_trainer or not self._is_on_disk:
            return
        try:
            self.folder.chats.unlink(missing_ok=True)
            self.folder.lock.unlink(missing_ok=True)
            remove_folder(self.folder.checkpoints)
            if self.standing.state is not FineTuneState.FAILED:
                self.folder.log.unlink(missing_ok=True)
        except OSError as error:
            _log.error("chats and checkpoints of the fine-tune %s: %s", self.record.id, error)

    def status(self) -> FineTuneStatus:
        """The job as it stands."""
        record, standing, seen = self.record, self.standing, self.progress
        runs = standing.state is FineTuneState.RUNNING
        return FineTuneStatus(
            id=record.id,
            state=standing.state,
            phase=seen.phase if runs else "",
            settings=record.settings,
            content_sha256=record.content_sha256,
            data_sha256=record.data_sha256,
            created_at=record.created_at,
            started_at=standing.started_at,
            finished_at=standing.finished_at,
            trainer_starts=standing.trainer_starts,
            care=record.care,
            rests=self.rests and not self.is_over,
            last_event=seen.last_event,
            chats=seen.chats,
            step=seen.step,
            steps=seen.steps,
            epoch=seen.epoch,
            train_loss=seen.train_loss,
            validation_loss=seen.validation_loss,
            validation_loss_before=seen.validation_loss_before,
            best_validation_loss=seen.best_validation_loss,
            best_step=seen.best_step,
            tokens_per_second=seen.tokens_per_second,
            eta_seconds=seen.eta_seconds if runs else None,
            failure=standing.failure,
            result=standing.result,
        )
