"""What an NVIDIA GPU needs before a sandbox can have one: driver, NVML, container toolkit."""

import ctypes
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from deltanas.cli.checks import Check

_PART = "GPU"
_NVML_SECONDS = 20.0
"""Longer than a driver takes to start that nobody has used before."""
_NVIDIA = "0x10de"
_TOOLKIT_COMMANDS = (
    "apt-get install nvidia-container-toolkit && nvidia-ctk runtime configure --runtime=docker "
    "&& systemctl restart docker"
)


def gpu_checks(pci: Path = Path("/sys/bus/pci/devices"), proc: Path = Path("/proc")) -> Iterator[Check]:
    """Look for everything, if there is a GPU at all; nothing of it is required."""
    if not (_has_card(pci) or (proc / "driver/nvidia").exists()):
        yield _check("GPU", True, "no NVIDIA GPU in this machine")
        return
    yield _driver(proc / "driver/nvidia/version")
    yield _nvml()
    toolkit = shutil.which("nvidia-ctk") or shutil.which("nvidia-container-runtime")
    yield _check("container toolkit", toolkit is not None, toolkit or "not installed", _TOOLKIT_COMMANDS)


def _check(name: str, passed: bool, found: str, remedy: str = "") -> Check:
    return Check(name, passed, found, remedy, required=False, part=_PART)


def _has_card(pci: Path) -> bool:
    for card in pci.glob("*"):
        with suppress(OSError):  # one that falls off the bus takes its files along
            # 0x03…: display controllers, 3D ones included; NVIDIA makes audio and bridges, too.
            is_display = (card / "class").read_text().startswith("0x03")
            if is_display and (card / "vendor").read_text().strip() == _NVIDIA:
                return True
    return False


def _driver(report: Path) -> Check:
    try:
        words = report.read_text().partition("\n")[0]
    except OSError:
        remedy = "apt-get install nvidia-driver, then restart the machine"
        return _check("driver", False, "its kernel module is not loaded", remedy)
    return _check("driver", True, words.removeprefix("NVRM version: ").strip())


def _nvml() -> Check:
    """What the driver's library says; a broken driver may never come back from a question."""
    found: list[Check] = []
    asking = threading.Thread(target=lambda: found.append(_ask_nvml()), name="nvml", daemon=True)
    asking.start()
    asking.join(_NVML_SECONDS)
    if found:
        return found[0]
    remedy = "look for `Xid` in the kernel's log (dmesg), then restart the machine"
    return _check("NVML", False, "the driver does not answer", remedy)


def _ask_nvml() -> Check:
    remedy = "install the driver's libraries: apt-get install libnvidia-ml1"
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return _check("NVML", False, "libnvidia-ml.so.1 is missing: GPU memory cannot be measured", remedy)
    code = library.nvmlInit_v2()
    if code != 0:
        return _check("NVML", False, f"it does not start (error {code}): look at nvidia-smi", "nvidia-smi")
    count = ctypes.c_uint()
    library.nvmlDeviceGetCount_v2(ctypes.byref(count))
    library.nvmlShutdown()
    return _check("NVML", count.value > 0, f"{count.value} GPU{'s' * (count.value != 1)}", "nvidia-smi")
