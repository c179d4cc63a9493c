"""Settings of the filter: `DELTANAS_…` variables. Opens nothing."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_home() -> Path:
    """`$XDG_DATA_HOME/deltanas`, or `~/.local/share/deltanas`."""
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "deltanas"


class FilterSettings(BaseSettings):
    """Where the service listens, whom it admits and where its index lies."""

    model_config = SettingsConfigDict(env_prefix="DELTANAS_", extra="ignore")

    home: Path = Field(default_factory=default_home)
    """State folder; the index is `filter/index.db` in it."""
    filter_address: str = "http://127.0.0.1:8102"
    """`unix:/path/to.sock` or `http://host:port`."""
    service_token_sha256: str
    """SHA-256 of the token that callers must bear, hex."""
    metrics_token_sha256: str | None = None
    """The same of a token that opens /metrics alone."""

    @property
    def index_path(self) -> Path:
        """The index's file."""
        return self.home / "filter" / "index.db"
