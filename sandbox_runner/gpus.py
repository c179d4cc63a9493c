"""The GPUs of this host, each lent to one attempt at a time and looked at before it is lent again.

NVML (NVIDIA's management library) tells of them. Written against its documentation and a stand-in of its
functions: it has not run on a GPU yet. Without library, driver or device there are simply no GPUs; that is
never an error. As a GPU serves one sandbox alone, what it holds beyond the reading before is that sandbox's.
"""

import importlib
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any

from sandbox_runner.sandboxes.port import SandboxUnavailable

logger = logging.getLogger(__name__)

PROBE_SECONDS = 5.0
"""A driver that does not answer within this time does not answer."""
LOOK_AGAIN_SECONDS = 0.5
"""So often an attempt that waits for a GPU looks whether one is free."""


@dataclass(frozen=True)
class Gpu:
    """One GPU. `uuid` is how the driver and a container engine name it."""

    uuid: str
    nvml: Any

    def used_bytes(self) -> int | None:
        """What it holds now, whoever holds it; None when it does not tell."""
        try:
            used: int = self.nvml.nvmlDeviceGetMemoryInfo(self._handle()).used
        except self.nvml.NVMLError:
            return None
        return used

    def is_idle(self, seconds: float = PROBE_SECONDS) -> bool:
        """Whether it answers and nobody computes on it.

        A kernel that hangs keeps its dead process on the list, a GPU that fell off the bus is an error, and a
        driver that does not come back is given `seconds`.
        """
        idle = threading.Event()

        def ask() -> None:
            try:
                running = self.nvml.nvmlDeviceGetComputeRunningProcesses(self._handle())
            except self.nvml.NVMLError:
                return
            if not running:
                idle.set()

        asking = threading.Thread(target=ask, name="gpu-probe", daemon=True)
        asking.start()
        asking.join(seconds)
        return idle.is_set()

    def _handle(self) -> Any:
        return self.nvml.nvmlDeviceGetHandleByUUID(self.uuid)


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

    @contextmanager
    def lend(self, device: str, cancelled: Event) -> Iterator[Gpu]:
        """One GPU for one attempt, once it is free and answers. Raises SandboxUnavailable when cancelled."""
        gpu = self._wait_for(device, cancelled)
        try:
            yield gpu
        finally:
            with self._lock:
                self._lent.discard(gpu.uuid)

    def _wait_for(self, device: str, cancelled: Event) -> Gpu:
        while not cancelled.is_set():
            for gpu in self._named(device):
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
        if gpu.is_idle():
            return True
        logger.warning("GPU %s does not answer, or somebody computes on it: it is set aside", gpu.uuid)
        with self._lock:
            self._lent.discard(gpu.uuid)
        return False

    def _named(self, device: str) -> tuple[Gpu, ...]:
        _, _, number = device.partition(":")
        return (self._gpus[int(number)],) if number else self._gpus


def find_gpus() -> Gpus:
    """This host's GPUs, where the extra `gpu` is installed and a driver is loaded."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return Gpus(())
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return Gpus(tuple(Gpu(nvml.nvmlDeviceGetUUID(handle), nvml) for handle in handles))
    except nvml.NVMLError as error:
        logger.info("no GPUs: %s", error)
        return Gpus(())
