"""What of this Python installation a guest sees, how it is started, and the fingerprint of it all.

Everything is mounted read-only and nothing is copied: the interpreter where it lies, torch and its kin
under /opt/deltanas/packages, and the guest's own source. The module search path is fixed in
the command, so nothing that a candidate writes (sitecustomize.py, torch.py, a .pth) is ever imported.
"""

import hashlib
import platform
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path

from contracts.measurements import MIB, Limits
from sandbox_runner.guest_packages import PACKAGES, package_folders, package_mounts
from sandbox_runner.sandboxes.port import ReadOnlyMount, SandboxSpec

HOME_INSIDE = "/opt/deltanas"
PACKAGES_INSIDE = f"{HOME_INSIDE}/packages"
SYSTEM_FOLDERS = ("/usr/bin", "/usr/lib64", "/usr/lib/locale")
"""Programs and libraries. Not /usr/share: Debian's data sets lie there, with their test labels."""
SYSTEM_LIBRARIES = Path("/usr/lib")
"""Mounted as a whole only where there is no folder in it for the machine's own shared libraries."""
INSTALLED_FOLDERS = ("site-packages", "dist-packages", "site-library", "node_modules")
"""What an operator has installed lies in these: private code, and data sets with their test labels."""
GUEST_MEMORY_BYTES = 512 * MIB
"""The allowance for the imported guest: anonymous memory of Python, torch and torchvision, and some slack for
a kernel that accounts differently. A candidate is measured above what was held at its first line."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
KEPT_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**32)}
"""glibc keeps the memory of freed tensors for the next ones. Else it returns every large one to the kernel,
and a training step spends up to half its CPU time on pages that are given back and faulted in anew."""

_SOURCES = Path(__file__).resolve().parent.parent
_GUEST_SOURCES = (_SOURCES / "sandbox_runner" / "guest", _SOURCES / "contracts")


def interpreter() -> str:
    """The real path of the interpreter, outside any virtual environment."""
    executable = getattr(sys, "_base_executable", sys.executable)
    return str(Path(executable).resolve())


def interpreter_mounts() -> tuple[ReadOnlyMount, ...]:
    """Programs and shared libraries of the system, the interpreter and its standard library; nothing else.

    /usr/lib, /usr/local and a home's .local hold whole applications beside them, which stay out.
    """
    own = SYSTEM_LIBRARIES / str(sysconfig.get_config_var("MULTIARCH"))
    libraries = own if own.is_dir() else SYSTEM_LIBRARIES
    seen = [libraries, *map(Path, SYSTEM_FOLDERS), Path(sysconfig.get_path("stdlib")).resolve()]
    prefix = Path(interpreter()).parent.parent
    if prefix != Path("/usr"):
        seen += [Path(interpreter()), *sorted((prefix / "lib").glob("*.so*"))]
    return tuple(ReadOnlyMount(path, str(path)) for path in _outermost(seen))


def hidden_folders() -> tuple[Path, ...]:
    """The folders of installed packages within the interpreter's mounts; a guest is to find them empty.

    The guest's own packages are mounted elsewhere, even where they come from such a folder.
    """
    mounted = [mount.host for mount in interpreter_mounts() if mount.host.is_dir()]
    above = [*mounted, *(child for folder in mounted for child in sorted(folder.iterdir()))]
    found = [folder / name for folder in above for name in INSTALLED_FOLDERS if (folder / name).is_dir()]
    real = _outermost(path.resolve() for path in found)
    return tuple(folder for folder in real if any(root in folder.parents for root in mounted))


def guest_mounts() -> tuple[ReadOnlyMount, ...]:
    """The guest's packages and its own source. Raises SandboxUnavailable when torch is not installed here."""
    sources = (
        ReadOnlyMount(folder, f"{HOME_INSIDE}/source/{folder.relative_to(_SOURCES)}")
        for folder in _GUEST_SOURCES
    )
    return (*package_mounts(PACKAGES_INSIDE), *sources)


def guest_spec(name: str, limits: Limits, threads: int, device: str | None = None) -> SandboxSpec:
    """The sandbox of one attempt: `limits.memory_bytes` and what the guest holds before the candidate begins.

    Raises SandboxUnavailable when torch is not installed here.
    """
    return SandboxSpec(
        name=name,
        argv=python_command(_boot(package_folders(PACKAGES_INSIDE))),
        limits=replace(limits, memory_bytes=limits.memory_bytes + GUEST_MEMORY_BYTES),
        threads=threads,
        environment=guest_environment(threads),
        device=device,
    )


def python_command(code: str) -> tuple[str, ...]:
    """Run `code` without site-packages and without the current folder on the module search path.

    Not `-I`: it would ignore PYTHONHASHSEED, and the environment inside is ours alone anyway.
    """
    return (interpreter(), "-s", "-S", "-P", "-c", code)


def guest_environment(threads: int) -> dict[str, str]:
    """All environment variables that a guest has."""
    return {
        "PATH": "/usr/bin",
        "HOME": "/tmp",  # noqa: S108  the sandbox's own
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        **KEPT_MEMORY,
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
    }


@cache
def environment_digest() -> str:
    """SHA-256 (hex) over interpreter, machine, package versions, variables, source of guest and contracts."""
    versions = (f"{name}=={metadata.version(name)}" for name in PACKAGES)
    variables = (f"{name}={value}" for name, value in guest_environment(threads=1).items())
    parts = [sys.version, platform.machine(), *versions, *variables, sources_digest()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def sources_digest() -> str:
    """SHA-256 (hex) over the source of guest and contracts. Guest images bear it: both sides are to agree."""
    digest = hashlib.sha256()
    for folder in _GUEST_SOURCES:
        for file in sorted(folder.rglob("*.py")):
            digest.update(str(file.relative_to(_SOURCES)).encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _boot(packages: Iterable[str]) -> str:
    return (
        "import sys, runpy\n"
        f"sys.path[:] = [{HOME_INSIDE + '/source'!r}, *sys.path, *{list(packages)!r}]\n"
        "runpy.run_module('sandbox_runner.guest', run_name='__main__', alter_sys=True)"
    )


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """The files and folders that exist, without links to folders and without what lies inside another."""
    real = [
        path for path in dict.fromkeys(paths) if path.is_file() or (path.is_dir() and not path.is_symlink())
    ]
    return [path for path in real if not any(other in path.parents for other in real)]
