"""GPUs as NVIDIA's management library (NVML) tells of them: which there are, who uses how much, who answers.

Written against NVML's documentation and a stand-in of its functions: it has not run on a GPU yet. Without
library, driver or device there are simply no GPUs; that is never an error. A sandbox is known here by the
host's ids of its processes.
"""

import importlib
import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)
NEARLY_FULL = 0.97
"""Above this share of a GPU's memory an allocation is what failed; the driver keeps the rest for itself."""
PROBE_SECONDS = 5.0


@dataclass(frozen=True)
class Gpu:
    """One GPU. `uuid` is how the driver and a container engine name it."""

    uuid: str
    name: str
    memory_bytes: int


@dataclass(frozen=True)
class GpuReading:
    """What a GPU holds now. `sandbox_bytes` is None where the driver does not tell processes apart."""

    sandbox_bytes: int | None
    used_bytes: int
    total_bytes: int


class GpuMeter:
    """The readings of one attempt, summed up. Pure."""

    def __init__(self) -> None:
        self.peak_gpu_memory_bytes: int | None = None
        """The most that the sandbox was seen to hold; None when it was never told."""
        self.exhausted = False
        """Whether the GPU was seen nearly full: then a guest may have ended for want of its memory."""

    def read(self, reading: GpuReading) -> None:
        """Take one reading."""
        if reading.sandbox_bytes is not None:
            self.peak_gpu_memory_bytes = max(self.peak_gpu_memory_bytes or 0, reading.sandbox_bytes)
        self.exhausted = self.exhausted or reading.used_bytes >= NEARLY_FULL * reading.total_bytes


class Gpus:
    """The GPUs of this host. `nvml` is the module pynvml, or what behaves like it; None: there are none."""

    def __init__(self, nvml: Any | None) -> None:
        self._nvml = nvml

    def all(self) -> tuple[Gpu, ...]:
        """Every GPU that answers, in the driver's order."""
        if self._nvml is None:
            return ()
        found = []
        for index in range(self._nvml.nvmlDeviceGetCount()):
            try:
                device = self._nvml.nvmlDeviceGetHandleByIndex(index)
                uuid, name = self._nvml.nvmlDeviceGetUUID(device), self._nvml.nvmlDeviceGetName(device)
                found.append(Gpu(uuid, name, self._nvml.nvmlDeviceGetMemoryInfo(device).total))
            except self._nvml.NVMLError as error:
                logger.warning("GPU %d does not answer: %s", index, error)
        return tuple(found)

    def read(self, uuid: str, processes: Collection[int]) -> GpuReading | None:
        """What the GPU and these processes on it hold now; None when it does not tell."""
        if self._nvml is None:
            return None
        try:
            device = self._nvml.nvmlDeviceGetHandleByUUID(uuid)
            memory = self._nvml.nvmlDeviceGetMemoryInfo(device)
            running = self._nvml.nvmlDeviceGetComputeRunningProcesses(device)
        except self._nvml.NVMLError:
            return None
        held = [process.usedGpuMemory for process in running if process.pid in processes]
        known = None if None in held else sum(held)
        return GpuReading(known, memory.used, memory.total)

    def answers(self, uuid: str, ended: Collection[int], seconds: float = PROBE_SECONDS) -> bool:
        """Whether the GPU can serve another sandbox: it tells, and none of the `ended` processes is on it.

        A kernel that hangs keeps its dead process on the list, a GPU that fell off the bus is an error, and a
        driver that does not come back is given `seconds`.
        """
        clean = threading.Event()

        def ask(nvml: Any) -> None:
            try:
                running = nvml.nvmlDeviceGetComputeRunningProcesses(nvml.nvmlDeviceGetHandleByUUID(uuid))
            except nvml.NVMLError:
                return
            if not any(process.pid in ended for process in running):
                clean.set()

        if self._nvml is None:
            return False
        asking = threading.Thread(target=ask, args=(self._nvml,), name="gpu-probe", daemon=True)
        asking.start()
        asking.join(seconds)
        return clean.is_set()


def open_gpus() -> Gpus:
    """This host's GPUs, where the extra `gpu` is installed and a driver is loaded."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return Gpus(None)
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        logger.info("no GPUs: %s", error)
        return Gpus(None)
    return Gpus(nvml)
