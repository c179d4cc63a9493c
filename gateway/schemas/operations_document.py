"""Health, readiness and what the hosts offer, as they are answered."""

from dataclasses import dataclass
from typing import Literal

from contracts.jobs import RunnerCapabilities
from contracts.names import IsolationTier
from gateway.schemas.shape import SHOWN, Count, Seconds


@dataclass(frozen=True)
class HealthDocument:
    """The process answers."""

    __pydantic_config__ = SHOWN

    status: Literal["ok"] = "ok"


@dataclass(frozen=True)
class CheckDocument:
    """One thing that an evaluation or a search needs."""

    __pydantic_config__ = SHOWN

    ok: bool
    seconds: Seconds
    """That looking took."""


@dataclass(frozen=True)
class ReadinessDocument:
    """Whether evaluations can run now, and if not, why."""

    __pydantic_config__ = SHOWN

    status: Literal["ready", "not_ready"]
    reasons: tuple[str, ...]
    checks: dict[str, CheckDocument]
    """By what was looked at: `disk`, `database`, `agents`, `generator`, `filter`, `runner`, `broker`."""


@dataclass(frozen=True)
class AgentDocument:
    """One host that takes work."""

    __pydantic_config__ = SHOWN

    id: str
    capabilities: RunnerCapabilities


@dataclass(frozen=True)
class CapabilitiesDocument:
    """What live agents offer, host by host and together."""

    __pydantic_config__ = SHOWN

    agents: tuple[AgentDocument, ...]
    tier: IsolationTier | None
    """The strongest there is; null: nothing runs."""
    slots: Count
    """Attempts at a time."""
    devices: tuple[str, ...]
    datasets: tuple[str, ...]
    """Those that are ready on some host."""
