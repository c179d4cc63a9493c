"""The GPUs of this host, each lent to one attempt at a time and looked at before it is lent again.

NVML (NVIDIA's management library) tells of them. Written against its documentation and a stand-in of its
functions: it has not run on a GPU yet. Without library, driver or device there are simply no GPUs; that is
never an error. As a GPU serves one sandbox alone, what it holds beyond the reading before is that sandbox's.
"""

import importlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event
from typing import Any, TypeVar

from sandbox_runner.sandboxes.port import SandboxUnavailable

logger = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

FIND_SECONDS = 30.0
"""For so long the driver may take to start; it does so when nobody has used it before."""
PROBE_SECONDS = 5.0
"""A driver that does not answer within this time does not answer."""
READING_SECONDS = 0.2
"""The same for a reading in the middle of an attempt, whose limits wait meanwhile."""
LOOK_AGAIN_SECONDS = 0.5
"""So often an attempt that waits for a GPU looks whether one is free."""


class Gpu:
    """One GPU, asked by whoever it is lent to. `uuid` is how the driver and a container engine name it.

    A driver may fail to come back from any question. So each is put in a thread of its own, and none while
    an earlier one is open.
    """

    def __init__(self, uuid: str, nvml: Any, memory_bytes: int = 0) -> None:
        self.uuid = uuid
        self.memory_bytes = memory_bytes
        """How much it has, whoever holds it; 0 if that is not known."""
        self._nvml = nvml
        self._asking: threading.Thread | None = None

    def used_bytes(self) -> int | None:
        """What it holds now, whoever holds it; None when it does not tell."""
        return self._ask(
            lambda: int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle()).used), READING_SECONDS
        )

    def is_idle(self, seconds: float = PROBE_SECONDS) -> bool:
        """Whether it answers and nobody computes on it: a kernel that hangs keeps its dead process there."""

        def is_unused() -> bool:
            return not self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle())

        return self._ask(is_unused, seconds) is True

    def answers(self, seconds: float = PROBE_SECONDS) -> bool:
        """Whether the driver still tells of it; not so when it fell off the bus."""
        return self._ask(self._handle, seconds) is not None and self.used_bytes() is not None

    def _handle(self) -> Any:
        return self._nvml.nvmlDeviceGetHandleByUUID(self.uuid)

    def _ask(self, question: Callable[[], _Answer], seconds: float) -> _Answer | None:
        """The driver's answer; None when it is an error, or does not come within `seconds`."""
        if self._asking is not None:
            self._asking.join(seconds)
            if self._asking.is_alive():
                return None
        answers: list[_Answer] = []

        def ask() -> None:
            with suppress(self._nvml.NVMLError):
                answers.append(question())

        self._asking = threading.Thread(target=ask, name="gpu-question", daemon=True)
        try:
            self._asking.start()
        except RuntimeError:  # the host has no thread left
            self._asking = None
            return None
        self._asking.join(seconds)
        return answers[0] if answers else None


class Gpus:
    """Lends the GPUs of this host. Safe between threads."""

    def __init__(self, gpus: tuple[Gpu, ...]) -> None:
        self._gpus = gpus
        self._lock = threading.Lock()
        self._lent: set[str] = set()

    @property
    def devices(self) -> tuple[str, ...]:
        """What a request may name: `cuda` for any of them, `cuda:N` for a certain one."""
        numbered = tuple(f"cuda:{number}" for number in range(len(self._gpus)))
        return ("cuda", *numbered) if numbered else ()

    @property
    def memory_bytes(self) -> tuple[int, ...]:
        """How much each has, in the order of their numbers."""
        return tuple(gpu.memory_bytes for gpu in self._gpus)

    @property
    def lent(self) -> int:
        """How many an attempt has now."""
        with self._lock:
            return len(self._lent)

    @contextmanager
    def lend(self, device: str, cancelled: Event, at_least_bytes: int = 0) -> Iterator[Gpu]:
        """One GPU with so much memory for one attempt, once it is free and answers.

        Raises SandboxUnavailable when cancelled.
        """
        gpu = self._wait_for(device, cancelled, at_least_bytes)
        try:
            yield gpu
        finally:
            with self._lock:
                self._lent.discard(gpu.uuid)

    def _wait_for(self, device: str, cancelled: Event, at_least_bytes: int) -> Gpu:
        """The smallest that is free comes first, so that the larger ones are there for who needs them."""
        fitting = [gpu for gpu in self._named(device) if gpu.memory_bytes >= at_least_bytes]
        while not cancelled.is_set():
            for gpu in sorted(fitting, key=lambda gpu: gpu.memory_bytes):
                if self._take(gpu):
                    return gpu
            time.sleep(LOOK_AGAIN_SECONDS)
        raise SandboxUnavailable(f"the attempt was cancelled before {device} was free")

    def _take(self, gpu: Gpu) -> bool:
        """Take a GPU that nobody has and that is idle: one with a hung kernel is set aside until it is."""
        with self._lock:
            if gpu.uuid in self._lent:
                return False
            self._lent.add(gpu.uuid)
        is_idle = gpu.is_idle()
        if not is_idle:
            logger.warning("GPU %s does not answer, or somebody computes on it: it is set aside", gpu.uuid)
            with self._lock:
                self._lent.discard(gpu.uuid)
        return is_idle

    def _named(self, device: str) -> tuple[Gpu, ...]:
        _, _, number = device.partition(":")
        return (self._gpus[int(number)],) if number else self._gpus


def find_gpus() -> Gpus:
    """This host's GPUs, where the extra `gpu` is installed and a driver is loaded.

    CUDA_VISIBLE_DEVICES leaves out the others, as it does for CUDA: by number or by UUID, empty for none.
    """
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return Gpus(())
    found: list[Gpu] = []
    looking = threading.Thread(target=_look_for_gpus, args=(nvml, found), name="gpu-search", daemon=True)
    looking.start()
    looking.join(FIND_SECONDS)
    if looking.is_alive():
        logger.warning("no GPUs: the driver does not answer")
        return Gpus(())
    return Gpus(tuple(found))


def is_visible(number: int, uuid: str, visible: str | None) -> bool:
    """Whether CUDA_VISIBLE_DEVICES, None if it is not set, names this GPU."""
    if visible is None:
        return True
    names = [name.strip() for name in visible.split(",")]
    return any(name and (name == str(number) or uuid.startswith(name)) for name in names)


def _look_for_gpus(nvml: Any, found: list[Gpu]) -> None:
    """Add those that answer: one that fell off the bus does not take the others along."""
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        logger.info("no GPUs: %s", error)
        return
    for number in range(count):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(number)
            uuid = nvml.nvmlDeviceGetUUID(handle)
            if is_visible(number, uuid, os.environ.get("CUDA_VISIBLE_DEVICES")):
                found.append(Gpu(uuid, nvml, int(nvml.nvmlDeviceGetMemoryInfo(handle).total)))
        except nvml.NVMLError as error:
            logger.warning("GPU %d is left out: %s", number, error)
