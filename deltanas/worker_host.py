"""The processes of one host of a farm: the launcher, and for each resource a runner and its agent.

A host that trains has a generator and its agent instead.

The agent alone knows the gateway and the broker. The runner, the launcher and what they start get neither
address nor token; the runner knows the token as a hash.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from contracts.dispatch import Resource
from contracts.service_gate import token_digest
from deltanas.child import Child
from deltanas.home import Home
from deltanas.services import Service, environment_of
from deltanas.supervisor import ServiceFailed

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_TICK_SECONDS = 0.2
_DEATHS_BEFORE_GIVING_UP = 3
_GRACE_SECONDS = 20.0
"""Beyond the time to drain: what gives an attempt back may have to wait for the gateway."""
_FAREWELL_SECONDS = 6.0
_LONGEST_FOLDER = 75
"""Bytes: sockets of up to 16 lie in it, and their paths have at most 100."""


class HostTaken(Exception):
    """Another agent, or a server with an agent of its own, works in this state folder."""


@dataclass(frozen=True)
class HostPlan:
    """What a host lends, and to whom."""

    gateway_address: str
    service_token: str
    broker_url: str | None
    agent_id: str | None
    slots: int | None
    """For attempts without a GPU; None: one for each core."""
    lends_cpu: bool
    gpus: tuple[str, ...]
    """UUIDs of the GPUs that are lent, one slot each."""
    runner_address: str | None
    """A runner that runs already; None: one is started for each resource."""
    drain_seconds: float
    trains: bool = False
    """Fine-tunes are lent and nothing else, by a GPU where one is leased, and else by the cores."""
    generator_address: str | None = None
    """A generator that runs already, for this agent alone; None: one is started."""

    @property
    def resources(self) -> tuple[Resource, ...]:
        """What is lent."""
        if self.trains:
            return (Resource.FINE_TUNE,)
        return (*((Resource.CPU,) if self.lends_cpu else ()), *((Resource.GPU,) if self.gpus else ()))


def services_of_a_host(plan: HostPlan, home: Path, run_folder: Path) -> tuple[list[Service], list[Service]]:
    """What serves the agents, and the agents, in the order in which they start."""
    if plan.trains:
        return _services_that_train(plan, home, run_folder)
    below: list[Service] = []
    launcher_socket = {"DELTANAS_LAUNCHER_SOCKET": str(run_folder / "launcher.sock")}
    if plan.runner_address is None:
        below.append(
            Service(
                "launcher",
                "sandbox_runner.sandboxes.docker.launcher",
                {**environment_of("launcher", home), **launcher_socket},
                None,
            )
        )
    agents = []
    for resource in plan.resources:
        kind = resource.kind
        address = plan.runner_address or f"unix:{run_folder / f'runner-{kind}.sock'}"
        if plan.runner_address is None:
            below.append(_runner(plan, resource, kind, home, address, launcher_socket))
        agents.append(_agent(plan, resource, home, {"DELTANAS_RUNNER_ADDRESS": address}))
    return below, agents


def _services_that_train(plan: HostPlan, home: Path, run_folder: Path) -> tuple[list[Service], list[Service]]:
    address = plan.generator_address or f"unix:{run_folder / 'generator.sock'}"
    served_by = {"DELTANAS_GENERATOR_ADDRESS": address}
    if plan.generator_address is not None:
        return [], [_agent(plan, Resource.FINE_TUNE, home, served_by)]
    served_by["DELTANAS_AGENT_GPUS"] = str(len(plan.gpus))
    agent = _agent(plan, Resource.FINE_TUNE, home, served_by)
    inherited = environment_of("generator", home)
    environment = {
        # It asks no endpoint for anything, so it need not know a key.
        **{name: value for name, value in inherited.items() if not name.startswith("DELTANAS_LLM_")},
        "DELTANAS_GENERATOR_ADDRESS": address,
        "DELTANAS_SERVICE_TOKEN_SHA256": token_digest(plan.service_token),
        "CUDA_VISIBLE_DEVICES": ",".join(plan.gpus),
    }
    return [Service("generator", "generator_svc", environment, address)], [agent]


def _runner(
    plan: HostPlan, resource: Resource, kind: str, home: Path, address: str, launcher: dict[str, str]
) -> Service:
    slots = len(plan.gpus) if resource is Resource.GPU else plan.slots
    environment = {
        **environment_of("runner", home),
        **launcher,
        "DELTANAS_RUNNER_ADDRESS": address,
        "DELTANAS_SERVICE_TOKEN_SHA256": token_digest(plan.service_token),
        "CUDA_VISIBLE_DEVICES": ",".join(plan.gpus if resource is Resource.GPU else ()),
        **({} if slots is None else {"DELTANAS_RUNNER_SLOTS": str(slots)}),
    }
    # Sandboxes read mounted training files under another user id; their folders are closed to others.
    return Service(f"runner-{kind}", "sandbox_runner", environment, address, umask=0o022)


def _agent(plan: HostPlan, resource: Resource, home: Path, served_by: dict[str, str]) -> Service:
    name = plan.agent_id
    if name is not None and len(plan.resources) > 1:
        name = f"{name}-{resource.kind}"
    environment = {
        **environment_of("agent", home),
        "DELTANAS_GATEWAY_ADDRESS": plan.gateway_address,
        **served_by,
        "DELTANAS_SERVICE_TOKEN": plan.service_token,
        "DELTANAS_AGENT_RESOURCE": resource.value,
        "DELTANAS_AGENT_DRAIN_SECONDS": str(plan.drain_seconds),
        **({} if name is None else {"DELTANAS_AGENT_ID": name}),
        **({} if plan.broker_url is None else {"DELTANAS_BROKER_URL": plan.broker_url}),
    }
    return Service(f"agent-{resource.kind}", "sandbox_runner.agent", environment, None)


class WorkerHost:
    """Runs these processes until it is told to end. `announce` hears, a sentence at a time, what happens."""

    def __init__(self, home: Home, plan: HostPlan, announce: Callable[[str], None]) -> None:
        self._home = home
        self._plan = plan
        self._announce = announce
        self._below: list[Child] = []
        self._agents: list[Child] = []

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP, then drain; the second signal hurries.

        Raises HostTaken, ServiceFailed.
        """
        # Blocked, not handled: they are collected one by one.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        with self._only_one_here(), _run_folder(self._home.path) as run_folder:
            below, agents = services_of_a_host(self._plan, self._home.path, run_folder)
            self._below = [Child(service, self._home.logs) for service in below]
            self._agents = [Child(service, self._home.logs) for service in agents]
            try:
                for child in (*self._below, *self._agents):
                    child.start()
                self._announce(f"agents of {self._plan.gateway_address}; logs in {self._home.logs}")
                self._serve()
                self._drain()
            finally:
                _end(self._agents)
                _end(self._below)

    @contextmanager
    def _only_one_here(self) -> Iterator[None]:
        running = self._home.running_server()
        if running:
            raise HostTaken(
                f"`deltanas up` runs in {self._home.path}, and has an agent: choose another DELTANAS_HOME"
            )
        lock = os.open(self._home.path / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except OSError as error:
                raise HostTaken(
                    f"another `deltanas agent` runs in {self._home.path}: choose another DELTANAS_HOME"
                ) from error
            yield
        finally:
            os.close(lock)

    def _serve(self) -> None:
        while not _told_to_end(_TICK_SECONDS):
            self._tend((*self._below, *self._agents))

    def _drain(self) -> None:
        """Let agents end what they run; what serves them goes on meanwhile."""
        bound = self._plan.drain_seconds
        self._announce(f"taking nothing new on; what runs has {bound:g} s to end (a second signal hurries)")
        give_up = time.monotonic() + bound + _GRACE_SECONDS
        for agent in self._agents:
            agent.terminate()
        while not all(map(_has_ended, self._agents)) and time.monotonic() < give_up:
            if _told_to_end(_TICK_SECONDS):
                self._announce("giving back what runs")
                give_up = time.monotonic() + _GRACE_SECONDS
                for agent in self._agents:
                    agent.terminate()
            self._tend(self._below)

    def _tend(self, children: Sequence[Child]) -> None:
        for child in children:
            news = child.tend()
            if news:
                self._announce(news)
            if child.quick_deaths >= _DEATHS_BEFORE_GIVING_UP:
                raise ServiceFailed(
                    f"{child.service.name} does not start; {child.log_path} ends:\n{child.last_words()}"
                )


@contextmanager
def _run_folder(home: Path) -> Iterator[Path]:
    """For the sockets, for its owner alone, and with a path short enough for a socket's name."""
    folder = home / "run-agent"
    if len(bytes(folder)) > _LONGEST_FOLDER:
        folder = Path(mkdtemp(prefix="deltanas-"))
    else:
        rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


def _end(children: Sequence[Child]) -> None:
    for child in children:
        child.terminate()
    give_up = time.monotonic() + _FAREWELL_SECONDS
    for child in children:
        child.finish(give_up - time.monotonic())


def _has_ended(child: Child) -> bool:
    if child.pid is None:
        return True
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _told_to_end(seconds: float) -> bool:
    """Wait for a signal; a child's death only cuts the wait short."""
    received = signal.sigtimedwait(_SIGNALS, seconds)
    return received is not None and received.si_signo != signal.SIGCHLD
