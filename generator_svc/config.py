"""Settings of the generator service: `DELTANAS_…` variables."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from generator_svc.language_models.endpoints import Endpoint, read_endpoints


class GeneratorSettings(BaseSettings):
    """Where the service listens and which callers it admits."""

    model_config = SettingsConfigDict(env_prefix="DELTANAS_", extra="ignore")

    generator_address: str = "http://127.0.0.1:8101"
    """`unix:/path/to.sock` or `http://host:port`."""

    service_token_sha256: str
    """SHA-256 of the token that callers must bear, hex."""
    metrics_token_sha256: str | None = None
    """The same of a token that opens /metrics alone."""

    home: Path | None = None
    """Where large uploads wait while they are read; without one, where the system keeps temporary files."""

    local_model_memory_bytes: int | None = Field(default=None, gt=0)
    """What the process of a local language model may use; None: what the machine has."""

    local_model_threads: int | None = Field(default=None, gt=0)
    """Threads of a local language model; None: one for each core."""

    local_model_call_seconds: float = Field(default=1800.0, gt=0)
    """For one call of a local language model, from the prompts to the last answer."""

    local_model_idle_seconds: float = Field(default=300.0, gt=0)
    """How long a local language model that nobody asks keeps its memory."""

    def endpoints(self) -> dict[str, Endpoint]:
        """The language models that `DELTANAS_LLM_…` names, by endpoint. Raises EndpointsInvalid.

        Read when it is asked for and no part of the settings, whose text must hold no key.
        """
        return read_endpoints(os.environ)
