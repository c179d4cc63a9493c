"""What the operator allows a fine-tuning job: `DELTANAS_FINE_TUNE_…` variables."""

import os

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from generator_svc.language_models.local.memory import free_memory

KEPT_FREE_BYTES = 512 * 1024 * 1024
"""Of the memory that is available when a trainer starts."""


class FineTuneLimits(BaseSettings):
    """Memory, cores and patience for one trainer."""

    model_config = SettingsConfigDict(env_prefix="DELTANAS_FINE_TUNE_", extra="ignore")

    memory_bytes: int | None = Field(default=None, ge=1)
    """None: what the machine has available when the trainer starts, less half a gibibyte."""

    stall_seconds: float = Field(default=900.0, gt=0)
    """A trainer that says nothing for so long is ended. Loading a model counts as silence."""

    keep_failed_seconds: float = Field(default=7 * 86_400.0, ge=0, le=3650 * 86_400.0)
    """So long a job that failed in a way that may pass keeps its chats and checkpoints for another try."""

    threads: int | None = Field(default=None, ge=1)
    """None: as many as there are cores."""

    def trainer_threads(self) -> int:
        """How many threads a trainer computes with."""
        return self.threads or len(os.sched_getaffinity(0))

    def trainer_memory_bytes(self) -> int:
        """How much memory a trainer that starts now may use."""
        return self.memory_bytes or max(KEPT_FREE_BYTES, free_memory() - KEPT_FREE_BYTES)
