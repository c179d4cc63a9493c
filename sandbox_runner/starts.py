"""How attempts come to their sandboxes: out of a pool that waits, fully imported, or by a cold start.

A waiting sandbox was launched like any other, for the same limits, and has run nothing but the platform's
own code; it serves one attempt and dies with it (docs/architecture.md, promise 4). The pool follows the
load: of each kind that is asked for, as many wait as were lately in use at a time. Nothing waits for a kind
that nobody asks for any more.
"""

import logging
import os
import secrets
import select
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

from sandbox_runner.sandboxes.port import Sandbox, SandboxBackend, SandboxSpec, SandboxUnavailable

logger = logging.getLogger(__name__)

FORGET_SECONDS = 300.0
"""For a kind that nobody has asked for so long, no sandbox waits."""
MOST_WAITING_SECONDS = 600.0
"""A sandbox waits no longer, and another takes its place: what was launched for one attempt has an end of its
own, reckoned from its launch, that must never come in the middle of one."""
CORES = os.cpu_count() or 2
MOST_IMPORTING = max(1, CORES // 2)
"""So many import at a time, so that attempts keep the other cores."""
IMPORT_LOOK_SECONDS = 0.2
"""So often the pool looks whether the last one has finished importing."""
RETRY_SECONDS = 5.0
"""The pool pauses so long after a launch that failed; and so often it looks for what to forget or replace."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A sandbox that waits for an attempt."""

    sandbox: Sandbox
    since: float


@dataclass
class _Kind:
    """All sandboxes that differ by their names alone."""

    spec: SandboxSpec
    counted_since: float
    waiting: list[_Waiting] = field(default_factory=list)
    in_use: int = 0
    most_in_use: int = 1
    most_in_use_before: int = 1
    asked_at: float = 0.0

    @property
    def wanted(self) -> int:
        """How many were in use at a time, in this period of FORGET_SECONDS or in the one before."""
        return max(self.most_in_use, self.most_in_use_before)

    def count(self, now: float) -> None:
        """Take notice of how many are in use."""
        if now - self.counted_since >= FORGET_SECONDS:
            self.most_in_use_before, self.most_in_use = self.most_in_use, max(1, self.in_use)
            self.counted_since = now
        self.most_in_use = max(self.most_in_use, self.in_use)


class Starts:
    """Starts sandboxes on one backend; at most `most_waiting` wait, and with 0 every start is cold.

    Safe between threads. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        backend: SandboxBackend,
        most_waiting: int,
        clock: Callable[[], float] = time.monotonic,
        on_trouble: Callable[[], None] = lambda: None,
        most_importing: int = MOST_IMPORTING,
    ) -> None:
        """`on_trouble` is called, from any thread, when the platform fails to start or to keep a sandbox."""
        self.backend = backend
        self.environment_digest = ""
        """Of the sandbox that was launched last, or as the probe found it: what guests run on there."""
        self._on_trouble = on_trouble
        self._most_waiting = most_waiting
        self._most_importing = most_importing
        self._clock = clock
        self._kinds: dict[Hashable, _Kind] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._filler = threading.Thread(target=self._fill, name=f"warm-{backend.name}", daemon=True)
        if most_waiting:
            self._filler.start()

    @contextmanager
    def sandbox(self, spec: SandboxSpec) -> Iterator[Sandbox]:
        """A sandbox for one attempt, closed at the end. Raises SandboxUnavailable.

        Its guest says IMPORTED on `from_guest`, or has said so already.
        """
        try:
            with self._sandbox(spec) as sandbox:
                yield sandbox
        except SandboxUnavailable:
            self._on_trouble()
            raise

    @contextmanager
    def _sandbox(self, spec: SandboxSpec) -> Iterator[Sandbox]:
        if not self._most_waiting:
            with closing(self._launch(spec)) as sandbox:
                yield sandbox
            return
        with self._changed:
            kind = self._kind(spec)
            kind.in_use += 1
            kind.count(self._clock())
        try:
            with closing(self._take_waiting(kind) or self._launch(spec)) as sandbox:
                yield sandbox
        finally:
            with self._changed:
                kind.in_use -= 1

    def _launch(self, spec: SandboxSpec) -> Sandbox:
        sandbox = self.backend.launch(spec)
        self.environment_digest = sandbox.environment_digest
        return sandbox

    def expect(self, spec: SandboxSpec) -> None:
        """Let a sandbox wait for such a spec before anybody asks."""
        with self._changed:
            self._kind(spec)
            self._changed.notify()

    def waiting(self) -> int:
        """How many sandboxes wait, fully imported."""
        with self._changed:
            return sum(_is_imported(one.sandbox) for kind in self._kinds.values() for one in kind.waiting)

    def close(self) -> None:
        """End the waiting sandboxes and launch no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._most_waiting:
            self._filler.join()
        with self._changed:
            left = [one for kind in self._kinds.values() for one in kind.waiting]
            self._kinds.clear()
        _close_all(left)

    def _kind(self, spec: SandboxSpec) -> _Kind:
        key = (spec.argv, spec.limits, spec.threads, tuple(sorted(spec.environment.items())), spec.device)
        now = self._clock()
        kind = self._kinds.setdefault(key, _Kind(spec, counted_since=now))
        kind.asked_at = now
        return kind

    def _take_waiting(self, kind: _Kind) -> Sandbox | None:
        """The waiting sandbox that is furthest; one that still imports is quicker than a cold start, too."""
        while True:
            with self._changed:
                if not kind.waiting:
                    return None
                chosen = next((one for one in kind.waiting if _is_imported(one.sandbox)), kind.waiting[0])
                kind.waiting.remove(chosen)
                self._changed.notify()
            if self._is_fit(chosen):
                return chosen.sandbox
            _close_all([chosen])

    def _fill(self) -> None:
        """Keep as many waiting as are wanted: one launch at a time, and no more than fit."""
        while not self._closed:
            with self._changed:
                surplus, lacking = self._take_surplus(), self._lacking()
            _close_all(surplus)
            if lacking is None:
                self._wait_for_demand()
                trouble = self._replace_unfit()
            else:
                trouble = not self._warm(lacking)
            if trouble:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, RETRY_SECONDS)

    def _wait_for_demand(self) -> None:
        with self._changed:
            seconds = IMPORT_LOOK_SECONDS if self._importing() else RETRY_SECONDS
            self._changed.wait_for(lambda: self._closed or self._lacking() is not None, seconds)

    def _warm(self, kind: _Kind) -> bool:
        """Let another one wait. Says whether it could be launched."""
        since = self._clock()
        try:
            sandbox = self._launch(replace(kind.spec, name=f"warm-{secrets.token_hex(6)}"))
        except SandboxUnavailable as error:
            logger.warning("no sandbox of %s could be warmed: %s", self.backend.name, error)
            self._on_trouble()
            return False
        except Exception:
            logger.exception("no sandbox of %s could be warmed", self.backend.name)
            return False
        with self._changed:
            kind.waiting.append(_Waiting(sandbox, since))
        return True

    def _lacking(self) -> _Kind | None:
        """The kind most recently asked for, if another of it should wait and has room."""
        lacking = [kind for kind in self._by_age() if len(kind.waiting) < self._wanted(kind)]
        may_import = self._importing() < self._most_importing
        return lacking[-1] if lacking and may_import and self._room() > 0 else None

    def _wanted(self, kind: _Kind) -> int:
        """None should wait where a start costs no import."""
        return 0 if self.backend.forks else kind.wanted

    def _importing(self) -> int:
        return sum(not _is_imported(one.sandbox) for kind in self._kinds.values() for one in kind.waiting)

    def _take_surplus(self) -> list[_Waiting]:
        """Sandboxes that wait for what nobody asks any more, or in the place of what was asked later."""
        surplus: list[_Waiting] = []
        now = self._clock()
        for key, kind in list(self._kinds.items()):
            kind.count(now)
            if now - kind.asked_at >= FORGET_SECONDS and not kind.in_use:
                surplus += kind.waiting
                del self._kinds[key]
                continue
            while len(kind.waiting) > self._wanted(kind):
                surplus.append(kind.waiting.pop())
        by_age = self._by_age()
        if by_age and not by_age[-1].waiting and self._room() <= 0:
            oldest = next(kind for kind in by_age if kind.waiting)
            surplus.append(oldest.waiting.pop())
        return surplus

    def _by_age(self) -> list[_Kind]:
        """The kind asked for most recently comes last."""
        return sorted(self._kinds.values(), key=lambda kind: kind.asked_at)

    def _room(self) -> int:
        return self._most_waiting - sum(len(kind.waiting) for kind in self._kinds.values())

    def _replace_unfit(self) -> bool:
        """Close what cannot be handed out any more. Says whether there was any."""
        with self._changed:
            held = [(kind, one) for kind in self._kinds.values() for one in kind.waiting]
        unfit = [(kind, one) for kind, one in held if not self._is_fit(one)]
        with self._changed:
            ours = [(kind, one) for kind, one in unfit if one in kind.waiting]
            for kind, one in ours:
                kind.waiting.remove(one)
        _close_all([one for _, one in ours])
        return bool(ours)

    def _is_fit(self, waiting: _Waiting) -> bool:
        """Whether it lives, and has not waited for too long."""
        try:
            ended = waiting.sandbox.exit() is not None
        except (SandboxUnavailable, OSError):  # or the host cannot look: it is not handed out like that
            ended = True
        if ended:
            logger.warning("a waiting sandbox of %s has ended by itself", self.backend.name)
        return not ended and self._clock() - waiting.since < MOST_WAITING_SECONDS


def _is_imported(sandbox: Sandbox) -> bool:
    """Whether the guest has said its first word; it says no other before it has a job."""
    poll = select.poll()
    poll.register(sandbox.from_guest, select.POLLIN)
    return bool(poll.poll(0))


def _close_all(waiting: Iterable[_Waiting]) -> None:
    for one in waiting:
        try:
            one.sandbox.close()
        except Exception:
            logger.exception("a waiting sandbox could not be closed")
