"""GPUs through a stand-in of NVML's functions; nothing here needs one, and none has run this yet."""

import importlib
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from sandbox_runner import gpus as gpus_module
from sandbox_runner.gpus import Gpu, Gpus, find_gpus
from sandbox_runner.sandboxes.port import SandboxUnavailable

GIB = 2**30


class NvmlError(Exception):
    pass


class StandInNvml:
    """pynvml's functions for GPUs in memory."""

    NVMLError = NvmlError

    def __init__(self, *uuids: str) -> None:
        self.uuids = uuids
        self.total = dict.fromkeys(uuids, 80 * GIB)
        self.lost: set[str] = set()
        self.used = 2 * GIB
        self.processes: dict[str, list[int]] = {}
        self.stuck: threading.Event | None = None

    def nvmlInit(self) -> None:
        self._answer_in_time()
        if not self.uuids:
            raise NvmlError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return self.nvmlDeviceGetHandleByUUID(self.uuids[index])

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid in self.lost:
            raise NvmlError("GPU is lost")
        return uuid

    def nvmlDeviceGetUUID(self, handle: str) -> str:
        return handle

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        self._answer_in_time()
        return SimpleNamespace(total=self.total[handle], used=self.used)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:
        self._answer_in_time()
        return [SimpleNamespace(pid=pid) for pid in self.processes.get(handle, [])]

    def _answer_in_time(self) -> None:
        if self.stuck is not None:
            self.stuck.wait(10)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> StandInNvml:
    monkeypatch.setattr(gpus_module, "LOOK_AGAIN_SECONDS", 0.005)
    return StandInNvml("GPU-a", "GPU-b")


@pytest.fixture
def gpus(nvml: StandInNvml) -> Gpus:
    return Gpus(tuple(Gpu(uuid, nvml) for uuid in nvml.uuids))


def test_a_gpu_serves_one_attempt_at_a_time(gpus: Gpus) -> None:
    cancelled = threading.Event()
    with gpus.lend("cuda", cancelled) as first, gpus.lend("cuda", cancelled) as second:
        assert {first.uuid, second.uuid} == {"GPU-a", "GPU-b"}
        threading.Timer(0.05, cancelled.set).start()
        with pytest.raises(SandboxUnavailable, match="cancelled"), gpus.lend("cuda", cancelled):
            pass
    with gpus.lend("cuda:1", threading.Event()) as again:
        assert again.uuid == "GPU-b"


def test_how_many_are_lent_is_told(gpus: Gpus) -> None:
    with gpus.lend("cuda", threading.Event()), gpus.lend("cuda", threading.Event()):
        assert gpus.lent == 2
    assert gpus.lent == 0


def test_an_attempt_gets_a_gpu_with_the_memory_that_it_asks_for(
    monkeypatch: pytest.MonkeyPatch, nvml: StandInNvml
) -> None:
    nvml.total["GPU-a"] = 24 * GIB
    monkeypatch.setattr(importlib, "import_module", lambda _: nvml)
    gpus = find_gpus()
    assert gpus.memory_bytes == (24 * GIB, 80 * GIB)
    with gpus.lend("cuda", threading.Event(), 48 * GIB) as large:
        assert large.uuid == "GPU-b"
        cancelled = threading.Event()
        threading.Timer(0.05, cancelled.set).start()
        with pytest.raises(SandboxUnavailable), gpus.lend("cuda", cancelled, 48 * GIB):
            pass  # the small one is free, and not enough
        with gpus.lend("cuda", threading.Event(), 24 * GIB) as small:
            assert small.uuid == "GPU-a"


def test_the_smallest_gpu_that_is_enough_is_lent_first(
    monkeypatch: pytest.MonkeyPatch, nvml: StandInNvml
) -> None:
    nvml.total["GPU-b"] = 24 * GIB
    monkeypatch.setattr(importlib, "import_module", lambda _: nvml)
    with find_gpus().lend("cuda", threading.Event()) as gpu:
        assert gpu.uuid == "GPU-b"


def test_a_gpu_with_a_hung_kernel_is_set_aside_until_it_is_idle(gpus: Gpus, nvml: StandInNvml) -> None:
    nvml.processes["GPU-a"] = [4711]
    with gpus.lend("cuda", threading.Event()) as gpu:
        assert gpu.uuid == "GPU-b"
    threading.Timer(0.1, nvml.processes.clear).start()
    begun = time.monotonic()
    with gpus.lend("cuda:0", threading.Event()) as gpu:
        assert gpu.uuid == "GPU-a"
        assert time.monotonic() - begun > 0.05


def test_a_lost_gpu_and_a_driver_that_does_not_come_back_are_not_idle(nvml: StandInNvml) -> None:
    gpu = Gpu("GPU-a", nvml)
    assert gpu.is_idle()
    nvml.stuck = threading.Event()
    assert not gpu.is_idle(seconds=0.05)
    nvml.stuck.set()
    nvml.lost.add("GPU-a")
    assert not gpu.is_idle()
    assert gpu.used_bytes() is None


def test_without_a_library_or_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # importing it raises ImportError
    assert find_gpus().devices == ()
    monkeypatch.setattr(importlib, "import_module", lambda _: StandInNvml())
    assert find_gpus().devices == ()


def test_with_both_a_request_may_name_any_or_a_certain_one(
    monkeypatch: pytest.MonkeyPatch, nvml: StandInNvml
) -> None:
    monkeypatch.setattr(importlib, "import_module", lambda _: nvml)
    assert find_gpus().devices == ("cuda", "cuda:0", "cuda:1")


def test_a_lost_gpu_is_left_out_and_the_others_serve(
    monkeypatch: pytest.MonkeyPatch, nvml: StandInNvml
) -> None:
    nvml.lost.add("GPU-a")
    monkeypatch.setattr(importlib, "import_module", lambda _: nvml)
    gpus = find_gpus()
    assert gpus.devices == ("cuda", "cuda:0")
    with gpus.lend("cuda", threading.Event()) as gpu:
        assert gpu.uuid == "GPU-b"


def test_a_driver_that_does_not_start_keeps_no_runner_from_starting(
    monkeypatch: pytest.MonkeyPatch, nvml: StandInNvml
) -> None:
    monkeypatch.setattr(gpus_module, "FIND_SECONDS", 0.05)
    monkeypatch.setattr(importlib, "import_module", lambda _: nvml)
    nvml.stuck = threading.Event()
    assert find_gpus().devices == ()
    nvml.stuck.set()


def test_a_driver_that_hangs_holds_up_neither_the_reader_nor_more_than_one_thread(
    monkeypatch: pytest.MonkeyPatch, nvml: StandInNvml
) -> None:
    monkeypatch.setattr(gpus_module, "READING_SECONDS", 0.01)
    gpu = Gpu("GPU-a", nvml)
    assert gpu.used_bytes() == 2 * GIB
    nvml.stuck = threading.Event()
    before = threading.active_count()
    assert [gpu.used_bytes() for _ in range(5)] == [None] * 5
    assert not gpu.is_idle(seconds=0.01)
    assert threading.active_count() == before + 1
    nvml.stuck.set()
    assert gpu.is_idle()


def test_a_host_without_a_thread_left_lends_its_gpu_later(
    monkeypatch: pytest.MonkeyPatch, gpus: Gpus, nvml: StandInNvml
) -> None:
    def refuse(_: threading.Thread) -> None:
        monkeypatch.undo()
        raise RuntimeError("can't start new thread")

    nvml.lost.add("GPU-b")
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with gpus.lend("cuda", threading.Event()) as gpu:
        assert gpu.uuid == "GPU-a"
