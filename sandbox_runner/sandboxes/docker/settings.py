"""Settings of the launcher, and where the runner finds it, from `DELTANAS_…` variables. Opens nothing."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from sandbox_runner.config import default_home

LAUNCHER_COMMAND = "python -m sandbox_runner.sandboxes.docker.launcher"


class LauncherSettings(BaseSettings):
    """What the launcher needs. It holds no secret."""

    model_config = SettingsConfigDict(env_prefix="DELTANAS_", extra="ignore")

    home: Path = Field(default_factory=default_home)
    """State folder. The sandboxes' data folders lie in it, on the file system of the data sets."""
    launcher_socket: Path | None = None
    """Where the launcher listens; None: `launcher.sock` in the state folder."""
    docker_host: str = Field(default="unix:///var/run/docker.sock", pattern=r"^unix:///.+$")
    """The engine's socket, on this machine: the launcher reads control groups and mounts folders."""
    guest_image: str | None = None
    """The id (sha256:…) of a complete guest image; None: the host's own Python is mounted."""

    @property
    def socket(self) -> Path:
        """Where the launcher listens."""
        return self.launcher_socket or self.home / "launcher.sock"
