"""An import of reference networks: what was sent, how far it is, how it ended. Pure data."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ImportState(StrEnum):
    """Where an import is; the last two are terminal. Nothing of it is seen before it has succeeded."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether the state can never change again."""
        return self in {ImportState.SUCCEEDED, ImportState.FAILED}


@dataclass(frozen=True)
class ImportFailure:
    """Why an import failed, for people and programs."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True)
class ImportRecord:
    """One import as stored."""

    id: str
    tenant: str
    origin: str
    state: ImportState
    content_sha256: str
    size_bytes: int
    total: int | None
    """Networks in the file, once the reader has counted them."""
    read: int
    """Networks seen in the file so far; each is stored, unchanged or refused."""
    stored: int
    unchanged: int
    """Those that the catalogue held already, letter for letter."""
    refused: dict[str, int]
    """Counted by reason."""
    summary: dict[str, object] | None
    """What the reader says of the whole file: package, version, licence, ignored results."""
    waiting_for: str | None
    failure: ImportFailure | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
