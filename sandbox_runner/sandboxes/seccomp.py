"""The system calls that a candidate may make: what CPython and torch on a CPU need, and nothing else.

Default deny. Denied calls fail with EPERM, so that a candidate gets a prompt, ordinary error. `clone3` and
`openat2` hide their flags from a filter: they fail with ENOSYS and the C library falls back to `clone` and
`openat`. Other instruction sets of the machine (i386, x32) end the process. What a GPU would need
(`ioctl` on the NVIDIA devices, `mbind`, `get_mempolicy`) is left out; it belongs into a filter of its own.
"""

import errno
import os
import socket
import tempfile

from sandbox_runner.sandboxes.port import SandboxUnavailable

try:
    import pyseccomp
except (ImportError, RuntimeError, OSError) as error:  # it looks for the C library when imported
    IMPORT_PROBLEM: str | None = f"libseccomp cannot be used ({error}); apt-get install libseccomp2"
else:
    IMPORT_PROBLEM = None

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
        brk madvise membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap msync
        munlock munlockall munmap""",
    "processes": """
        arch_prctl capget execve exit exit_group fork futex get_robust_list get_thread_area getcpu
        getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid
        getresuid getrlimit getrusage getsid gettid getuid kill pidfd_open pidfd_send_signal
        restart_syscall rseq sched_get_priority_max sched_get_priority_min sched_getaffinity
        sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
        sched_yield set_robust_list set_tid_address setpgid setpriority setsid tgkill tkill vfork
        wait4 waitid""",
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
"""By purpose. `clone`, `fcntl`, `ioctl`, `prctl`, `prlimit64`, `setsockopt`, `socket` and `socketpair` are
restricted by argument below."""

HIDDEN_FLAGS = ("clone3", "openat2")

CLONE_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET (sched.h); NEWTIME needs clone3."""

FCNTLS = (*range(12), 15, 16, 36, 37, 38, 1030, 1031, 1032, 1033, 1034)
"""Descriptors, flags, owners, locks of every kind, pipe sizes, seals (linux/fcntl.h). No leases and no
notification: both reach through a read-only mount to whoever else uses the file."""

SOCKET_OPTIONS = (2, 3, 4, 6, 7, 8, 9, 13, 16, 17, 18, 19, 20, 21, 28, 29, 31, 34, 38, 39)
"""Of SOL_SOCKET: sizes, time-outs, credentials, reads (asm-generic/socket.h). No packet filters: they are
programs for the kernel."""

IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS (isatty), TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. TIOCSTI is not among them."""

PRCTLS = (1, 2, 3, 4, 15, 16, 21, 23, 29, 30, 36, 37, 38, 39, 40, 41, 42, 0x53564D41)
"""Death signal, dumpable, thread name, reads of seccomp and bounding set, timer slack, subreaper,
no_new_privs, thread id address, huge pages, naming of memory areas (linux/prctl.h)."""


def compile_filter() -> bytes:
    """The filter as classic BPF, for the machine's native architecture.

    Raises SandboxUnavailable when libseccomp is missing.
    """
    if IMPORT_PROBLEM:
        raise SandboxUnavailable(IMPORT_PROBLEM)
    policy = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    policy.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    for name in sorted(" ".join(ALLOWED.values()).split()):
        if _exists(name):
            policy.add_rule(pyseccomp.ALLOW, name)
    for name in HIDDEN_FLAGS:
        if _exists(name):
            policy.add_rule(pyseccomp.ERRNO(errno.ENOSYS), name)
    policy.add_rule(pyseccomp.ALLOW, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_NEW_NAMESPACES, 0))
    for call in ("socket", "socketpair"):
        policy.add_rule(pyseccomp.ALLOW, call, _number(0, socket.AF_UNIX))
    for request in IOCTLS:
        policy.add_rule(pyseccomp.ALLOW, "ioctl", _number(1, request))
    for option in PRCTLS:
        policy.add_rule(pyseccomp.ALLOW, "prctl", _number(0, option))
    for command in FCNTLS:
        policy.add_rule(pyseccomp.ALLOW, "fcntl", _number(1, command))
    for option in SOCKET_OPTIONS:
        policy.add_rule(pyseccomp.ALLOW, "setsockopt", _number(1, socket.SOL_SOCKET), _number(2, option))
    # Limits can be read only: RLIMIT_CORE must stay what it is (see `namespaces`).
    policy.add_rule(pyseccomp.ALLOW, "prlimit64", pyseccomp.Arg(2, pyseccomp.EQ, 0))
    return _export(policy)


def _number(argument: int, value: int) -> "pyseccomp.Arg":
    """An argument of C type int has this value. The kernel looks at its lower 32 bits alone, so we do."""
    return pyseccomp.Arg(argument, pyseccomp.MASKED_EQ, 0xFFFFFFFF, value)


def _exists(name: str) -> bool:
    """Whether this architecture has the call: aarch64, for one, lacks `open` and `fork`."""
    return pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) >= 0


def _export(policy: "pyseccomp.SyscallFilter") -> bytes:
    with tempfile.TemporaryFile() as file:
        policy.export_bpf(file)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        return file.read()
