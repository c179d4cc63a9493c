"""What of the tiers `docker+runc` and `docker+runsc` is here: engine, launcher, image, gVisor."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from deltanas.cli.checks import Check
from deltanas.home import Home

_PART = "Docker"
_SOCKET = "/var/run/docker.sock"
_ENGINE_SECONDS = 5.0
_OLDEST_API = (1, 41)
_LAUNCHER_COMMAND = "python -m sandbox_runner.sandboxes.docker.launcher"
_INSTALL_ENGINE = "bash deploy/system-packages.sh docker && systemctl start docker"
_INSTALL_GVISOR = "bash deploy/system-packages.sh docker, or https://gvisor.dev/docs/user_guide/install"
_REGISTER_GVISOR = "runsc install -- --platform=systrap && systemctl restart docker"
_GROUP_REMEDY = (
    "nothing, if the launcher has an account of its own; else: usermod -aG docker deltanas-launcher"
)
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")


def docker_checks(home: Home) -> Iterator[Check]:
    """Look for everything; none of it is required, because `namespaces` needs none of it."""
    engine = Path(os.environ.get("DELTANAS_DOCKER_HOST", f"unix://{_SOCKET}").removeprefix("unix://"))
    info: dict[str, Any] | None = None
    try:
        version = _ask(engine, "/version")
        info = _ask(engine, "/info")
    except PermissionError:
        yield _check("engine", False, f"this user may not use {engine}", _GROUP_REMEDY)
    except (OSError, httpx.HTTPError, ValueError) as error:
        yield _check("engine", False, f"none answers at {engine} ({_reason(error)})", _engine_remedy(engine))
    else:
        yield _engine(version)
        yield _limits(info)
    yield _gvisor(info)
    yield _launcher(Path(os.environ.get("DELTANAS_LAUNCHER_SOCKET") or home.path / "launcher.sock"))
    yield _image(engine if info else None)


def _check(name: str, passed: bool, found: str, remedy: str = "") -> Check:
    return Check(name, passed, found, remedy, required=False, part=_PART)


def _ask(engine: Path, path: str) -> dict[str, Any]:
    """Raises OSError, httpx.HTTPError, ValueError."""
    with socket.socket(socket.AF_UNIX) as knock:  # httpx would hide why it cannot connect
        knock.settimeout(_ENGINE_SECONDS)
        knock.connect(str(engine))
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(engine)), timeout=_ENGINE_SECONDS) as client:
        answer = client.get(f"http://docker{path}")
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
        return document


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _engine_remedy(engine: Path) -> str:
    if str(engine) == _SOCKET and shutil.which("dockerd") is None:
        return _INSTALL_ENGINE
    return "systemctl start docker, or set DELTANAS_DOCKER_HOST=unix:///… to the engine's socket"


def _engine(version: dict[str, Any]) -> Check:
    api = str(version.get("ApiVersion", "0"))
    fit = tuple(int(number) for number in re.findall(r"\d+", api)[:2]) >= _OLDEST_API
    found = f"{version.get('Version', '?')}, API {api}"
    return _check(
        "engine", fit, found if fit else f"{found}; 1.41 is needed", "install Docker 20.10 or newer"
    )


def _limits(info: dict[str, Any]) -> Check:
    """The engine's own word on what it can enforce; the probe tries whether it does."""
    needed = {"MemoryLimit": "memory", "PidsLimit": "processes", "CpuCfsQuota": "CPU"}
    missing = [name for field, name in needed.items() if not info.get(field)]
    if not any("seccomp" in option for option in info.get("SecurityOptions") or ()):
        missing.append("system calls (seccomp)")
    found = (
        f"it cannot limit {', '.join(missing)}"
        if missing
        else f"memory, processes, CPU and system calls (cgroups: {info.get('CgroupDriver', '?')})"
    )
    remedy = (
        "docs/operating-sandboxes.md: cgroup delegation for rootless engines, else the kernel command line"
    )
    return _check("engine's limits", not missing, found, remedy)


def _gvisor(info: dict[str, Any] | None) -> Check:
    program = shutil.which("runsc")
    registered = info is not None and "runsc" in (info.get("Runtimes") or {})
    if program is None and not registered:
        return _check("gVisor", False, "runsc is not installed", _INSTALL_GVISOR)
    release = _release(program) if program else "runsc"
    if info is None:
        return _check("gVisor", True, f"{release}; whether Docker knows it can only the engine say")
    if not registered:
        return _check("gVisor", False, f"{release}, which Docker has not been told of", _REGISTER_GVISOR)
    return _check("gVisor", True, f"{release}, known to Docker")


def _release(program: str) -> str:
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"runsc, which does not run ({error})"
    return answer.stdout.partition("\n")[0].replace(" version", "") or "runsc"


def _launcher(address: Path) -> Check:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(str(address))
        except OSError as error:
            why = error.strerror or str(error)
            return _check("launcher", False, f"none listens at {address} ({why})", _LAUNCHER_COMMAND)
    return _check("launcher", True, f"listens at {address}")


def _image(engine: Path | None) -> Check:
    pinned = os.environ.get("DELTANAS_GUEST_IMAGE", "")
    remedy = "bash deploy/build-guest-image.sh"
    if not pinned:
        return _check("guest image", True, "none is pinned: the host's own Python is mounted")
    if not _IMAGE_ID.fullmatch(pinned):
        return _check("guest image", False, f"DELTANAS_GUEST_IMAGE={pinned} does not pin an image", remedy)
    if engine is None:
        return _check("guest image", True, f"{pinned[:19]}…; only the engine knows whether it is there")
    try:
        _ask(engine, f"/images/{pinned}/json")
    except (OSError, httpx.HTTPError, ValueError):
        return _check("guest image", False, f"the engine has no {pinned[:19]}…", remedy)
    return _check("guest image", True, f"{pinned[:19]}…")
