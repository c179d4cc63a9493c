"""The Docker Engine, as far as sandboxes need it. The only file that knows the Docker SDK."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from sandbox_runner.sandboxes.docker.guest_image import GuestImage
from sandbox_runner.sandboxes.docker.wire import Runtime
from sandbox_runner.sandboxes.port import SandboxUnavailable

API_VERSION = "1.41"
"""Of Engine 20.10, the first with private cgroup namespaces."""
REQUEST_SECONDS = 30
CONFLICT = 409
REMEDIES = {
    Runtime.RUNC: "apt-get install runc",
    Runtime.RUNSC: (
        "install gVisor, then: runsc install -- --platform=systrap --directfs=false "
        "&& systemctl restart docker"
    ),
}
NEEDED = {
    "MemoryLimit": "the memory limit",
    "PidsLimit": "the limit of processes",
    "CpuCfsQuota": "the CPU quota",
}
"""Fields of the engine's own report, and the wall that is missing where one is false."""


class EngineUnavailable(SandboxUnavailable):
    """The engine cannot be reached, or refused. The text says what mends it."""


@dataclass(frozen=True)
class ContainerState:
    """What the engine knows of a container."""

    image: str
    pid: int
    """Its first process, as the host numbers it; 0 when it has ended."""
    running: bool
    exit_code: int
    out_of_memory: bool


class Engine:
    """One engine on this machine. Methods may be called from any thread; all raise EngineUnavailable."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._checked: set[Runtime] = set()
        with self._translated():
            self._client = docker.APIClient(base_url=address, version=API_VERSION, timeout=REQUEST_SECONDS)

    def check(self, runtime: Runtime) -> None:
        """Whether the engine has what this tier needs; asked once."""
        if runtime in self._checked:
            return
        with self._translated():
            offered = str(self._client.version(api_version=False).get("ApiVersion", "0"))
            if tuple(map(int, offered.split("."))) < tuple(map(int, API_VERSION.split("."))):
                raise EngineUnavailable(
                    f"the engine speaks API {offered}, {API_VERSION} is needed: install Docker 20.10 or newer"
                )
            report = self._client.info()
        for problem in find_problems(report, runtime):
            raise EngineUnavailable(problem)
        self._checked.add(runtime)

    def ensure_image(self, image: GuestImage) -> None:
        """Load the image where the engine lacks it and we can compose it."""
        with self._translated():
            try:
                self._client.inspect_image(image.identifier)
            except ImageNotFound:
                if image.archive is None:
                    raise EngineUnavailable(
                        f"the engine has no image {image.identifier}: build or load it, see deploy/"
                    ) from None
                for line in self._client.load_image(image.archive):
                    if "error" in line:
                        raise EngineUnavailable(f"the engine refused the image: {line['error']}") from None
                self._client.inspect_image(image.identifier)

    def labels(self, image: str) -> Mapping[str, str]:
        """What an image says of itself."""
        with self._translated():
            return dict(self._client.inspect_image(image)["Config"].get("Labels") or {})

    def create(self, name: str, request: Mapping[str, Any]) -> str:
        """A container that does not run yet: its id."""
        with self._translated():
            return str(self._client.create_container_from_config(dict(request), name)["Id"])

    def attach(self, container: str) -> socket.socket:
        """The container's stdin, stdout and stderr in one stream."""
        with self._translated():
            stream = self._client.attach_socket(
                container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            )
            try:
                return socket.socket(fileno=os.dup(stream.fileno()))
            finally:
                stream.close()

    def start(self, container: str) -> None:
        """Run it."""
        with self._translated():
            self._client.start(container)

    def inspect(self, container: str) -> ContainerState | None:
        """Its state; None when it is gone."""
        with self._translated():
            try:
                document = self._client.inspect_container(container)
            except NotFound:
                return None
        state = document["State"]
        return ContainerState(
            image=str(document["Image"]),
            pid=int(state["Pid"]),
            running=bool(state["Running"]),
            exit_code=int(state["ExitCode"]),
            out_of_memory=bool(state["OOMKilled"]),
        )

    def kill(self, container: str) -> None:
        """End it. Fine when it has ended."""
        with self._translated():
            try:
                self._client.kill(container)
            except APIError as error:
                if error.status_code not in {CONFLICT, 404}:
                    raise

    def remove(self, container: str) -> None:
        """End and forget it. Fine when it is gone or going."""
        with self._translated(), suppress(NotFound):
            try:
                self._client.remove_container(container, force=True, v=True)
            except APIError as error:
                if error.status_code != CONFLICT:
                    raise

    def owned(self, label: str, value: str, also: str) -> dict[str, str]:
        """The containers, running or not, that bear this label: the value of their label `also`, by id."""
        with self._translated():
            found = self._client.containers(all=True, filters={"label": [f"{label}={value}"]})
            return {str(one["Id"]): str((one.get("Labels") or {}).get(also, "")) for one in found}

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DockerException, OSError) as error:
            self._checked.clear()
            raise EngineUnavailable(self._explain(error)) from error

    def _explain(self, error: Exception) -> str:
        if isinstance(error, APIError):
            return f"the engine refused: {error.explanation or error}"
        text = str(error)
        if "Permission denied" in text:
            return (
                f"this user may not use the Docker engine at {self._address}; sudo usermod -aG docker $USER, "
                "then log in again"
            )
        if isinstance(error, DockerException) or "No such file" in text or "refused" in text:
            return (
                f"no Docker engine answers at {self._address}; "
                "apt-get install docker.io && systemctl start docker (or set DELTANAS_DOCKER_HOST)"
            )
        return f"the Docker engine at {self._address} does not answer: {text}"


def find_problems(report: Mapping[str, Any], runtime: Runtime) -> Iterator[str]:
    """What the engine lacks for this tier, each with what mends it."""
    if report.get("OSType") != "linux":
        yield "the engine runs no Linux containers; install Docker Engine on a Linux machine"
    if runtime.value not in report.get("Runtimes", {}):
        yield f"the engine has no runtime {runtime.value}; {REMEDIES[runtime]}"
    if report.get("CgroupDriver") == "none":
        yield (
            "the engine is rootless without control groups, so no limit would hold; boot with cgroup v2 and "
            "delegate cpu, memory and pids to users (Delegate=cpu memory pids in user@.service)"
        )
    for name, wall in NEEDED.items():
        if not report.get(name):
            yield f"the engine cannot enforce {wall} ({name} is false); enable that cgroup controller"
    if not any("seccomp" in option for option in report.get("SecurityOptions") or ()):
        yield "the engine was built without seccomp; install docker.io or docker-ce instead"
