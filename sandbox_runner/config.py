"""Settings of the runner and of its agent, read from `DELTANAS_…` variables. Opens nothing."""

import os
import re
import socket
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.names import IsolationTier

_OPTIONS = SettingsConfigDict(env_prefix="DELTANAS_", extra="ignore")


def default_home() -> Path:
    """`$XDG_DATA_HOME/deltanas`, or `~/.local/share/deltanas`."""
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "deltanas"


def default_agent_id() -> str:
    """The host's name, as far as it fits into a path segment."""
    return re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")[:60] or "agent"


class RunnerSettings(BaseSettings):
    """What the runner needs. It verifies a token and holds none."""

    model_config = _OPTIONS

    home: Path = Field(default_factory=default_home)
    """State folder: dataset packs live under `datasets`."""
    runner_address: str = "http://127.0.0.1:8003"
    service_token_sha256: str
    """SHA-256 of the token that callers must bear, hex."""
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


class AgentSettings(BaseSettings):
    """What the agent needs: where to ask for work, where to have it done, and the token for both."""

    model_config = _OPTIONS

    gateway_address: str = "http://127.0.0.1:8000"
    runner_address: str = "http://127.0.0.1:8003"
    service_token: str
    agent_id: str = Field(default_factory=default_agent_id, pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    agent_heartbeat_seconds: float = Field(default=5.0, gt=0, le=60)
    agent_poll_seconds: float = Field(default=20.0, gt=0, le=25)
    """How long one question for work may wait."""
