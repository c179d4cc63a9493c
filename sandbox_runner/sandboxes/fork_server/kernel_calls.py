"""The system calls of mounts and namespaces that Python 3.11 does not offer. Standard library only."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x0002_0000, 0x0200_0000, 0x0400_0000
CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x0800_0000, 0x2000_0000, 0x4000_0000

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8

_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
"""The same numbers on every architecture: these calls are younger than the common table."""
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 1, 4
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _MountAttributes(ctypes.Structure):
    """struct mount_attr of linux/mount.h."""

    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


def unshare(flags: int) -> None:
    """Leave the namespaces of `flags` for new ones (unshare(2)). Raises OSError."""
    _check(_libc.unshare(flags), "unshare")


def set_namespace(descriptor: int) -> None:
    """Go into an open namespace (setns(2)). Raises OSError."""
    _check(_libc.setns(descriptor, 0), "setns")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """mount(2). Raises OSError."""
    arguments = (source.encode(), target.encode(), kind and kind.encode(), flags, options.encode())
    _check(_libc.mount(*arguments), f"mount {target}")


def unmount(target: str) -> None:
    """Take away what is mounted at `target`, with all that is mounted below. Raises OSError."""
    _check(_libc.umount2(target.encode(), MNT_DETACH | UMOUNT_NOFOLLOW), f"unmount {target}")


def make_read_only(target: str) -> None:
    """Allow no writing, no devices and no set-user-id programs in what is mounted there. Raises OSError."""
    _set_attributes(_AT_FDCWD, target, 0)


@contextmanager
def read_only_tree(folder: str) -> Iterator[int]:
    """The descriptor of a mount of `folder`, read-only, that is attached nowhere yet. Raises OSError."""
    flags = ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC)
    tree = int(_libc.syscall(_OPEN_TREE, _AT_FDCWD, folder.encode(), flags))
    _check(tree, f"open_tree {folder}")
    try:
        _set_attributes(tree, "", _AT_EMPTY_PATH)
        yield tree
    finally:
        os.close(tree)


def attach(tree: int, target: str) -> None:
    """Attach the mount of `read_only_tree` at `target`. Raises OSError."""
    flags = ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
    _check(_libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, target.encode(), flags), f"mount {target}")


def _set_attributes(folder: int, path: str, flags: int) -> None:
    wanted = _MountAttributes(set=_ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    result = _libc.syscall(_MOUNT_SETATTR, folder, path.encode(), flags, ctypes.byref(wanted), size)
    _check(result, f"mount_setattr {path}")


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
