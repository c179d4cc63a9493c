"""One job on disk, DELTANAS_HOME/fine-tunes/ID/: whatever is killed, each file is whole or as it was."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from contracts.fine_tuning import (
    FineTuneCare,
    FineTuneFailure,
    FineTuneResult,
    FineTuneSettings,
    FineTuneState,
)
from generator_svc.fine_tuning.durable_files import write_file

T = TypeVar("T")

FOLDER = "fine-tunes"
CHATS = "chats.jsonl"
JOB = "job.json"


@dataclass(frozen=True)
class JobRecord:
    """What a job is. Never changes."""

    id: str
    settings: FineTuneSettings
    content_sha256: str
    data_sha256: str
    created_at: str
    care: FineTuneCare = FineTuneCare.OWN


@dataclass(frozen=True)
class JobStanding:
    """Where a job is. Written by the desk alone."""

    state: FineTuneState = FineTuneState.QUEUED
    started_at: str | None = None
    finished_at: str | None = None
    trainer_starts: int = 0
    memory_was_short: bool = False
    """The next trainer saves memory where it can."""
    failure: FineTuneFailure | None = None
    result: FineTuneResult | None = None
    delivered_fence: int = 0
    """Of a lent job: the attempt whose adapter is here, numbered as its lender numbers them; 0: none."""

    @property
    def may_go_on(self) -> bool:
        """Whether a trainer may still take it up: now, or once it is tried again."""
        if self.state is FineTuneState.FAILED:
            return self.failure is not None and self.failure.retryable
        return not self.state.is_terminal


_RECORD = TypeAdapter(JobRecord)
_STANDING = TypeAdapter(JobStanding)


class JobDamaged(Exception):
    """A job's files cannot be read; the message names the file."""


class JobFolder:
    """The paths and records of one job."""

    def __init__(self, home: Path, job_id: str) -> None:
        self.id = job_id
        self.path = home.absolute() / FOLDER / job_id

    @property
    def chats(self) -> Path:
        """The chats, one `chat_line` each."""
        return self.path / CHATS

    @property
    def journal(self) -> Path:
        """What has happened."""
        return self.path / "journal.jsonl"

    @property
    def log(self) -> Path:
        """What the trainer said on stderr."""
        return self.path / "trainer.log"

    @property
    def lock(self) -> Path:
        """Held by the one trainer that writes to the folder."""
        return self.path / "trainer.lock"

    @property
    def checkpoints(self) -> Path:
        """The trainer's own."""
        return self.path / "checkpoints"

    @property
    def exists(self) -> bool:
        """Whether there is such a job."""
        return (self.path / JOB).is_file()

    def record(self) -> JobRecord:
        """What the job is. Raises JobDamaged."""
        return self._read(JOB, _RECORD)

    def standing(self) -> JobStanding:
        """Where it is. Raises JobDamaged."""
        return self._read("standing.json", _STANDING) if self._standing.exists() else JobStanding()

    def stand(self, standing: JobStanding) -> None:
        """Write where it is now. Raises OSError."""
        write_file(self._standing, json.dumps(asdict(standing), indent=1).encode())

    @property
    def _standing(self) -> Path:
        return self.path / "standing.json"

    def _read(self, name: str, adapter: TypeAdapter[T]) -> T:
        try:
            return adapter.validate_json((self.path / name).read_bytes())
        except (OSError, ValidationError) as error:
            raise JobDamaged(f"{name} of the fine-tune {self.id!r} cannot be read") from error


def write_record(folder: Path, record: JobRecord) -> None:
    """Into a folder that is to become a job's. Raises OSError."""
    write_file(folder / JOB, json.dumps(asdict(record), indent=1).encode())
