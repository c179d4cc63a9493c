"""One sandbox that a fork server has forked, seen from the host."""

import signal
from collections.abc import Callable
from pathlib import Path

from sandbox_runner.sandboxes.cgroups.files import Group
from sandbox_runner.sandboxes.fork_server.server import ForkServer
from sandbox_runner.sandboxes.namespaces_sandbox import NamespacesSandbox, SandboxPipes
from sandbox_runner.sandboxes.port import Exit, SandboxUnavailable


class NoChild:
    """In the place of a child of the runner, which a forked sandbox is not: its cgroup ends it."""

    def poll(self) -> int | None:
        """As if it had ended."""
        return -signal.SIGKILL

    def kill(self) -> None:
        """Nothing is left to do."""

    def wait(self, timeout: float | None = None) -> int:  # noqa: ARG002
        """As if it had been reaped."""
        return -signal.SIGKILL


class ForkedSandbox(NamespacesSandbox):
    """A running sandbox that tells the end of its fork server from its own."""

    def __init__(
        self, server: ForkServer, pipes: SandboxPipes, group: Group, data: Path, on_close: Callable[[], None]
    ) -> None:
        super().__init__(NoChild(), pipes, group, data, on_close)
        self._server = server

    def _end_without_a_word(self) -> Exit:
        if not self._server.is_alive():
            raise SandboxUnavailable("the fork server has ended, and with it all that it had forked")
        return super()._end_without_a_word()
