"""Settings of the runner, read from `DELTANAS_…` variables. Opens nothing."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.names import IsolationTier

_OPTIONS = SettingsConfigDict(env_prefix="DELTANAS_", extra="ignore")


def default_home() -> Path:
    """`$XDG_DATA_HOME/deltanas`, or `~/.local/share/deltanas`."""
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "deltanas"


class RunnerSettings(BaseSettings):
    """What the runner needs. It verifies a token and holds none."""

    model_config = _OPTIONS

    home: Path = Field(default_factory=default_home)
    """State folder: dataset packs live under `datasets`."""
    runner_address: str = "http://127.0.0.1:8003"
    service_token_sha256: str
    """SHA-256 of the token that callers must bear, hex."""
    metrics_token_sha256: str | None = None
    """The same of a token that opens /metrics alone."""
    runner_slots: int | None = Field(default=None, ge=1, le=256)
    """Attempts at a time; None: one for every `runner_threads_per_slot` cores."""
    runner_threads_per_slot: int = Field(default=1, ge=1, le=256)
    runner_warm: int | None = Field(default=None, ge=0, le=256)
    """Sandboxes that may wait, fully imported (some 300 MiB each); None: one for every slot; 0: none."""
    launcher_socket: Path | None = None
    """Where the launcher of the Docker tiers listens; None: `launcher.sock` in the state folder."""
    minimum_tier: IsolationTier = IsolationTier.NAMESPACES
    """No attempt runs in a weaker sandbox, whatever it asks for."""

    @property
    def slots(self) -> int:
        """Attempts at a time."""
        cores = len(os.sched_getaffinity(0))
        return self.runner_slots or max(1, cores // self.runner_threads_per_slot)

    @property
    def warm(self) -> int:
        """Sandboxes that may wait at a time."""
        return self.slots if self.runner_warm is None else self.runner_warm
