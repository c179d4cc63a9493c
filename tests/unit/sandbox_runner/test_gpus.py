"""GPUs through a stand-in of NVML's functions; nothing here needs one, and none has run this yet."""

import importlib
import sys
import threading
from types import SimpleNamespace

import pytest

from sandbox_runner.gpus import Gpu, GpuMeter, GpuReading, Gpus, open_gpus

GIB = 2**30


class NvmlError(Exception):
    pass


class StandInNvml:
    """pynvml's functions for GPUs in memory."""

    NVMLError = NvmlError

    def __init__(self, *uuids: str) -> None:
        self.uuids = uuids
        self.lost: set[str] = set()
        self.used = 2 * GIB
        self.processes: list[tuple[int, int | None]] = []
        self.stuck: threading.Event | None = None
        self.initialised = False

    def nvmlInit(self) -> None:
        if not self.uuids:
            raise NvmlError("Driver Not Loaded")
        self.initialised = True

    def nvmlDeviceGetCount(self) -> int:
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return self.nvmlDeviceGetHandleByUUID(self.uuids[index])

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid in self.lost or uuid not in self.uuids:
            raise NvmlError("GPU is lost")
        return uuid

    def nvmlDeviceGetUUID(self, handle: str) -> str:
        return handle

    def nvmlDeviceGetName(self, handle: str) -> str:
        return f"GPU of {handle}"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        return SimpleNamespace(total=80 * GIB, used=self.used)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:
        if self.stuck is not None:
            self.stuck.wait(10)
        return [SimpleNamespace(pid=pid, usedGpuMemory=held) for pid, held in self.processes]


@pytest.fixture
def nvml() -> StandInNvml:
    return StandInNvml("GPU-a", "GPU-b")


def test_every_gpu_is_listed_and_a_lost_one_is_left_out(nvml: StandInNvml) -> None:
    assert Gpus(nvml).all() == (
        Gpu("GPU-a", "GPU of GPU-a", 80 * GIB),
        Gpu("GPU-b", "GPU of GPU-b", 80 * GIB),
    )
    nvml.lost.add("GPU-a")
    assert [gpu.uuid for gpu in Gpus(nvml).all()] == ["GPU-b"]


def test_memory_is_that_of_the_sandbox_s_own_processes(nvml: StandInNvml) -> None:
    nvml.processes = [(10, 3 * GIB), (11, GIB), (99, 7 * GIB)]
    assert Gpus(nvml).read("GPU-a", {10, 11, 12}) == GpuReading(4 * GIB, 2 * GIB, 80 * GIB)
    assert Gpus(nvml).read("GPU-a", set()) == GpuReading(0, 2 * GIB, 80 * GIB)


def test_memory_that_the_driver_does_not_tell_is_unknown_and_not_nothing(nvml: StandInNvml) -> None:
    nvml.processes = [(10, None), (99, 7 * GIB)]
    reading = Gpus(nvml).read("GPU-a", {10})
    assert reading is not None
    assert reading.sandbox_bytes is None
    assert Gpus(nvml).read("GPU-gone", {10}) is None


def test_the_peak_is_the_highest_reading_and_unknown_without_one() -> None:
    meter = GpuMeter()
    meter.read(GpuReading(None, GIB, 80 * GIB))
    assert meter.peak_gpu_memory_bytes is None
    for held in (GIB, 5 * GIB, 2 * GIB):
        meter.read(GpuReading(held, held, 80 * GIB))
    assert (meter.peak_gpu_memory_bytes, meter.exhausted) == (5 * GIB, False)


def test_a_gpu_that_was_once_nearly_full_is_evidence_of_want() -> None:
    meter = GpuMeter()
    meter.read(GpuReading(70 * GIB, 79 * GIB, 80 * GIB))
    meter.read(GpuReading(GIB, GIB, 80 * GIB))
    assert meter.exhausted


def test_a_gpu_answers_when_nothing_of_the_ended_sandbox_is_left_on_it(nvml: StandInNvml) -> None:
    nvml.processes = [(10, GIB)]
    assert not Gpus(nvml).answers("GPU-a", {10})
    assert Gpus(nvml).answers("GPU-a", {11})
    nvml.lost.add("GPU-a")
    assert not Gpus(nvml).answers("GPU-a", set())


def test_a_driver_that_does_not_come_back_is_not_waited_for(nvml: StandInNvml) -> None:
    nvml.stuck = threading.Event()
    assert not Gpus(nvml).answers("GPU-a", set(), seconds=0.05)
    nvml.stuck.set()


def test_without_a_library_or_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # importing it raises ImportError
    nothing = open_gpus()
    assert nothing.all() == ()
    assert nothing.read("GPU-a", {1}) is None
    assert not nothing.answers("GPU-a", set())
    monkeypatch.setattr(importlib, "import_module", lambda _: StandInNvml())
    assert open_gpus().all() == ()


def test_with_both_they_are_found(monkeypatch: pytest.MonkeyPatch, nvml: StandInNvml) -> None:
    monkeypatch.setattr(importlib, "import_module", lambda _: nvml)
    assert len(open_gpus().all()) == 2
    assert nvml.initialised
