"""The gateway's settings: `DELTANAS_…` variables. Knows names and defaults, opens nothing."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from contracts.addresses import Address, parse_address
from contracts.service_gate import token_digest

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def default_home() -> Path:
    """`$XDG_DATA_HOME/deltanas`, or `~/.local/share/deltanas`."""
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "deltanas"


class Settings(BaseSettings):
    """Read once at start. Addresses are `unix:/abs.sock` or `http://host:port`."""

    model_config = SettingsConfigDict(env_prefix="DELTANAS_", extra="ignore")

    home: Path = Field(default_factory=default_home)
    """State folder: the database lives here, under one lock."""
    database_url: str | None = None
    """SQLAlchemy URL; None = `gateway.sqlite3` in `home`."""
    gateway_address: str = "http://127.0.0.1:8000"
    generator_address: str = "http://127.0.0.1:8001"
    filter_address: str = "http://127.0.0.1:8002"
    runner_address: str = "http://127.0.0.1:8003"
    service_token: str | None = None
    """What the gateway shows to the other services."""
    service_token_sha256: str | None = None
    """What agents must show to /internal/v1; None: derived from `service_token`."""
    require_keys: bool = False
    """Ask for API keys on loopback too, as behind a reverse proxy."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Further Host names under which a keyless gateway may be called, with commas between them."""
    lease_seconds: float = Field(default=15.0, gt=0.05, le=600)
    """An attempt without a heartbeat for this long is lost."""
    max_open_evaluations: int = Field(default=10_000, ge=1)
    """Evaluations of one tenant that may wait or run at a time."""
    conductor: bool = True
    """Whether this process drives searches."""

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _names(cls, given: object) -> object:
        return tuple(given.lower().replace(",", " ").split()) if isinstance(given, str) else given

    @property
    def address(self) -> Address:
        """Where the gateway listens."""
        return parse_address(self.gateway_address)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine's users can reach the gateway."""
        return self.address.socket_path is not None or self.address.host in LOOPBACK_HOSTS

    @property
    def keyless(self) -> bool:
        """Whether a caller without an API key is let in, as the tenant `local`."""
        return self.is_loopback and not self.require_keys

    @property
    def internal_token_sha256(self) -> str:
        """What opens /internal/v1; empty opens nothing."""
        if self.service_token_sha256:
            return self.service_token_sha256
        return token_digest(self.service_token) if self.service_token else ""

    @property
    def resolved_database_url(self) -> str:
        """The SQLAlchemy URL in use."""
        return self.database_url or f"sqlite:///{self.home.absolute() / 'gateway.sqlite3'}"
