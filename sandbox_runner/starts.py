"""How attempts come to their sandboxes: out of a pool that waits, fully imported, or by a cold start.

A waiting sandbox was launched like any other, for the same limits, and has run nothing but the platform's
own code; it serves one attempt and dies with it (docs/architecture.md, promise 4). The pool follows the
load: of each kind that is asked for, as many wait as were lately in use at a time. Nothing waits for a kind
that nobody asks for any more.
"""

import logging
import select
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from sandbox_runner.sandboxes.port import Sandbox, SandboxBackend, SandboxSpec, SandboxUnavailable

logger = logging.getLogger(__name__)

FORGET_SECONDS = 300.0
"""For a kind that nobody has asked for so long, no sandbox waits."""
RETRY_SECONDS = 5.0
"""The pool pauses so long after a launch that failed; and so often it looks for what to forget."""


@dataclass
class _Kind:
    """All sandboxes that differ by their names alone."""

    spec: SandboxSpec
    waiting: list[Sandbox] = field(default_factory=list)
    in_use: int = 0
    wanted: int = 1
    asked_at: float = 0.0


class Starts:
    """Starts sandboxes on one backend; at most `most_waiting` wait, and with 0 every start is cold.

    Safe between threads. `clock` is monotonic, in seconds.
    """

    def __init__(
        self, backend: SandboxBackend, most_waiting: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.backend = backend
        self._most_waiting = most_waiting
        self._clock = clock
        self._kinds: dict[Hashable, _Kind] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._launched = 0
        self._filler = threading.Thread(target=self._fill, name=f"warm-{backend.name}", daemon=True)
        if most_waiting:
            self._filler.start()

    @contextmanager
    def sandbox(self, spec: SandboxSpec) -> Iterator[Sandbox]:
        """A sandbox for one attempt, closed at the end. Raises SandboxUnavailable.

        Its guest says IMPORTED on `from_guest`, or has said so already.
        """
        with self._changed:
            kind = self._kind(spec)
            kind.in_use += 1
            kind.wanted = max(kind.wanted, kind.in_use)
        try:
            sandbox = self._take_waiting(kind) or self.backend.launch(spec)
            try:
                yield sandbox
            finally:
                sandbox.close()
        finally:
            with self._changed:
                kind.in_use -= 1

    def expect(self, spec: SandboxSpec) -> None:
        """Let a sandbox wait for such a spec before anybody asks."""
        with self._changed:
            self._kind(spec)
            self._changed.notify()

    def waiting(self) -> int:
        """How many sandboxes wait, fully imported."""
        with self._changed:
            return sum(_is_imported(one) for kind in self._kinds.values() for one in kind.waiting)

    def close(self) -> None:
        """End the waiting sandboxes and launch no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._most_waiting:
            self._filler.join()
        for kind in self._kinds.values():
            _close_all(kind.waiting)

    def _kind(self, spec: SandboxSpec) -> _Kind:
        key = (spec.argv, spec.limits, spec.threads, tuple(sorted(spec.environment.items())), spec.device)
        kind = self._kinds.setdefault(key, _Kind(spec))
        kind.asked_at = self._clock()
        return kind

    def _take_waiting(self, kind: _Kind) -> Sandbox | None:
        """The waiting sandbox that is furthest; one that still imports is quicker than a cold start, too."""
        while True:
            with self._changed:
                if not kind.waiting:
                    return None
                ready = next((one for one in kind.waiting if _is_imported(one)), kind.waiting[0])
                kind.waiting.remove(ready)
                self._changed.notify()
            if _is_alive(ready):
                return ready
            logger.warning("a waiting sandbox of %s has ended by itself", self.backend.name)
            ready.close()

    def _fill(self) -> None:
        """Keep as many waiting as are wanted: one launch at a time, and no more than fit."""
        while True:
            with self._changed:
                surplus = self._take_surplus()
                lacking = self._lacking()
                if self._closed:
                    break
                if lacking is None and not surplus:
                    self._changed.wait(RETRY_SECONDS)
                    continue
            _close_all(surplus)
            if lacking is not None and not self._launch(lacking):
                time.sleep(RETRY_SECONDS)
        _close_all(surplus)

    def _launch(self, kind: _Kind) -> bool:
        self._launched += 1
        try:
            sandbox = self.backend.launch(
                replace(kind.spec, name=f"warm-{self._launched}-{kind.spec.name}"[:100])
            )
        except SandboxUnavailable as error:
            logger.warning("no sandbox of %s could be warmed: %s", self.backend.name, error)
            return False
        with self._changed:
            kind.waiting.append(sandbox)
        return True

    def _lacking(self) -> _Kind | None:
        """The kind most recently asked for, if another of it should wait and has room."""
        lacking = [kind for kind in self._kinds.values() if len(kind.waiting) < kind.wanted]
        room = self._most_waiting - sum(len(kind.waiting) for kind in self._kinds.values())
        return max(lacking, key=lambda kind: kind.asked_at) if lacking and room > 0 else None

    def _take_surplus(self) -> list[Sandbox]:
        """Sandboxes that wait for what nobody asks any more, or in the place of what was asked later."""
        surplus: list[Sandbox] = []
        for key, kind in list(self._kinds.items()):
            if self._clock() - kind.asked_at >= FORGET_SECONDS and not kind.in_use:
                surplus += kind.waiting
                del self._kinds[key]
        by_age = sorted(self._kinds.values(), key=lambda kind: kind.asked_at)
        if (
            by_age
            and not by_age[-1].waiting
            and sum(len(kind.waiting) for kind in by_age) >= self._most_waiting
        ):
            oldest = next(kind for kind in by_age if kind.waiting)
            surplus.append(oldest.waiting.pop())
        return surplus


def _is_imported(sandbox: Sandbox) -> bool:
    """Whether the guest has said its first word; it says no other before it has a job."""
    return bool(select.select([sandbox.from_guest], [], [], 0)[0])


def _is_alive(sandbox: Sandbox) -> bool:
    try:
        return sandbox.exit() is None
    except SandboxUnavailable:
        return False


def _close_all(sandboxes: list[Sandbox]) -> None:
    while sandboxes:
        sandboxes.pop().close()
