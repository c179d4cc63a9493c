"""The system calls that a guest may make: what CPython and torch need, and nothing else. Data alone.

Default deny. Denied calls fail with EPERM, so that a candidate gets a prompt, ordinary error. `clone3` and
`openat2` hide their flags from a filter: they fail with ENOSYS and the C library falls back to `clone` and
`openat`. Other instruction sets of the machine (i386, x32) end the process. `seccomp` renders this policy.
"""

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass

ALLOWED = {
    "files": """
        access chdir chmod close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
        fadvise64 fallocate fchdir fchmod fchmodat fdatasync fgetxattr flistxattr flock fstat
        fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr lgetxattr link linkat
        listxattr llistxattr lseek lstat mkdir mkdirat newfstatat open openat pread64 preadv preadv2
        pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename renameat renameat2
        rmdir sendfile stat statfs statx symlink symlinkat truncate umask unlink unlinkat utime
        utimensat utimes write writev""",
    "waiting": """
        epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 pipe
        pipe2 poll ppoll pselect6 select signalfd signalfd4 timerfd_create timerfd_gettime
        timerfd_settime""",
    "memory": """
        brk madvise membarrier mincore mlock mlock2 mlockall mprotect mremap msync munlock munlockall
        munmap""",
    "processes": """
        arch_prctl capget execve exit exit_group fork futex get_robust_list get_thread_area getcpu
        getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid
        getresuid getrlimit getrusage getsid gettid getuid kill pidfd_open pidfd_send_signal
        restart_syscall rseq sched_get_priority_max sched_get_priority_min sched_getaffinity
        sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_yield
        set_robust_list set_tid_address setpgid setsid tgkill tkill vfork wait4 waitid""",
    "signals and time": """
        alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep pause
        rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
        rt_sigtimedwait rt_tgsigqueueinfo setitimer sigaltstack time timer_create timer_delete
        timer_getoverrun timer_gettime timer_settime times""",
    "unix sockets": """
        accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg
        sendmmsg sendmsg sendto shutdown""",
    "the machine": """
        getrandom sysinfo uname""",
}
"""By purpose, whatever their arguments. What is restricted by argument stands in `RESTRICTED`."""

ALLOWED_ON_GPU = {"memory beside a GPU": "get_mempolicy mbind set_mempolicy"}
"""CUDA places memory near its device."""

ALLOWED_AT_START = {
    "giving up rights": """
        capset landlock_add_rule landlock_create_ruleset landlock_restrict_self setgroups setresgid
        setresuid"""
}
"""What a container's process 1 needs beyond the guest's policy, with `RESTRICTED_AT_START`."""

HIDDEN_FLAGS = ("clone3", "openat2")

INT = 0xFFFFFFFF
"""The kernel looks at the lower 32 bits alone of an argument whose C type is int; so does the policy."""
POINTER = 0xFFFFFFFF_FFFFFFFF

CLONE_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET (sched.h); NEWTIME needs clone3."""

FCNTLS = (*range(6), 8, 9, 10, 11, 15, 16, 36, 1030, 1031, 1032, 1033, 1034)
"""Descriptors, flags, owners, pipe sizes, seals, a look at record locks (linux/fcntl.h). No record locks:
their number has no limit, and the kernel counts their memory to nobody (flock(2) is bounded by open files).
No leases and no notification: both reach through a read-only mount to whoever else uses the file."""

SOCKET_OPTIONS = (2, 3, 4, 6, 7, 8, 9, 13, 16, 17, 18, 19, 20, 21, 28, 29, 31, 34, 38, 39)
"""Of SOL_SOCKET: sizes, time-outs, credentials, reads (asm-generic/socket.h). No packet filters: they are
programs for the kernel."""

IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS (isatty), TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. TIOCSTI is not among them."""

PRCTLS = (1, 2, 3, 4, 15, 16, 21, 23, 29, 30, 36, 37, 38, 39, 40, 41, 42, 0x53564D41)
"""Death signal, dumpable, thread name, reads of seccomp and bounding set, timer slack, subreaper,
no_new_privs, thread id address, huge pages, naming of memory areas (linux/prctl.h)."""

MAP_HUGETLB, MFD_HUGETLB = 0x40000, 0x4
"""Reserved huge pages are not counted to a memory limit (linux/mman.h, linux/memfd.h)."""

PRIO_PROCESS, ITSELF = 0, 0

PR_SET_KEEPCAPS, PR_SET_SECCOMP, PR_CAPBSET_DROP = 8, 22, 24
SECCOMP_MODE_FILTER = 2


@dataclass(frozen=True)
class Condition:
    """The bits under `mask` of a call's argument (counted from 0) are those of `value`."""

    argument: int
    mask: int
    value: int


@dataclass(frozen=True)
class Rule:
    """A call is allowed when all `conditions` hold."""

    call: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Policy:
    """What a filter lets through. Everything else fails with `refused`."""

    allowed: Mapping[str, tuple[str, ...]]
    """Calls by purpose, whatever their arguments."""
    restricted: tuple[Rule, ...]
    absent: tuple[str, ...]
    """Calls that fail with ENOSYS, as on a kernel that lacks them."""
    refused: int = errno.EPERM


def _number(argument: int, value: int) -> Condition:
    return Condition(argument, INT, value)


RESTRICTED = (
    Rule("clone", (Condition(0, CLONE_NEW_NAMESPACES, 0),)),
    *(Rule(call, (_number(0, socket.AF_UNIX),)) for call in ("socket", "socketpair")),
    *(Rule("ioctl", (_number(1, request),)) for request in IOCTLS),
    *(Rule("prctl", (_number(0, option),)) for option in PRCTLS),
    *(Rule("fcntl", (_number(1, command),)) for command in FCNTLS),
    *(Rule("setsockopt", (_number(1, socket.SOL_SOCKET), _number(2, option))) for option in SOCKET_OPTIONS),
    Rule("mmap", (Condition(3, MAP_HUGETLB, 0),)),
    Rule("memfd_create", (Condition(1, MFD_HUGETLB, 0),)),
    # Of itself alone: process 1 of a user namespace has the guest's own user, and could be starved.
    Rule("setpriority", (_number(0, PRIO_PROCESS), _number(1, ITSELF))),
    Rule("sched_setaffinity", (_number(0, ITSELF),)),
    # Limits can be read only: RLIMIT_CORE must stay what it is (see `namespaces`).
    Rule("prlimit64", (Condition(2, POINTER, 0),)),
)

RESTRICTED_ON_GPU = (
    Rule("ioctl", (Condition(1, 0xFF00, ord("F") << 8),)),  # NV_IOCTL_MAGIC: /dev/nvidiactl, /dev/nvidia0
    Rule("ioctl", (Condition(1, INT & ~0xFF, 0),)),  # UVM_IOCTL_BASE: /dev/nvidia-uvm numbers its own from 1
    *(Rule("ioctl", (_number(1, request),)) for request in (0x30000001, 0x30000002)),  # UVM_(DE)INITIALIZE
)
"""A filter sees numbers, never which device a descriptor stands for: these requests pass on every file that
the guest can open, and what they do on the NVIDIA devices is for the driver alone to check."""

RESTRICTED_AT_START = (
    Rule("prctl", (_number(0, PR_SET_SECCOMP), _number(1, SECCOMP_MODE_FILTER))),
    Rule("prctl", (_number(0, PR_CAPBSET_DROP),)),
    Rule("prctl", (_number(0, PR_SET_KEEPCAPS),)),
)
"""To load the guest's own filter, which forbids all of this, and to become another user with fewer
capabilities. Whatever else process 1 does (no_new_privs, dumpable, setsid, reading limits) a guest may do,
too."""


def guest_policy(gpu: bool = False) -> Policy:
    """What the guest itself may call; `gpu` where a GPU was given to it."""
    return Policy(
        allowed=_by_purpose(ALLOWED | ALLOWED_ON_GPU if gpu else ALLOWED),
        restricted=RESTRICTED + RESTRICTED_ON_GPU if gpu else RESTRICTED,
        absent=HIDDEN_FLAGS,
    )


def container_policy(gpu: bool = False) -> Policy:
    """What a container may call until its process 1 has loaded the filter of `guest_policy`.

    Given no-new-privileges, runc loads it right before execve: what it does in between a guest may do, too.
    """
    guest = guest_policy(gpu)
    return Policy(
        allowed={**guest.allowed, **_by_purpose(ALLOWED_AT_START)},
        restricted=guest.restricted + RESTRICTED_AT_START,
        absent=guest.absent,
        refused=guest.refused,
    )


def _by_purpose(calls: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {purpose: tuple(names.split()) for purpose, names in calls.items()}
