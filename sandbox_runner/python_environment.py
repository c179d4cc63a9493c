"""What of this Python installation a guest sees, how it is started, and the fingerprint of it all.

Everything is mounted read-only and nothing is copied: the interpreter where it lies, the folders that hold
torch and its kin under /opt/deltanas/packages, and the guest's own source. The module search path is fixed in
the command, so nothing that a candidate writes (sitecustomize.py, torch.py, a .pth) is ever imported.
"""

import hashlib
import importlib.util
import platform
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from contracts.measurements import Limits
from sandbox_runner.sandboxes.port import ReadOnlyMount, SandboxSpec, SandboxUnavailable

HOME_INSIDE = "/opt/deltanas"
PACKAGES = ("torch", "torchvision", "numpy")
SYSTEM_FOLDERS = ("/usr/bin", "/usr/lib", "/usr/lib64", "/usr/lib32")
"""Programs and libraries. Not /usr/share: Debian's data sets lie there, with their test labels."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_SOURCES = Path(__file__).resolve().parent.parent
_GUEST_SOURCES = (_SOURCES / "sandbox_runner" / "guest", _SOURCES / "contracts")


def interpreter() -> str:
    """The real path of the interpreter, outside any virtual environment."""
    executable = getattr(sys, "_base_executable", sys.executable)
    return str(Path(executable).resolve())


def interpreter_mounts() -> tuple[ReadOnlyMount, ...]:
    """System libraries, and the interpreter's own folders where it is not the system's."""
    folders = [Path(folder) for folder in SYSTEM_FOLDERS]
    for prefix in dict.fromkeys((Path(sys.base_prefix), Path(interpreter()).parent.parent)):
        folders += [prefix / name for name in ("bin", "lib", "lib64")]
    return tuple(ReadOnlyMount(folder, str(folder)) for folder in _outermost(folders))


def guest_spec(
    name: str, limits: Limits, threads: int, data_mounts: Sequence[ReadOnlyMount] = ()
) -> SandboxSpec:
    """The sandbox of one attempt. Raises SandboxUnavailable when torch is not installed here."""
    packages = [
        ReadOnlyMount(folder, f"{HOME_INSIDE}/packages/{number}")
        for number, folder in enumerate(package_folders())
    ]
    sources = [
        ReadOnlyMount(folder, f"{HOME_INSIDE}/source/{folder.relative_to(_SOURCES)}")
        for folder in _GUEST_SOURCES
    ]
    return SandboxSpec(
        name=name,
        argv=python_command(_boot([mount.inside for mount in packages])),
        limits=limits,
        threads=threads,
        mounts=(*packages, *sources, *data_mounts),
        environment=guest_environment(threads),
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
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
    }


@cache
def package_folders() -> tuple[Path, ...]:
    """The folders that hold torch, torchvision and numpy; usually one. Raises SandboxUnavailable."""
    folders = []
    for package in PACKAGES:
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise SandboxUnavailable(f"{package} is not installed; pip install 'deltanas[runner]'")
        folders.append(Path(found.origin).resolve().parent.parent)
    return tuple(dict.fromkeys(folders))


@cache
def environment_digest() -> str:
    """SHA-256 (hex) over interpreter, machine, package versions, and the source of guest and contracts."""
    digest = hashlib.sha256()
    parts = [sys.version, platform.machine(), *(f"{name}=={metadata.version(name)}" for name in PACKAGES)]
    for part in parts:
        digest.update(part.encode() + b"\0")
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


def _outermost(folders: Iterable[Path]) -> list[Path]:
    """The folders that exist, without links and without those inside another."""
    real = dict.fromkeys(folder for folder in folders if folder.is_dir() and not folder.is_symlink())
    return [folder for folder in real if not any(other in folder.parents for other in real)]
