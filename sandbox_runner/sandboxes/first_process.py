"""The sandbox's own process 1: drops every privilege, starts the guest, reports how it ended.

Runs inside, from a read-only mount, on the bare standard library. It says on the status pipe, one line each,
`started` once the guest's program is loaded behind every wall, or `failed TEXT`; then `exited CODE` or
`signalled NUMBER`: a code of 137 and signal 9 stay apart, which a shell's 128 + n would mix up. When it ends,
for whatever reason, the kernel ends everything else in its process namespace.
"""

import ctypes
import fcntl
import json
import os
import resource
import signal
import sys

from sandbox_runner.sandboxes import landlock

TYPE_CHECKING = False
if TYPE_CHECKING:  # this is on the path of every cold start: nothing is imported that it can do without
    from collections.abc import Callable

    Become = Callable[[dict, bytes, int], None]

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
SECCOMP_MODE_FILTER = 2
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
OPEN_TREE, AT_FDCWD, AT_RECURSIVE, OPEN_TREE_CLONE = 428, -100, 0x8000, 1
BYTES_PER_INODE = 16_384
"""What ext4 reckons with, too."""
CAPABILITY_VERSION_3 = 0x20080522
BPF_INSTRUCTION_BYTES = 8

libc = ctypes.CDLL(None, use_errno=True)


class FilterProgram(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def check(result: int, what: str) -> None:
    """Raise OSError when a C call failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends. Raises OSError."""
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "death signal")


def tmpfs_bounds(disk_bytes: int) -> str:
    """How large a tmpfs may grow, and how many files it may hold: empty ones cost kernel memory, too."""
    inodes = max(1024, min(disk_bytes // BYTES_PER_INODE, 65_536))
    return f"size={disk_bytes},nr_inodes={inodes}"


def bound_inodes(folder: str, disk_bytes: int) -> None:
    """Bound how many files a tmpfs may hold. Raises OSError."""
    flags = MS_REMOUNT | MS_NOSUID | MS_NODEV
    options = tmpfs_bounds(disk_bytes).encode()
    check(libc.mount(None, folder.encode(), None, flags, options), f"remount {folder}")


def forbid_user_namespaces() -> None:
    """Seal the user namespace that this process was started in.

    Only for a sandbox's own: the host's would be sealed for everyone. Raises OSError.
    """
    switches, flags = b"/proc/sys", MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC
    check(libc.mount(None, switches, None, flags, None), "open /proc/sys")
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")
    check(libc.mount(None, switches, None, flags | MS_RDONLY, None), "seal /proc/sys")


def hide_mount_table() -> int:
    """Move into a copy of everything mounted that belongs to no mount namespace. Raises OSError.

    In /proc/*/mountinfo (mounts, mountstats) the kernel lists what the namespace holds beneath a process's
    root: nothing from now on, where host paths stood. A process whose root is not its namespace's is refused
    user namespaces, too. The copy lives as long as the descriptor that is returned.
    """
    flags = ctypes.c_uint(OPEN_TREE_CLONE | AT_RECURSIVE | os.O_CLOEXEC)
    tree = int(libc.syscall(OPEN_TREE, AT_FDCWD, b"/", flags))
    check(tree, "open_tree")
    folder = os.getcwd()
    os.fchdir(tree)
    os.chroot(".")
    os.chdir(folder)
    return tree


def drop_privileges(uid: int | None) -> None:
    """Give up all capabilities for good and, when started as root, the user and its groups.

    `uid` None keeps the user: inside a user namespace there is no other. Raises OSError, or PermissionError
    when the kernel still shows a capability.
    """
    last = int(_read("/proc/sys/kernel/cap_last_cap"))
    for capability in range(last + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    drop_capabilities()
    status = dict(line.split(":\t", 1) for line in _read("/proc/self/status").splitlines() if ":\t" in line)
    kept = [name for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(status[name], 16)]
    if kept:
        raise PermissionError(f"capabilities were kept in {' '.join(kept)}")


def drop_capabilities() -> None:
    """Empty the effective, permitted and inheritable sets of this process."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    check(libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def load_filter(program: bytes) -> None:
    """Load the seccomp filter into this process and all that it starts."""
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    loaded = FilterProgram(len(program) // BPF_INSTRUCTION_BYTES, program)
    check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(loaded), 0, 0), "seccomp")


def set_rlimits(rlimits: dict[str, int]) -> None:
    """Lower each resource limit, soft and hard."""
    for name, wanted in rlimits.items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(number, (value, value))


def set_login(uid: int) -> None:
    """Tell the host's audit log, if there is one, whose doing this is: a guest could, and for good, else."""
    try:
        with open("/proc/self/loginuid", "w") as file:
            file.write(str(uid))
    except OSError:
        pass  # no audit in this kernel, or the runner's own login counts, which only root can change


def arrange_descriptors(setup: dict, failure: int) -> int:
    """Leave the guest its two pipes, as 3 and 4, and `failure`; returns where that is now. Raises OSError."""
    # The pipes may sit on each other's final numbers: move them out of the way first.
    pipes = [
        fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (setup["guest_read"], setup["guest_write"], failure)
    ]
    for final, fd in enumerate(pipes, start=3):
        os.dup2(fd, final)
    os.set_inheritable(5, False)
    os.closerange(6, 65_536)
    return 5


def enter_walls(setup: dict, program: bytes) -> None:
    """Give up everything that a guest may not have. Raises OSError."""
    os.setsid()
    os.umask(0o077)
    # First for the kernel to kill, on a host without memory as well; with CAP_SYS_RESOURCE for good.
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    set_login(os.getuid() if setup["uid"] is None else setup["uid"])
    set_rlimits(setup["rlimits"])
    drop_privileges(setup["uid"])
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    landlock.restrict(**setup["reach"])
    load_filter(program)


def become_guest(setup: dict, program: bytes, failure: int) -> None:
    """Turn into the guest's program. On failure says why on `failure` and ends."""
    try:
        failure = arrange_descriptors(setup, failure)
        enter_walls(setup, program)
        os.execve(setup["argv"][0], setup["argv"], setup["environment"])  # noqa: S606
    except BaseException as error:  # noqa: BLE001  whatever went wrong, no guest may run
        report_failure(failure, error)


def report_failure(failure: int, error: BaseException) -> None:
    """Say on `failure` why there is no guest, and end."""
    try:
        os.write(failure, f"{type(error).__name__}: {error}".encode()[:2000])
    finally:
        os._exit(127)


def start_guest(setup: dict, program: bytes, become: "Become") -> tuple[int, str]:
    """Fork the guest: its process id, and what failed (empty when its program runs).

    Where `become` came back, as in a fork, this returns in the guest too: then the process id is 0.
    """
    failed, failure = os.pipe()
    guest = os.fork()
    if guest == 0:
        become(setup, program, failure)
        return 0, ""
    os.close(failure)
    return guest, os.read(failed, 2000).decode(errors="replace")


def retire(status: int, tree: int, program: bytes) -> int:
    """Keep nothing here that a guest could want: no descriptor but two, no privilege, no view inside.

    Returns where `status` is now.
    """
    check(libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable")
    nothing = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    for final, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (status, tree)], start=3):
        os.dup2(fd, final)
    os.closerange(5, 65_536)
    drop_privileges(None)
    load_filter(program)
    return 3


def supervise(setup: dict, become: "Become" = become_guest) -> bool:
    """Start the guest, reap until it ends, report. True in the guest itself, where `become` came back."""
    status = setup["status"]
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    die_with_parent()
    program = os.pread(setup["filter"], 1 << 20, 0)
    for folder in setup["bounded_folders"]:
        bound_inodes(folder, setup["disk_bytes"])
    if setup["own_user_namespace"]:
        forbid_user_namespaces()
    tree = hide_mount_table()
    guest, failed = start_guest(setup, program, become)
    if guest == 0:
        return True
    if failed:
        os.write(status, f"failed {failed}\n".encode())
        return False
    status = retire(status, tree, program)
    os.write(status, b"started\n")
    while True:
        pid, ended = os.wait()
        if pid == guest:
            word = (
                f"signalled {os.WTERMSIG(ended)}"
                if os.WIFSIGNALED(ended)
                else f"exited {os.WEXITSTATUS(ended)}"
            )
            os.write(status, f"{word}\n".encode())
            return False


def main() -> None:
    """Be process 1 of one sandbox, set up as the one argument says."""
    setup = json.loads(sys.argv[1])
    try:
        supervise(setup)
    except OSError as error:
        os.write(setup["status"], f"failed {error}\n".encode()[:2000])


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
