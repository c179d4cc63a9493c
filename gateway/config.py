"""The gateway's settings: `DELTANAS_…` variables. Knows names and defaults, opens nothing."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, FilePath, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from contracts.addresses import Address, parse_address
from contracts.service_gate import token_digest
from gateway.domain.retention import Retention
from gateway.domain.webhook_targets import WEB_PORTS, TargetRules, parse_allowance

Days = Annotated[
    Annotated[float, Field(gt=0)] | None,
    BeforeValidator(lambda given: None if given == "never" else given),
]
"""A number, or `never` for what is kept for ever."""

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
    """SQLAlchemy URL, such as `postgresql+psycopg://user@host/name`; None = `gateway.sqlite3` in `home`."""
    database_connections: int = Field(default=20, ge=4, le=1000)
    """Connections of this gateway to PostgreSQL at a time, two more for signals not counted."""
    work_lease_seconds: float = Field(default=15.0, ge=1, le=600)
    """On PostgreSQL: work that a gateway does not renew for this long another gateway takes over."""
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
    """Evaluations of one tenant that may wait or run at a time; this and the next four are where a tenant has
    no quota of its own."""
    max_running_attempts: int | None = Field(default=None, ge=1)
    """Attempts of one tenant that may run at a time; what is beyond waits."""
    max_open_searches: int = Field(default=100, ge=1)
    """Searches of one tenant that have not ended."""
    gpu_seconds_per_day: int | None = Field(default=None, ge=0)
    """Seconds for which one tenant may hold GPU slots on a day, in UTC."""
    storage_bytes: int | None = Field(default=None, ge=0)
    """What one tenant may have stored."""
    requests_per_tenant: int = Field(default=3000, ge=1)
    """Requests a minute with all API keys of one tenant; a gateway counts those that it answers itself."""
    requests_per_address: int = Field(default=300, ge=1)
    """Requests a minute without a key from one address, where keys are asked for."""
    requests_at_once: int = Field(default=1000, ge=1)
    """Requests under way of one API key, or of one address without a key; event streams are such, too."""
    audit_days: int = Field(default=365, ge=1)
    """How long the audit log is kept."""
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses of proxies whose X-Forwarded-For is believed, with commas between them; else nobody's is."""
    broker_url: SecretStr | None = None
    """A Redis where the agents of a farm hear of attempts; None: agents ask the gateway."""
    republish_seconds: float = Field(default=10.0, gt=0.05, le=3600)
    """What no agent claimed so long after it was published is published again."""
    fine_tune_agents: bool = False
    """Whether long fine-tunes are trained by hosts of agents; else by the generator that proposes."""
    conductor: bool = True
    """Whether this process drives searches."""
    webhook_http: bool = False
    """Whether webhooks may go over plain http, too."""
    webhook_ports: Annotated[frozenset[int], NoDecode] = frozenset(WEB_PORTS)
    """Where webhooks may go, with commas between them."""
    webhook_allow: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts and networks that webhooks may go to although they are not public: names, 10.1.0.0/16."""
    webhook_ca_file: FilePath | None = None
    """Certificates of authorities, in PEM, that receivers may be of beside those that the system trusts."""
    metrics_token_sha256: str | None = None
    """SHA-256 of the token that opens /metrics where keys are asked for."""
    metrics_tenants: bool = False
    """Whether names of tenants may be labels of metrics."""
    keep_attempt_log_days: Days = 90
    keep_event_days: Days = 90
    keep_model_text_days: Days = None
    keep_evaluation_days: Days = None
    keep_fine_tune_days: Days = None
    keep_search_days: Days = None
    """How long after its end what is kept; `Retention` says what each is."""

    @property
    def retention(self) -> Retention:
        """How long each kind of thing is kept."""
        return Retention(
            attempt_logs=self.keep_attempt_log_days,
            events=self.keep_event_days,
            model_texts=self.keep_model_text_days,
            evaluations=self.keep_evaluation_days,
            fine_tunes=self.keep_fine_tune_days,
            searches=self.keep_search_days,
        )

    @field_validator("allowed_hosts", "trusted_proxies", mode="before")
    @classmethod
    def _names(cls, given: object) -> object:
        return tuple(given.lower().replace(",", " ").split()) if isinstance(given, str) else given

    @field_validator("webhook_ports", mode="before")
    @classmethod
    def _ports(cls, given: object) -> object:
        return frozenset(given.replace(",", " ").split()) if isinstance(given, str) else given

    @field_validator("webhook_allow", mode="before")
    @classmethod
    def _allowance(cls, given: object) -> object:
        entries = given.replace(",", " ").split() if isinstance(given, str) else given
        parse_allowance(entries)  # type: ignore[arg-type]
        return entries

    @property
    def webhook_rules(self) -> TargetRules:
        """Where webhooks may go."""
        hosts, networks = parse_allowance(self.webhook_allow)
        return TargetRules(self.webhook_http, self.webhook_ports, hosts, networks)

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
        if self.database_url is None:
            return f"sqlite:///{self.home.absolute() / 'gateway.sqlite3'}"
        scheme, separator, rest = self.database_url.partition("://")
        # What everybody else calls a PostgreSQL URL; SQLAlchemy takes it for another driver's.
        is_plain = scheme in {"postgres", "postgresql"}
        return f"postgresql+psycopg{separator}{rest}" if is_plain else self.database_url
