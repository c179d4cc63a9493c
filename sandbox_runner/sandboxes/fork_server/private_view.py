"""What of the file system a forked sandbox has to itself: /proc, /tmp, /dev/shm, /data, its user's name.

The rest it shares, read-only, with the fork server, whose view bubblewrap made as for a cold start. What
hides parts of /proc comes as bubblewrap's options: both starts follow one list. Standard library only.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any

from sandbox_runner.sandboxes.fork_server import kernel_calls
from sandbox_runner.sandboxes.fork_server.kernel_calls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
)

BUBBLEWRAP_COVERS = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")
"""What bubblewrap itself makes read-only in every /proc, before our own options follow."""
SHARED_NEVER = ("/proc", "/dev/shm", "/tmp")  # noqa: S108  inside
"""The fork server's own ones are taken away before the sandbox gets its own."""
_SCRATCH = "/tmp"  # noqa: S108  inside; its own until the sandbox's /tmp is mounted
_SCRATCH_BYTES = 65_536


def build_view(setup: dict[str, Any]) -> None:
    """Replace the fork server's view by the sandbox's own, in its own mount namespace. Raises OSError."""
    kernel_calls.mount("none", "/", None, MS_REC | MS_PRIVATE)
    for path in (setup["data_inside"], *SHARED_NEVER, *(path for path, _ in setup["names"])):
        kernel_calls.unmount(path)
    _write_names(setup["names"])
    for folder in ("/tmp", "/dev/shm"):  # noqa: S108  inside
        _mount_tmpfs(folder, "1777", setup["disk_bytes"])
    follow_options(setup["process_file_system"])
    kernel_calls.attach(setup["data"], setup["data_inside"])
    os.chdir("/tmp")  # noqa: S108  inside; until here this is the fork server's, which is out of reach


def follow_options(options: Sequence[str]) -> None:
    """Do what bubblewrap does with these options. Raises OSError; ValueError for an option unknown here."""
    words = iter(options)
    mode, size = "0755", 0
    for word in words:
        match word:
            case "--perms":
                mode = next(words)
            case "--size":
                size = int(next(words))
            case "--tmpfs":
                _mount_tmpfs(next(words), mode, size)
            case "--ro-bind":
                _bind_read_only(next(words), next(words))
            case "--remount-ro":
                kernel_calls.make_read_only(next(words))
            case "--proc":
                _mount_proc(next(words))
            case _:
                raise ValueError(f"bubblewrap option {word}")


def _write_names(names: Iterable[tuple[str, str]]) -> None:
    """Mount small read-only files, path and content: who the guest's user is."""
    _mount_tmpfs(_SCRATCH, "0700", _SCRATCH_BYTES)
    for number, (path, content) in enumerate(names):
        draft = f"{_SCRATCH}/{number}"
        with open(draft, "w") as file:
            file.write(content)
        os.chmod(draft, 0o444)
        _bind_read_only(draft, path)
        os.unlink(draft)
    kernel_calls.unmount(_SCRATCH)


def _mount_tmpfs(folder: str, mode: str, size: int) -> None:
    kernel_calls.mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode},size={size}")


def _mount_proc(folder: str) -> None:
    kernel_calls.mount("proc", folder, "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV)
    for path in BUBBLEWRAP_COVERS:
        if os.path.exists(path):
            _bind_read_only(path, path)


def _bind_read_only(source: str, target: str) -> None:
    kernel_calls.mount(source, target, None, MS_BIND | MS_REC)
    kernel_calls.make_read_only(target)
