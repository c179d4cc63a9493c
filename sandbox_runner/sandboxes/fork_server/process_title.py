"""Gives a forked process the command line and environment that /proc shows of a started one.

An operator's `ps` then tells a guest from the fork server, and a guest reads of itself what it would read
after a cold start. Standard library only.
"""

import ctypes
import mmap
import os
import struct
from collections.abc import Mapping, Sequence

_PR_SET_MM, _PR_SET_MM_MAP = 35, 14
_MEMORY_MAP = struct.Struct("@12Q2I")
"""struct prctl_mm_map of linux/prctl.h; its last three fields are left as they are."""
_KEEP_PROGRAM = 0xFFFF_FFFF
_SEGMENTS = (26, 27, 45, 46, 47)
"""Fields of /proc/self/stat, counted from 1 as in proc(5): code, data, and where the heap begins."""
_STACK = 28

_libc = ctypes.CDLL(None, use_errno=True)
_libc.sbrk.restype = ctypes.c_void_p
_kept: list[mmap.mmap] = []
"""The kernel reads the words from here for as long as the process lives."""


def set_title(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Show `command` and `environment` under /proc/self. Raises OSError."""
    words = b"".join(word.encode() + b"\0" for word in command)
    variables = b"".join(f"{name}={value}".encode() + b"\0" for name, value in environment.items())
    # Private: the kernel shows a command line only out of anonymous memory.
    area = mmap.mmap(-1, len(words) + len(variables) + 1, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.write(words + variables)
    _kept.append(area)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(area))
    middle, end = begin + len(words), begin + len(words) + len(variables)
    fields = _stat_fields()
    segments = (int(fields[number - 3]) for number in _SEGMENTS)
    heap_end = _libc.sbrk(ctypes.c_ssize_t(0))
    stack = int(fields[_STACK - 3])
    wanted = _MEMORY_MAP.pack(*segments, heap_end, stack, begin, middle, middle, end, 0, 0, _KEEP_PROGRAM)
    if _libc.prctl(_PR_SET_MM, _PR_SET_MM_MAP, wanted, ctypes.c_ulong(len(wanted)), 0) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"process title: {os.strerror(number)}")


def _stat_fields() -> list[str]:
    """From the third on: the second, a name in brackets, may hold spaces."""
    with open("/proc/self/stat") as file:
        return file.read().rpartition(") ")[2].split()
