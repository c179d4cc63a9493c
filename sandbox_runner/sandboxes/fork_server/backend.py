"""The tier `namespaces` with warm starts by fork; while there is no fork server they are cold.

Both ways lead to the same sandbox with the same user, cgroup, pipes and walls, and each is proved by the same
probe: a fork server whose sandboxes fail it is never used.
"""

import logging
import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from contracts.jobs import BackendReport
from contracts.names import IsolationTier
from sandbox_runner import python_environment
from sandbox_runner.python_environment import GUEST_MEMORY_BYTES
from sandbox_runner.sandboxes import bubblewrap
from sandbox_runner.sandboxes.cgroups.files import CgroupsUnavailable, Group
from sandbox_runner.sandboxes.fork_server import kernel_calls
from sandbox_runner.sandboxes.fork_server.forked_sandbox import ForkedSandbox
from sandbox_runner.sandboxes.fork_server.server import ForkServer
from sandbox_runner.sandboxes.namespaces import START_SECONDS, NamespacesBackend, first_process_setup
from sandbox_runner.sandboxes.namespaces_sandbox import NamespacesSandbox, SandboxPipes
from sandbox_runner.sandboxes.port import DATA_INSIDE, SandboxSpec, SandboxUnavailable
from sandbox_runner.sandboxes.probe import probe_backend

logger = logging.getLogger(__name__)

PLATFORM_PROCESSES = 1
"""The first process lives in the sandbox's cgroups, too; there is no bubblewrap beside it."""
RETRY_SECONDS = 60.0
"""Fork servers are started no more often than this."""
POLL_SECONDS = 0.5
NOT_ROOT = "sandboxes are forked by a runner that is root alone; elsewhere a pool of waiting ones has to do"


@dataclass(frozen=True)
class _Way:
    """One of the two ways to start a sandbox, as the probe wants it."""

    name: str
    tier: IsolationTier
    launch: Callable[[SandboxSpec], NamespacesSandbox]


class ForkingBackend(NamespacesBackend):
    """Starts sandboxes of the tier `namespaces`: forked where that has been proved, cold elsewhere."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, environment)
        self._changed = threading.Condition()
        self._server: ForkServer | None = None
        self._retired: list[ForkServer] = []
        self._running: Counter[ForkServer] = Counter()
        self._no_data: Path | None = None
        self._is_proved = False
        self._why_cold = "no fork server has been started yet"
        self._preparation: threading.Thread | None = None
        self._next_try = 0.0
        self._is_closed = False

    def probe(self) -> BackendReport:
        """Prove that every limit and wall really holds in cold starts; then prepare forks. Never raises."""
        report = probe_backend(_Way(self.name, self.tier, super().launch))
        if report.available:
            self._prepare()
        return report

    def launch(self, spec: SandboxSpec) -> NamespacesSandbox:
        """Start a sandbox; returns when the guest's program is loaded. Raises SandboxUnavailable."""
        server = self._proved_server()
        if server is None:
            self._prepare()
            return super().launch(spec)
        return self._launch_forked(server, spec)

    @property
    def forks(self) -> bool:
        """Whether sandboxes are forked, now or as soon as the fork server serves that is being prepared."""
        with self._changed:
            return self._proved_server() is not None or self._is_preparing()

    def why_cold(self) -> str:
        """Why sandboxes start cold now; empty when they are forked."""
        with self._changed:
            return "" if self._proved_server() else self._why_cold

    def wait_until_forking(self, seconds: float) -> bool:
        """Whether sandboxes are forked within that time, for which fork servers are started if need be."""
        deadline = time.monotonic() + seconds
        while True:
            self._prepare()
            remaining = deadline - time.monotonic()
            pause = min(POLL_SECONDS, max(0.0, remaining))
            with self._changed:
                if self._changed.wait_for(lambda: self._proved_server() is not None, pause):
                    return True
            if remaining <= 0:
                return False

    def close(self) -> None:
        """Free what the backend itself holds, after its sandboxes are closed."""
        with self._changed:
            self._is_closed = True
            self._end_server()
            for server in self._retired:
                server.close()
            self._retired.clear()
        if self._preparation is not None:
            self._preparation.join()
        super().close()

    def _proved_server(self) -> ForkServer | None:
        with self._changed:
            is_fit = self._is_proved and self._server is not None and self._server.is_alive()
            return self._server if is_fit else None

    def _prepare(self) -> None:
        """Begin to start and prove a fork server, unless there is one or was one a moment ago."""
        with self._changed:
            if self._is_closed or self._is_preparing() or self._proved_server():
                return
            if time.monotonic() < self._next_try:
                return
            if os.geteuid() != 0:
                self._why_cold = NOT_ROOT
                return
            self._end_server()
            self._next_try = time.monotonic() + RETRY_SECONDS
            self._preparation = threading.Thread(
                target=self._start_and_prove, name="fork-server", daemon=True
            )
            self._preparation.start()

    def _is_preparing(self) -> bool:
        return self._preparation is not None and self._preparation.is_alive()

    def _start_and_prove(self) -> None:
        try:
            server = self._start_server()
            server.wait_until_ready()
            report = probe_backend(_Way(self.name, self.tier, partial(self._launch_forked, server)))
            with self._changed:
                self._is_proved = report.available
                self._why_cold = (
                    "the fork server has ended"  # once it has; while it lives, nobody is told
                    if report.available
                    else f"forked sandboxes fail the probe: {'; '.join(report.problems)}"
                )
                self._changed.notify_all()
        except (OSError, RuntimeError, CgroupsUnavailable, SandboxUnavailable) as error:
            self._why_cold = str(error)
        if not self._is_proved:
            logger.warning("sandboxes start cold: %s", self._why_cold)
            with self._changed:
                self._end_server()

    def _start_server(self) -> ForkServer:
        """Raises OSError, CgroupsUnavailable, SandboxUnavailable."""
        hierarchy, data_folders = self.hierarchy(), self.data_folders()
        with self._changed:
            if self._is_closed:
                raise SandboxUnavailable("the backend is closed")
            self._why_cold = "the fork server imports"
            self._no_data = data_folders.make(f"fork-server-{secrets.token_hex(4)}")
            self._server = ForkServer(hierarchy, self._no_data, self._forker.submit)
            return self._server

    def _end_server(self) -> None:
        self._is_proved = False
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._no_data is not None:
            self.data_folders().remove(self._no_data)
            self._no_data = None

    def _launch_forked(self, server: ForkServer, spec: SandboxSpec) -> NamespacesSandbox:
        began = time.monotonic()
        try:
            charged = without_what_is_shared(spec, server.memory_bytes)
            return self._launch(charged, partial(self._fork, server), PLATFORM_PROCESSES)
        except SandboxUnavailable:
            if time.monotonic() - began >= START_SECONDS:
                self._retire(server)
            raise

    def _retire(self, server: ForkServer) -> None:
        """Fork from it no more; it ends with the last sandbox that it has forked."""
        with self._changed:
            if self._server is server:
                self._why_cold = "the fork server did not answer in time"
                logger.warning("sandboxes start cold: %s", self._why_cold)
                self._server, self._is_proved = None, False
                if self._running[server]:
                    self._retired.append(server)
                else:
                    server.close()

    def _fork(
        self, server: ForkServer, spec: SandboxSpec, group: Group, data: Path, user: int | None
    ) -> NamespacesSandbox:
        """Ask for a sandbox. Raises OSError when the fork server takes no request."""
        pipes = SandboxPipes()
        try:
            program = pipes.add_file(self._filter)
            setup = {
                **first_process_setup(spec, pipes, program, user),
                "threads": spec.threads,
                "python": python_environment.python_command("")[:-1],
                "names": user_names(user),
                "process_file_system": bubblewrap.process_file_system_options(),
                "data_inside": DATA_INSIDE,
            }
            with kernel_calls.read_only_tree(str(data)) as tree:
                descriptors = {
                    "guest_read": pipes.guest_read,
                    "guest_write": pipes.guest_write,
                    "output": pipes.guest_output,
                    "status": pipes.guest_status,
                    "filter": program,
                    "data": tree,
                }
                server.fork(setup, descriptors, group.entrances)
        except BaseException:
            pipes.close()
            raise
        pipes.close_guest_ends()
        with self._changed:
            self._running[server] += 1
        return ForkedSandbox(server, pipes, group, data, lambda: self._give_back_forked(server, data, user))

    def _give_back_forked(self, server: ForkServer, data: Path, user: int | None) -> None:
        self._give_back(data, user)
        with self._changed:
            self._running[server] -= 1
            if self._running[server]:
                return
            del self._running[server]
            if server in self._retired:
                self._retired.remove(server)
                server.close()


def without_what_is_shared(spec: SandboxSpec, shared_bytes: int) -> SandboxSpec:
    """The same limits for one whose imported modules are charged to the fork server.

    A cold guest's are charged to its sandbox, which is allowed them on top. A sandbox that is too small for a
    guest has no such allowance: it runs some other program.
    """
    limits = spec.limits
    if limits.memory_bytes <= GUEST_MEMORY_BYTES:
        return spec
    return replace(spec, limits=replace(limits, memory_bytes=limits.memory_bytes - shared_bytes))


def user_names(user: int | None) -> list[tuple[str, str]]:
    """The files that give the sandbox's user its name, as after a cold start."""
    return [
        ("/etc/passwd", f"candidate:x:{user}:{user}::/tmp:/usr/sbin/nologin\n"),
        ("/etc/group", f"candidate:x:{user}:\n"),
    ]
