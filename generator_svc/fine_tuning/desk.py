"""The fine-tuning jobs of one DELTANAS_HOME: accepted onto the disk, trained in turn, taken up again."""

import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from contracts.fine_tuning import (
    FineTuneCare,
    FineTuneEvent,
    FineTuneFailure,
    FineTuneState,
    FineTuneStatus,
)
from generator_svc.fine_tuning.adapters import AdapterStore, AdapterUnknown
from generator_svc.fine_tuning.durable_files import UNFINISHED, remove_folder, sync_folder
from generator_svc.fine_tuning.intake import Intake
from generator_svc.fine_tuning.job_folder import FOLDER, JobDamaged, JobFolder, JobRecord
from generator_svc.fine_tuning.jobs import Job
from generator_svc.fine_tuning.journal import now
from generator_svc.fine_tuning.limits import FineTuneLimits
from generator_svc.fine_tuning.parcels import ParcelIntake, weights_of_models
from generator_svc.fine_tuning.trainer_process import TRAINER
from generator_svc.fine_tuning.training_run import TrainingRun

LOOK_AGAIN_SECONDS = 1.0
TRY_AGAIN_SECONDS = 10.0
TIDY_SECONDS = 3600.0
MAX_EVENTS = 1_000
"""Of one answer."""

_DEFECT = FineTuneFailure(
    "internal_error", "The generator failed at this job.", "Its log has the details.", retryable=False
)
_log = logging.getLogger(__name__)


class JobUnknown(LookupError):
    """There is no job of this id."""


class ContentDiffers(Exception):
    """There is a job of this id with other settings or chats."""


class CareDiffers(Exception):
    """The job of this id is here for another purpose; the message says for which."""


class AdapterInTheWay(Exception):
    """There is an adapter of this id, of a job that is gone, or another one than was sent."""


class AdapterNotAwaited(Exception):
    """No job is lent here whose adapter this would be, or a later attempt has brought it."""


class JobUnfinished(Exception):
    """A job that is not over cannot be removed."""


class FineTuneDesk:
    """Takes jobs, trains them in the order of their creation, says how they are. Safe between threads."""

    def __init__(
        self,
        home: Path,
        limits: FineTuneLimits,
        before_training: Callable[[], bool | None] = lambda: None,
        trainer_command: Sequence[str] = TRAINER,
    ) -> None:
        """`before_training` is called before a job: whoever holds memory that it may need lets go of it.

        Where it gives False, not yet: it is called again, and the job waits.
        """
        self.adapters = AdapterStore(home)
        self._home = home.absolute()
        self._folder = self._home / FOLDER
        self._limits = limits
        self._command = trainer_command
        self._before_training = before_training
        self._drafts = f"{UNFINISHED}{secrets.token_hex(4)}-"
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._run: TrainingRun | None = None

    def start(self) -> None:
        """Take up what is unfinished, in a thread of its own."""
        self._stopping = False
        with self._changed:
            self._read_jobs()
        self._thread = threading.Thread(target=self._work, name="fine-tuning", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the trainer; its job goes on with the next start."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def intake(self) -> Intake:
        """Begin to take a job in. Raises OSError."""
        return Intake(self._folder / f"{self._drafts}{secrets.token_hex(8)}", self.adapters)

    def accept(
        self, job_id: str, intake: Intake, care: FineTuneCare = FineTuneCare.OWN
    ) -> tuple[FineTuneStatus, bool]:
        """Make a job of what came in, and say whether it is a new one.

        The same again changes nothing, unless the job rests or failed in a way that may pass: then it goes
        on. Raises Refused, ContentDiffers, CareDiffers, AdapterInTheWay, JobDamaged, OSError.
        """
        record = intake.finish(job_id, care)
        folder = JobFolder(self._home, job_id)
        with self._changed:
            is_new = not folder.exists
            if is_new:
                if self.adapters.exists(job_id):
                    raise AdapterInTheWay(job_id)
                intake.folder.rename(folder.path)
                sync_folder(self._folder)
                self._jobs[job_id] = Job(folder)
                self._jobs[job_id].note("queued")
                self._jobs[job_id].rests = False
            else:
                self._take_again(folder, record)
            self._changed.notify_all()
            return self._jobs[job_id].status(), is_new

    def _take_again(self, folder: JobFolder, record: JobRecord) -> None:
        job = self._jobs.setdefault(record.id, Job(folder))
        if job.record.content_sha256 != record.content_sha256:
            raise ContentDiffers(record.id)
        if job.record.care is not record.care:
            raise CareDiffers(job.record.care)
        job.rests = False
        job.try_again()

    def status(self, job_id: str) -> FineTuneStatus:
        """How a job is. Raises JobUnknown."""
        with self._changed:
            return self._job(job_id).status()

    def statuses(self) -> list[FineTuneStatus]:
        """Every job, the newest first."""
        with self._changed:
            return [job.status() for job in sorted(self._jobs.values(), key=_age, reverse=True)]

    def events(self, job_id: str, after: int, wait_seconds: float) -> list[FineTuneEvent]:
        """At most MAX_EVENTS after a sequence number; where there are none yet, those that come in time.

        Empty before the time is over: the job has ended, and all was told. Raises JobUnknown.
        """
        with self._changed:
            job = self._job(job_id)
            reader = job.events_after(after)
            found: list[FineTuneEvent] = []

            def has_more() -> bool:
                for event in reader.new_events():
                    found.append(event)
                    if len(found) == MAX_EVENTS:
                        break
                return bool(found) or self._stopping or (job.is_over and not job.has_trainer)

            self._changed.wait_for(has_more, timeout=wait_seconds)
            return found

    def retry(self, job_id: str) -> FineTuneStatus:
        """Let a job go on that failed in a way that may pass; any other stays as it is. Raises JobUnknown."""
        with self._changed:
            job = self._job(job_id)
            job.try_again()
            self._changed.notify_all()
            return job.status()

    def rest(self, job_id: str) -> FineTuneStatus:
        """Let a borrowed job rest until it is sent again; any other stays as it is. Raises JobUnknown."""
        with self._changed:
            job = self._job(job_id)
            if job.record.care is FineTuneCare.BORROWED:
                job.rest()
                self._changed.notify_all()
            return job.status()

    def cancel(self, job_id: str) -> FineTuneStatus:
        """End a job for good; one that is over stays as it is. Raises JobUnknown."""
        with self._changed:
            job = self._job(job_id)
            if not job.is_over:
                job.stand(state=FineTuneState.CANCELLED, finished_at=now())
                if not job.has_trainer:  # else the trainer is ended first
                    job.settle_cancellation()
                self._changed.notify_all()
            return job.status()

    def remove(self, job_id: str) -> None:
        """Remove a job that is over, or lent; its adapter stays.

        Raises JobUnknown, JobUnfinished, OSError.
        """
        with self._changed:
            job = self._job(job_id)
            is_lent = job.record.care is FineTuneCare.LENT
            if not (job.is_over or is_lent) or job.has_trainer:
                raise JobUnfinished(job_id)
            remove_folder(job.folder.path)
            del self._jobs[job_id]

    def content(self, job_id: str) -> tuple[JobRecord, Path]:
        """What a job is, and the file of its chats while they are there. Raises JobUnknown."""
        with self._changed:
            job = self._job(job_id)
            return job.record, job.folder.chats

    def memory_to_come(self) -> int:
        """Bytes that the job in hand is about to take, at least; 0 without one."""
        run = self._run
        return run.memory_to_come() if run is not None else 0

    def weights_of_models(self) -> dict[str, str]:
        """The SHA-256 of the weights of each model that can be trained here, by its name."""
        return weights_of_models(self._home)

    def parcel_intake(self, adapter_id: str) -> ParcelIntake:
        """Begin to take an adapter in. Raises OSError."""
        folder = self.adapters.folder / f"{self._drafts}{secrets.token_hex(8)}"
        return ParcelIntake(adapter_id, folder, self._home)

    def keep_parcel(self, intake: ParcelIntake, fence: int | None) -> bool:
        """Keep an adapter that came in, and say whether it is a new one. Safe to repeat.

        With a `fence` it is what that attempt at a lent job came to, in place of an earlier attempt's.
        Without, it is one that a job to come goes on from. Raises Refused, AdapterNotAwaited,
        AdapterInTheWay, OSError.
        """
        manifest = intake.finish()
        with self._changed:
            try:
                is_new = self.adapters.manifest(manifest.id) != manifest
            except AdapterUnknown:
                is_new = True
            if fence is not None:
                self._admit_delivery(manifest.id, fence)
            elif is_new and self.adapters.exists(manifest.id):
                raise AdapterInTheWay(manifest.id)
            if is_new:
                self.adapters.put(manifest.id, intake.folder)
            return is_new

    def _admit_delivery(self, job_id: str, fence: int) -> None:
        job = self._jobs.get(job_id)
        if job is None or job.record.care is not FineTuneCare.LENT or job.is_over:
            raise AdapterNotAwaited(job_id)
        if fence < job.standing.delivered_fence:
            raise AdapterNotAwaited(job_id)
        job.stand(delivered_fence=fence)

    def users_of(self, adapter_id: str) -> list[str]:
        """The jobs that are not over and go on from an adapter."""
        with self._changed:
            return [
                job.record.id
                for job in self._jobs.values()
                if not job.is_over and job.record.settings.parent_adapter == adapter_id
            ]

    def _job(self, job_id: str) -> Job:
        if job_id not in self._jobs:
            raise JobUnknown(job_id)
        return self._jobs[job_id]

    def _work(self) -> None:
        while not self._stopping:
            try:
                self._work_with_lock()
            except OSError as error:
                _log.error("no fine-tuning under %s for now: %s", self._folder, error)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, TRY_AGAIN_SECONDS)

    def _work_with_lock(self) -> None:
        """Until the desk stops. Raises OSError."""
        with self._lock_of_home() as descriptor:
            if self._waited_for(descriptor):
                with self._changed:
                    self._read_jobs()
                    self._remove_unfinished()
                while (job := self._next()) is not None:
                    self._train(job)

    def _train(self, job: Job) -> None:
        try:
            self._run = TrainingRun(
                job,
                self._limits,
                self._command,
                self.adapters,
                self._changed,
                lambda: self._stopping,
                self._before_training,
            )
            self._run.run()
        except Exception:  # noqa: BLE001 - a defect that one job brings to light must not hold up the others
            _log.exception("the fine-tune %s", job.record.id)
            with self._changed:
                job.has_trainer = False
                job.fail(_DEFECT)
                self._changed.notify_all()
        finally:
            self._run = None

    def _next(self) -> Job | None:
        with self._changed:
            while not self._stopping:
                self._tidy()
                waiting = [job for job in self._jobs.values() if job.wants_trainer]
                if waiting:
                    return min(waiting, key=_age)
                self._changed.wait(TIDY_SECONDS)
            return None

    def _tidy(self) -> None:
        """Remove what a generator that was killed could not, and what nobody has asked for in time."""
        before = now(-self._limits.keep_failed_seconds)
        for job in self._jobs.values():
            job.give_up(before)
            job.tidy()

    def _read_jobs(self) -> None:
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.name.startswith((UNFINISHED, ".")) or path.name in self._jobs:
                continue
            try:
                self._jobs[path.name] = Job(JobFolder(self._home, path.name))
            except JobDamaged as damaged:
                _log.error("%s: left alone", damaged)

    def _remove_unfinished(self) -> None:
        """What a generator was writing when it was killed: the lock is ours, so that was another one."""
        for folder in (self._folder, self.adapters.folder):
            for path in folder.glob(f"{UNFINISHED}*"):
                if not path.name.startswith(self._drafts):
                    remove_folder(path)
        for job in self._jobs.values():
            if job.standing.state is FineTuneState.CANCELLED and self.adapters.exists(job.record.id):
                self.adapters.remove(job.record.id)

    @contextmanager
    def _lock_of_home(self) -> Iterator[int]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _waited_for(self, descriptor: int) -> bool:
        """Whether the lock is ours: a generator that is just ending may hold it a little longer."""
        with self._changed:
            while not self._stopping:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return True
                except BlockingIOError:
                    self._changed.wait(LOOK_AGAIN_SECONDS)
        return False


def _age(job: Job) -> tuple[str, str]:
    return job.age
