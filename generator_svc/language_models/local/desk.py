"""Where calls to local models queue: one thread takes one after another, so one model is in memory at a time.

Answers are put down for the caller as they come, and the next call is taken when the last answer is there,
whether or not the caller has fetched any: a caller may ask again while it reads.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from generator_svc.held_up import HeldUp
from generator_svc.language_models.departure import ASKER_LEFT
from generator_svc.language_models.local import blocked
from generator_svc.language_models.local.protocol import (
    Answered,
    Ended,
    Event,
    Failed,
    Ready,
    call_line,
    cancel_line,
)
from generator_svc.language_models.local.worker_process import TimeUp, WorkerProcess
from generator_svc.language_models.model_store import StoredModel
from generator_svc.language_models.port import ChatRequest, Sampling

_LOOK_SECONDS = 0.25
"""So soon it is noticed that nobody waits any more."""
_HARD_SHARE = 1.5
"""A process that does not end its answers in their time is ended when it has had so much of it."""


@dataclass(frozen=True)
class Times:
    """Seconds: to load a model, for all answers of a call, until a model that nobody uses is put away."""

    load: float
    call: float
    idle: float


@dataclass
class Call:
    """A request for answers, and where they are put. None there: no more come."""

    model: StoredModel
    requests: Sequence[ChatRequest]
    sampling: Sampling
    adapter: str | None
    outbox: "queue.SimpleQueue[Answered | HeldUp | None]" = field(default_factory=queue.SimpleQueue)
    cancelled: threading.Event = field(default_factory=threading.Event)
    ready: Ready | None = None
    """On what, and in which numbers, it is answered; known with the first answer."""

    def answers(self) -> Iterator[Answered]:
        """Each answer as it comes. Raises HeldUp. Ending the iteration early cancels the rest."""
        left = ASKER_LEFT.get()
        try:
            while left is None or not left.is_set():
                try:
                    found = self.outbox.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    continue
                if found is None:
                    return
                if isinstance(found, HeldUp):
                    raise found
                yield found
        finally:
            self.cancelled.set()


_Order = Call | Callable[[], None]


class Desk:
    """The queue, the thread that serves it, and the one process that it may have."""

    def __init__(self, start: Callable[[StoredModel], WorkerProcess], times: Times) -> None:
        """`start` raises HeldUp where a model cannot be started."""
        self._start = start
        self._times = times
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._worker: WorkerProcess | None = None
        self._leaving: threading.Event | None = None
        """Set once what was loaded when somebody last asked for it is away."""
        self._number = 0
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closing = threading.Event()

    def take(self, call: Call) -> None:
        """Queue a call."""
        self._queue(call)

    def unload(self, patience_seconds: float = 0.0) -> bool:
        """Put the model away once the calls before have ended. Waits for that, but no longer than told.

        Gives whether it is away. Who asks again meanwhile waits for the same moment. For one thread.
        """
        if self._thread is None:
            return True
        away = self._leaving
        if away is None or away.is_set():
            away = self._leaving = threading.Event()
            self._queue(lambda: self._put_away(away))
        return away.wait(patience_seconds)

    def _put_away(self, away: threading.Event) -> None:
        self._end_worker()
        away.set()

    def close(self) -> None:
        """End the thread and the process, now: calls that are queued or under way are held up."""
        self._closing.set()
        thread = self._thread
        if thread is not None:
            self._orders.put(None)
            thread.join()

    def _queue(self, order: _Order) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._serve, name="local models", daemon=True)
                self._thread.start()
        self._orders.put(order)

    def _serve(self) -> None:
        while True:
            try:
                order = self._orders.get(timeout=self._times.idle if self._worker else None)
            except queue.Empty:
                self._end_worker()
                continue
            if order is None:
                self._end_worker()
                return
            if isinstance(order, Call):
                self._answer(order)
            else:
                order()

    def _answer(self, call: Call) -> None:
        try:
            if not call.cancelled.is_set():
                self._refuse_when_closing(call.model)
                self._converse(call)
        except HeldUp as held:
            call.outbox.put(held)
        except Exception as error:  # noqa: BLE001 - this thread serves every search; one call's accident is not theirs
            self._end_worker()
            call.outbox.put(
                blocked.model_failed(call.model.manifest.name, f"{type(error).__name__}: {str(error)[:200]}")
            )
        finally:
            call.outbox.put(None)

    def _converse(self, call: Call) -> None:
        worker = self._worker_for(call.model)
        call.ready = worker.ready
        self._number += 1
        seconds = self._times.call
        self._tell(worker, call_line(self._number, call.requests, call.sampling, call.adapter, seconds))
        give_up = time.monotonic() + seconds * _HARD_SHARE
        told_to_stop = False
        waiting = {request.key for request in call.requests}
        while True:
            if call.cancelled.is_set() and not told_to_stop:
                self._tell(worker, cancel_line(self._number))
                told_to_stop = True
            event = self._hear(worker, min(give_up, time.monotonic() + _LOOK_SECONDS), give_up)
            match event:
                case Answered(number, key) if number == self._number and key in waiting:
                    waiting.discard(key)
                    call.outbox.put(event)
                case Ended(number) if number == self._number and (told_to_stop or not waiting):
                    return
                case Failed():
                    raise self._held_up(call, event)
                case None:
                    continue
                case _:
                    self._end_worker()
                    raise blocked.model_failed(
                        call.model.manifest.name, "its process answered what was not asked."
                    )

    def _tell(self, worker: WorkerProcess, line: bytes) -> None:
        try:
            worker.send(line)
        except HeldUp:
            self._worker = None
            raise

    def _hear(self, worker: WorkerProcess, until: float, give_up: float) -> Event | None:
        """The next event, None after a while without. Raises HeldUp; then the process is gone."""
        self._refuse_when_closing(worker.model)
        try:
            return worker.receive(until)
        except TimeUp:
            if time.monotonic() < give_up:
                return None
            self._end_worker()
            raise blocked.model_failed(
                worker.model.manifest.name, "its process did not keep to the time it had, and was ended."
            ) from None
        except HeldUp:
            self._worker = None
            raise

    def _worker_for(self, model: StoredModel) -> WorkerProcess:
        if self._worker is not None and self._worker.model == model:
            return self._worker
        self._end_worker()
        self._worker = self._start(model)
        give_up = time.monotonic() + self._times.load
        while (
            event := self._hear(self._worker, min(give_up, time.monotonic() + _LOOK_SECONDS), give_up)
        ) is None:
            pass
        match event:
            case Ready():
                self._worker.ready = event
                return self._worker
            case Failed(code, message):
                self._end_worker()
                raise _failure(code, message, model.manifest.name, None)
        self._end_worker()
        raise blocked.model_failed(model.manifest.name, "its process did not begin as it must.")

    def _refuse_when_closing(self, model: StoredModel) -> None:
        if self._closing.is_set():
            self._end_worker()
            raise blocked.model_failed(model.manifest.name, "the generator is ending.")

    def _held_up(self, call: Call, failed: Failed) -> HeldUp:
        if failed.lasting:
            self._end_worker()
        return _failure(failed.code, failed.message, call.model.manifest.name, call.adapter)

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None


def _failure(code: str, message: str, model: str, adapter: str | None) -> HeldUp:
    match code:
        case "out_of_memory":
            return blocked.memory_ran_out(model, message)
        case "model_not_loadable":
            return blocked.model_not_loadable(model, message)
        case "adapter_mismatch":
            return blocked.adapter_mismatch(adapter or "", model, message)
    return blocked.model_failed(model, message)
