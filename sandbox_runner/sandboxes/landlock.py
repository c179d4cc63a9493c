"""Landlock: what the guest may reach, said once more to the kernel by the guest's own process.

A second wall behind the mounts, on kernels that have it (landlock(7)); its absence is no error. Runs inside,
on the bare standard library. Whoever is restricted can neither lift it nor keep it from its children.
"""

import ctypes
import os
import stat

OLDEST_ABI = 2
"""Version 1 forbids to move any file from one folder to another, which ordinary programs do (Linux 5.19)."""

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""The same numbers on every architecture."""
GET_VERSION = 1
RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
MAKE_CHAR, MAKE_BLOCK = 64, 2048
REFER, TRUNCATE, IOCTL_DEV = 8192, 16384, 32768
ALL_OF_ABI_2 = 2 * REFER - 1
READING = READ_FILE | READ_DIR
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""The rights that a rule on something else than a folder may name."""
WRITING = (ALL_OF_ABI_2 | TRUNCATE) & ~(EXECUTE | MAKE_CHAR | MAKE_BLOCK)
"""Everything but devices and programs: what can be written cannot be started."""

BIND_TCP, CONNECT_TCP = 1, 2
SCOPE_ABSTRACT_SOCKETS, SCOPE_SIGNALS = 1, 2
NO_AUDIT_OF_REFUSALS = 1
"""LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF: a guest could flood the host's audit log otherwise."""


class _Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr of linux/landlock.h."""

    _fields_ = (
        ("file_rights", ctypes.c_uint64),
        ("network_rights", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    """struct landlock_path_beneath_attr of linux/landlock.h."""

    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def kernel_abi() -> int:
    """The version of Landlock that this kernel offers; 0 where there is none or it is switched off."""
    version = _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(GET_VERSION))
    return max(int(version), 0)


def restrict(
    execute: tuple[str, ...] = (),
    read: tuple[str, ...] = (),
    write: tuple[str, ...] = (),
    devices: tuple[str, ...] = (),
    controlled_devices: tuple[str, ...] = (),
) -> int:
    """Bind this process, and all that it starts, to these folders with all beneath them, and these files.

    `execute` can be read as well; in `write` everything is allowed but to start programs; `devices` can be
    read and written, `controlled_devices` (a GPU's) controlled by ioctl, too. What does not exist is passed
    over. Nobody outside can be signalled or reached by an abstract socket, nor any address by TCP, as far as
    the version knows these. Returns the version in force, 0 where there is none. Needs no_new_privs or
    CAP_SYS_ADMIN. Raises OSError.
    """
    abi = kernel_abi()
    if abi < OLDEST_ABI:
        return 0
    handled = handled_rights(abi)
    wanted = _Ruleset(
        handled,
        BIND_TCP | CONNECT_TCP if abi >= 4 else 0,
        SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS if abi >= 6 else 0,
    )
    ruleset = _call(
        CREATE_RULESET, ctypes.byref(wanted), ctypes.c_size_t(ruleset_bytes(abi)), ctypes.c_uint32(0)
    )
    try:
        # Names of folders give nothing away: what is mounted is the same for every guest.
        _allow(ruleset, ("/",), READ_DIR & handled)
        _allow(ruleset, execute, (READING | EXECUTE) & handled)
        _allow(ruleset, read, READING & handled)
        _allow(ruleset, write, WRITING & handled)
        _allow(ruleset, devices, (READ_FILE | WRITE_FILE) & handled)
        _allow(ruleset, controlled_devices, (READ_FILE | WRITE_FILE | IOCTL_DEV) & handled)
        flags = NO_AUDIT_OF_REFUSALS if abi >= 7 else 0
        _call(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(flags))
    finally:
        os.close(ruleset)
    return abi


def handled_rights(abi: int) -> int:
    """Every right over files that the version knows: what no rule allows is refused then."""
    return ALL_OF_ABI_2 | (TRUNCATE if abi >= 3 else 0) | (IOCTL_DEV if abi >= 5 else 0)


def ruleset_bytes(abi: int) -> int:
    """How much of the structure the version knows; an older kernel takes no more than that."""
    return 24 if abi >= 6 else 16 if abi >= 4 else 8


def _allow(ruleset: int, paths: tuple[str, ...], rights: int) -> None:
    for path in paths:
        try:
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            is_folder = stat.S_ISDIR(os.fstat(parent).st_mode)
            rule = _PathBeneath(rights if is_folder else rights & OF_FILES, parent)
            _call(
                ADD_RULE,
                ctypes.c_int(ruleset),
                ctypes.c_int(RULE_PATH_BENEATH),
                ctypes.byref(rule),
                ctypes.c_uint32(0),
            )
        finally:
            os.close(parent)


def _call(number: int, *arguments: object) -> int:
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        reason = ctypes.get_errno()
        raise OSError(reason, f"landlock: {os.strerror(reason)}")
    return int(result)
