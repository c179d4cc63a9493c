"""The processes of one machine: what each is called, how it is started, and all that it may know.

Every environment is spelled out here and nothing is inherited beside it. The service token goes to
the callers alone (gateway, agent); who only verifies gets its SHA-256. The sandbox runner, next to
which untrusted code runs, gets no secret, no database and no key.
"""

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts.addresses import AddressInvalid, parse_address
from contracts.service_gate import token_digest

_LAUNCHER_SOCKET = "launcher.sock"
_SOCKETS = {"GENERATOR": "generator.sock", "FILTER": "filter.sock", "RUNNER": "runner.sock"}

_USERS_SETTINGS = {
    "gateway": frozenset(
        f"DELTANAS_{name}"
        for name in ("DATABASE_URL", "REQUIRE_KEYS", "ALLOWED_HOSTS", "TRUSTED_PROXIES", "LEASE_SECONDS")
    )
    | frozenset(f"DELTANAS_MAX_{name}" for name in ("OPEN_EVALUATIONS", "OPEN_SEARCHES", "RUNNING_ATTEMPTS"))
    | frozenset(f"DELTANAS_{name}" for name in ("GPU_SECONDS_PER_DAY", "STORAGE_BYTES", "AUDIT_DAYS"))
    | frozenset(f"DELTANAS_REQUESTS_PER_{name}" for name in ("KEY", "ADDRESS"))
    | {
        "DELTANAS_BROKER_URL",
        "DELTANAS_DATABASE_CONNECTIONS",
        "DELTANAS_WORK_LEASE_SECONDS",
        "DELTANAS_REQUESTS_AT_ONCE",
        "DELTANAS_REPUBLISH_SECONDS",
        "DELTANAS_FINE_TUNE_AGENTS",
        "DELTANAS_METRICS_TENANTS",
        *(f"DELTANAS_WEBHOOK_{name}" for name in ("HTTP", "PORTS", "ALLOW", "CA_FILE")),
        *(
            f"DELTANAS_KEEP_{name}_DAYS"
            for name in ("ATTEMPT_LOG", "EVENT", "MODEL_TEXT", "EVALUATION", "FINE_TUNE", "SEARCH")
        ),
    },
    "runner": frozenset(
        f"DELTANAS_{name}"
        for name in ("RUNNER_SLOTS", "RUNNER_THREADS_PER_SLOT", "RUNNER_WARM", "MINIMUM_TIER", "CGROUP_ROOT")
    ),
    "generator": frozenset(
        {
            *(f"DELTANAS_LLM_{name}" for name in ("BASE_URL", "MODEL", "API_KEY", "ENDPOINTS")),
            *(f"DELTANAS_FINE_TUNE_{name}" for name in ("MEMORY_BYTES", "STALL_SECONDS", "THREADS")),
            *(f"DELTANAS_LOCAL_MODEL_{name}" for name in ("MEMORY_BYTES", "THREADS")),
            *(f"DELTANAS_LOCAL_MODEL_{name}" for name in ("CALL_SECONDS", "IDLE_SECONDS")),
            "CUDA_VISIBLE_DEVICES",
            # The one that calls servers outside of the family, by whatever way this machine has to them.
            *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
            *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
            *("SSL_CERT_FILE", "SSL_CERT_DIR"),
        }
    ),
    "filter": frozenset({"DELTANAS_FILTER_INDEX"}),
    "launcher": frozenset(f"DELTANAS_{name}" for name in ("DOCKER_HOST", "GUEST_IMAGE", "CGROUP_ROOT")),
    "agent": frozenset(
        f"DELTANAS_AGENT_{name}" for name in ("ID", "GPUS", "HEARTBEAT_SECONDS", "POLL_SECONDS")
    ),
}
"""What each service may see of the user's own environment, by name."""

_ENDPOINT_KEYS = "DELTANAS_LLM_API_KEY_"
"""How variables begin that hold keys of language model endpoints: the generator sees them, nobody else."""


@dataclass(frozen=True)
class Service:
    """One process to supervise. `health_address` is asked for /healthz; None where nothing is served."""

    name: str
    module: str
    environment: Mapping[str, str]
    health_address: str | None
    umask: int = 0o077

    @property
    def argv(self) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", self.module]


def make_run_folder(home: Path) -> Path:
    """A fresh folder for sockets, for its owner alone, with a path short enough for a socket's name."""
    folder = home / "run"
    try:
        for socket in (*_SOCKETS.values(), _LAUNCHER_SOCKET):
            parse_address(f"unix:{folder / socket}")
    except AddressInvalid:
        parent = os.environ.get("XDG_RUNTIME_DIR", "")
        usable = 0 < len(parent.encode()) <= 50 and os.access(parent, os.W_OK)
        return Path(tempfile.mkdtemp(prefix="deltanas-", dir=parent if usable else "/tmp"))  # noqa: S108
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def services_of_one_machine(home: Path, run_folder: Path, gateway_address: str) -> list[Service]:
    """All processes, in the order in which they start. Each call draws a fresh service token."""
    token = secrets.token_hex(32)
    digest = {"DELTANAS_SERVICE_TOKEN_SHA256": token_digest(token)}
    secret = {"DELTANAS_SERVICE_TOKEN": token}
    addresses = {f"DELTANAS_{key}_ADDRESS": f"unix:{run_folder / name}" for key, name in _SOCKETS.items()}
    generator, filter_, runner = addresses.values()
    every = {**addresses, "DELTANAS_GATEWAY_ADDRESS": gateway_address}

    def service(
        name: str, module: str, extra: Mapping[str, str], health_address: str | None, umask: int = 0o077
    ) -> Service:
        return Service(name, module, {**environment_of(name, home), **every, **extra}, health_address, umask)

    launcher = {"DELTANAS_LAUNCHER_SOCKET": str(run_folder / _LAUNCHER_SOCKET)}
    return [
        # The one that may use the container engine. It knows no other service and no token.
        Service(
            "launcher",
            "sandbox_runner.sandboxes.docker.launcher",
            {**environment_of("launcher", home), **launcher},
            None,
        ),
        # Sandboxes read mounted training files under another user id; their folders are closed to others.
        service("runner", "sandbox_runner", {**digest, **launcher}, runner, umask=0o022),
        service("generator", "generator_svc", digest, generator),
        service("filter", "filter_svc", digest, filter_),
        service("gateway", "gateway", {**secret, **digest}, gateway_address),
        service("agent", "sandbox_runner.agent", secret, None),
    ]


def environment_of(name: str, home: Path) -> dict[str, str]:
    """All that the service of this name sees of the user's own environment, and where state is kept."""
    for_all = {"PATH", "HOME", "DELTANAS_LOG_FORMAT", "DELTANAS_LOG_LEVEL", "DELTANAS_METRICS_TOKEN_SHA256"}
    visible = for_all | _USERS_SETTINGS.get(name, frozenset())
    inherited = {key: value for key, value in os.environ.items() if key in visible}
    if name == "generator":
        keys = {key: value for key, value in os.environ.items() if key.startswith(_ENDPOINT_KEYS)}
        inherited = {**inherited, **keys}
    return {**inherited, "LANG": "C.UTF-8", "DELTANAS_HOME": str(home)}
