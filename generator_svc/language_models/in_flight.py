"""Several requests at once in threads: answers as they arrive, all of them before what held the others up."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Protocol

from generator_svc.held_up import HeldUp
from generator_svc.language_models.admission import Stopped
from generator_svc.language_models.departure import ASKER_LEFT, LOOK_SECONDS
from generator_svc.language_models.port import ChatAnswer, ChatRequest


class Cuttable(Protocol):
    """Something that waits for an endpoint and can be told to stop from another thread."""

    def cut(self) -> None:
        """End it now."""
        ...


class InFlight:
    """The requests of one call. Its threads end when `stop` is called, whatever they wait for."""

    def __init__(self, requests: Sequence[ChatRequest], answer: Callable[[ChatRequest], ChatAnswer]) -> None:
        self._waiting = deque(requests)
        self._answer = answer
        self._arrived: SimpleQueue[ChatAnswer | BaseException | None] = SimpleQueue()
        self._cuttable: set[Cuttable] = set()
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    def answers(self, threads: int) -> Iterator[ChatAnswer]:
        """What arrives, then HeldUp where a request was: no new one starts then, those under way end."""
        asker_left = ASKER_LEFT.get()
        held: list[HeldUp] = []
        running = min(threads, len(self._waiting))
        for _ in range(running):
            # They may wait for an endpoint when the process ends, which does not wait for them.
            threading.Thread(target=self._work, name="endpoint-request", daemon=True).start()
        while running:
            try:
                arrived = self._arrived.get(timeout=LOOK_SECONDS)
            except Empty:
                if asker_left.is_set():
                    return
                continue
            if arrived is None:
                running -= 1
            elif isinstance(arrived, HeldUp):
                held.append(arrived)
                self._waiting.clear()
            elif isinstance(arrived, BaseException):
                raise arrived
            else:
                yield arrived
        if held:
            # What somebody has to mend says more than what may pass.
            raise min(held, key=lambda one: one.blocked.retryable) from None

    def stop(self) -> None:
        """Nobody waits for the rest: cut all that is under way."""
        self._waiting.clear()
        self.stopped.set()
        with self._lock:
            for one in self._cuttable:
                one.cut()

    def sleep(self, seconds: float) -> None:
        """Wait; raise Stopped as soon as nobody waits for what would come after."""
        if self.stopped.wait(seconds):
            raise Stopped

    @contextmanager
    def cutting(self, one: Cuttable) -> Iterator[None]:
        """While it is under way `stop` cuts it. Raises Stopped in place of what the cut breaks."""
        with self._lock:
            self._cuttable.add(one)
        try:
            if self.stopped.is_set():
                raise Stopped
            yield
        finally:
            with self._lock:
                self._cuttable.discard(one)
            if self.stopped.is_set():
                raise Stopped from None

    def _work(self) -> None:
        try:
            while True:
                try:
                    request = self._waiting.popleft()
                except IndexError:
                    return
                self._arrived.put(self._answer(request))
        except Stopped:
            return
        except BaseException as error:  # noqa: BLE001
            # Raised again where the answers are read.
            self._arrived.put(error)
        finally:
            self._arrived.put(None)
