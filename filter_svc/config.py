"""Settings of the filter: `DELTANAS_…` variables. Opens nothing."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_home() -> Path:
    """`$XDG_DATA_HOME/deltanas`, or `~/.local/share/deltanas`."""
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "deltanas"


class FilterSettings(BaseSettings):
    """Where the service listens, whom it admits and where its index lies."""

    model_config = SettingsConfigDict(env_prefix="DELTANAS_", extra="ignore", hide_input_in_errors=True)

    home: Path = Field(default_factory=default_home)
    """State folder."""
    filter_index: str = ""
    """Where the index is kept. Empty: in `filter/index.db` of the state folder; a path: in that file;
    `redis://…`, `rediss://…`, `unix://…`: in a Redis that several filters may share; `memory:`: nowhere."""
    filter_address: str = "http://127.0.0.1:8102"
    """`unix:/path/to.sock` or `http://host:port`."""
    service_token_sha256: str
    """SHA-256 of the token that callers must bear, hex."""
    metrics_token_sha256: str | None = None
    """The same of a token that opens /metrics alone."""

    @field_validator("filter_index")
    @classmethod
    def _known_kind(cls, location: str) -> str:
        kind = urlsplit(location).scheme if "://" in location else ""
        if kind not in {"", "redis", "rediss", "unix"}:
            raise ValueError(f"{kind}:// is no index; write a path, redis://HOST:PORT/0, or memory:")
        return location
