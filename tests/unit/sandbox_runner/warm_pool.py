"""A pool of waiting sandboxes over scripted ones, for tests that ask it for one or break it."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from fakes import ScriptedBackend, ScriptedSandbox

from contracts.measurements import Limits
from sandbox_runner.sandboxes.port import Sandbox, SandboxSpec
from sandbox_runner.starts import Starts

ONE = SandboxSpec("at-1", ("python",), Limits())
SOON = 5.0
"""Far more than anything here takes, on a busy machine too."""


class Clock:
    """Time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Pool:
    """A pool over scripted sandboxes, and what a test asks of it."""

    def __init__(
        self, most_waiting: int, backend: ScriptedBackend | None = None, most_importing: int = 1
    ) -> None:
        self.backend = backend or Backend(wait_for_a_job)
        self.clock = Clock()
        self.starts = Starts(self.backend, most_waiting, self.clock, most_importing=most_importing)

    def expect(self, spec: SandboxSpec = ONE, waiting: int = 1) -> None:
        self.starts.expect(spec)
        self.settle(waiting)

    def settle(self, waiting: int) -> None:
        eventually(lambda: self.starts.waiting() == waiting and len(self.open()) >= waiting)

    def open(self) -> list[ScriptedSandbox]:
        return [one for one in self.backend.sandboxes if not one.closed]

    def use(self, spec: SandboxSpec = ONE) -> tuple[Sandbox, bool]:
        """One attempt: its sandbox, and whether that had waited for it."""
        with self.starts.sandbox(spec) as sandbox:
            return sandbox, self.was_warm(sandbox)

    def use_at_once(self, count: int, spec: SandboxSpec = ONE) -> list[Sandbox]:
        with ExitStack() as running:
            return [running.enter_context(self.starts.sandbox(spec)) for _ in range(count)]

    def was_warm(self, sandbox: Sandbox) -> bool:
        return sandbox.spec.name.startswith("warm-")

    def warm_names(self) -> list[str]:
        return [spec.name for spec in self.backend.specs if spec.name.startswith("warm-")]


class Backend(ScriptedBackend):
    """Notes for each sandbox what it was launched for. It launches nothing while `trouble` is set."""

    trouble: Exception | None = None
    asked = 0

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self._one_at_a_time = threading.Lock()

    def launch(self, spec: SandboxSpec) -> ScriptedSandbox:
        with self._one_at_a_time:
            self.asked += 1
            if self.trouble:
                raise self.trouble
            sandbox = super().launch(spec)
            sandbox.spec = spec
            return sandbox


def wait_for_a_job(guest: ScriptedSandbox) -> None:
    guest.hear()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.002)


def for_a_while(condition: Callable[[], bool]) -> bool:
    """Whether it stays true over several of the pool's rounds."""
    deadline = time.monotonic() + 0.08
    while time.monotonic() < deadline:
        if not condition():
            return False
        time.sleep(0.005)
    return True
