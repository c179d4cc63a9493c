"""How process 1 of a container and its guest part: two users, and neither keeps what both were started with.

A container starts as root with STARTING_CAPABILITIES and no others. Before the guest's program is loaded, the
guest has become a user without any, and process 1 another one that can do nothing but end the guest. So the
guest reaches neither process 1 nor its streams, also under gVisor, whose /proc asks for the user alone.
Runs inside, on the bare standard library.
"""

import ctypes
import os

from sandbox_runner.sandboxes.first_process import CAPABILITY_VERSION_3, PR_CAPBSET_DROP, check, libc

PR_SET_KEEPCAPS, PR_CAPBSET_READ = 8, 23
CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP = 5, 6, 7, 8
STARTING_CAPABILITIES = ("KILL", "SETGID", "SETPCAP", "SETUID")
"""To change user and groups, to empty the bounding set, and the one that process 1 keeps."""
CAPABILITY_BITS = 64
SETS_OF_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def become_guest_user(user: int) -> None:
    """Become `user`, with no other group and no capability. Raises OSError when anything is left."""
    _empty_bounding_set()
    _change_user(user)
    _keep_capabilities(0)
    _verify(user, 0)


def become_keeper(user: int) -> None:
    """Become `user`, who may signal processes of others and nothing else. Raises OSError."""
    _empty_bounding_set()
    check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "keep capabilities")
    _change_user(user)
    _keep_capabilities(1 << CAP_KILL)
    _verify(user, 1 << CAP_KILL)


def _empty_bounding_set() -> None:
    """Nothing that is executed from now on can have a capability."""
    for capability in range(CAPABILITY_BITS):
        if libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1:
            check(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), f"drop capability {capability}")


def _change_user(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _keep_capabilities(kept: int) -> None:
    """Make the effective and the permitted set what `kept` says, and the inheritable one empty."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    check(libc.capset(header, (ctypes.c_uint32 * 6)(kept, kept)), "capset")


def _verify(user: int, kept: int) -> None:
    """See whether the kernel shows the same. Raises PermissionError."""
    if {*os.getresuid(), *os.getresgid()} != {user} or os.getgroups():
        raise PermissionError(f"the user did not become {user} alone")
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    expected = {"CapPrm": kept, "CapEff": kept}
    for name in SETS_OF_CAPABILITIES:
        shown = status.get(name, "0")  # gVisor has no ambient set
        if int(shown, 16) != expected.get(name, 0):
            raise PermissionError(f"capabilities were kept: {name} is {shown}")
