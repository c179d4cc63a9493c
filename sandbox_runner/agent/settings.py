"""Settings of the agent, read from `DELTANAS_…` variables. Opens nothing."""

import re
import socket
from typing import Any

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.dispatch import Resource, check_broker_url

_AGENT_ID = r"^[a-z0-9][a-z0-9-]{0,62}$"


def _default_id(known: dict[str, Any]) -> str:
    host = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")[:52] or "agent"
    lent = known.get("agent_resource")
    return host if lent is None else f"{host}-{lent.kind}"


class AgentSettings(BaseSettings):
    """What the agent needs: where to ask for work, where to have it done, and the token for both."""

    model_config = SettingsConfigDict(env_prefix="DELTANAS_", extra="ignore", hide_input_in_errors=True)

    gateway_address: str = "http://127.0.0.1:8000"
    runner_address: str = "http://127.0.0.1:8003"
    generator_address: str = "http://127.0.0.1:8001"
    """Of the generator that trains, where fine-tunes are lent; it serves this agent alone."""
    service_token: str
    agent_resource: Resource | None = None
    """What of its host it lends; None: whatever the runner has. With a broker it is one of them."""
    agent_id: str = Field(default_factory=_default_id, pattern=_AGENT_ID)
    """Of its own among all agents of the farm; by default the host's name, and what is lent."""
    agent_gpus: int = Field(default=0, ge=0, le=256)
    """On how many GPUs the generator that trains does so: for so many its fine-tunes are counted."""
    agent_heartbeat_seconds: float = Field(default=5.0, gt=0, le=60)
    agent_poll_seconds: float = Field(default=20.0, gt=0, le=25)
    """How long one question for work may wait, where there is no broker."""
    agent_drain_seconds: float = Field(default=0.0, ge=0, le=86_400)
    """For so long, once it is to stop, what runs may still come to its end before it is given back."""
    broker_url: SecretStr | None = None
    """Where messages say which attempt to claim; None: the gateway is asked. It may hold a password."""

    @field_validator("broker_url")
    @classmethod
    def _is_redis(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None:
            check_broker_url(given.get_secret_value())
        return given

    @property
    def resource(self) -> Resource | None:
        """What it lends. Messages wait in one queue for each resource, so with a broker it is one."""
        return self.agent_resource or (None if self.broker_url is None else Resource.CPU)
