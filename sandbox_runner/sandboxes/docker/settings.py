"""Settings of the launcher, and where the runner finds it, from `DELTANAS_…` variables. Opens nothing."""

import os
import pwd
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
    launcher_client: str | None = None
    """The user (name or number) who may ask for sandboxes; None: the launcher's own. Another needs root."""
    docker_host: str = Field(default="unix:///var/run/docker.sock", pattern=r"^unix:///.+$")
    """The engine's socket, on this machine: the launcher reads control groups and mounts folders."""
    guest_image: str | None = None
    """The id (sha256:…) of a complete guest image; None: the host's own Python is mounted."""

    @property
    def client(self) -> int:
        """The user id that may connect. Raises ValueError when there is no such user."""
        if self.launcher_client is None:
            return os.geteuid()
        if self.launcher_client.isdecimal():
            return int(self.launcher_client)
        try:
            return pwd.getpwnam(self.launcher_client).pw_uid
        except KeyError as error:
            raise ValueError(f"DELTANAS_LAUNCHER_CLIENT={self.launcher_client!a}: no such user") from error

    @property
    def socket(self) -> Path:
        """Where the launcher listens."""
        return self.launcher_socket or self.home / "launcher.sock"
