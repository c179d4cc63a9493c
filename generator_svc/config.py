"""Settings of the generator service: `DELTANAS_…` variables."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class GeneratorSettings(BaseSettings):
    """Where the service listens and which callers it admits."""

    model_config = SettingsConfigDict(env_prefix="DELTANAS_", extra="ignore")

    generator_address: str = "http://127.0.0.1:8101"
    """`unix:/path/to.sock` or `http://host:port`."""

    service_token_sha256: str
    """SHA-256 of the token that callers must bear, hex."""

    home: Path | None = None
    """Where large uploads wait while they are read; without one, where the system keeps temporary files."""
