"""What the probe runs inside its sandboxes: tries each wall and prints, as JSON lines, what it found.

Runs on the bare standard library, as a candidate would. One scene a sandbox, so that a limit which ends the
whole sandbox is proved as well as one that ends a process. Where the host has to look, or to let others go
first, a scene says `hold` and waits for a byte. What is not refused is called `allowed`; the host concludes.
"""

import ctypes
import errno
import json
import os
import platform
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from functools import partial

TEMPORARY = ("/tmp", "/dev/shm")  # noqa: S108  the sandbox's own
FILL_BYTES = 1 << 18
MOST_FILES = 5000
SYSTEM_FOLDERS = ("/", "/etc", "/usr", "/usr/bin", "/dev", "/proc", "/data", "/opt/deltanas")
SWITCHES = ("/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs")
HOST_DEVICES = (
    "mem",
    "kmem",
    "port",
    "kmsg",
    "kvm",
    "fuse",
    "loop-control",
    "sda",
    "vda",
    "nvme0n1",
    "net/tun",
)

NEW_USERS, NEW_MOUNTS, NEW_NETWORK, NEW_PROCESSES = 0x1000_0000, 0x0002_0000, 0x4000_0000, 0x2000_0000
GET_SECCOMP, GET_NO_NEW_PRIVS = 21, 39
CALLS: dict[str, tuple[int, int, tuple[int | bytes, ...]]] = {
    # name: number on x86-64, number on aarch64, arguments that the kernel would take or fault on
    "ptrace": (101, 117, (0, 0, 0, 0)),
    "unshare users": (272, 97, (NEW_USERS,)),
    "unshare mounts": (272, 97, (NEW_MOUNTS,)),
    "unshare network": (272, 97, (NEW_NETWORK,)),
    "unshare processes": (272, 97, (NEW_PROCESSES,)),
    "setns": (308, 268, (0, 0)),
    "mount": (165, 40, (b"none", b"/tmp", b"tmpfs", 0, 0)),
    "pivot_root": (155, 41, (b"/tmp", b"/tmp")),
    "chroot": (161, 51, (b"/tmp",)),
    "setuid": (105, 146, (0,)),
    "setgid": (106, 144, (0,)),
    "io_uring_setup": (425, 425, (1, 0)),
    "bpf": (321, 280, (0, 0, 0)),
    "keyctl": (250, 219, (0, -3, 0)),
    "userfaultfd": (323, 282, (1,)),
    "perf_event_open": (298, 241, (0, 0, -1, -1, 0)),
    "process_vm_readv": (310, 270, (1, 0, 0, 0, 0, 0)),
    "open_by_handle_at": (304, 265, (-100, 0, 0)),
    "init_module": (175, 105, (0, 0, 0)),
    "kexec_load": (246, 104, (0, 0, 0, 0)),
    "mknod of a device": (259, 33, (-100, b"/tmp/device", stat.S_IFCHR | 0o666, 0x103)),
}
ENOUGH, AGAIN = b".", b"+"
REFUSED = ("EPERM", "EACCES", "ENOSYS")
COLUMNS = {"x86_64": 0, "aarch64": 1}

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def say(**found: object) -> None:
    """One finding, as one line."""
    print(json.dumps(found), flush=True)


def hold(name: str) -> bytes:
    """Let the host do what it has to do at this point; the byte that it answers."""
    say(hold=name)
    return os.read(3, 1)


def refusal(action: Callable[[], object]) -> str:
    """The name of the error that `action` raised, or `allowed`."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return "allowed"


def opening(path: str, flags: int = os.O_RDONLY) -> str:
    """The name of the error that opening a file ends with, or `allowed`."""
    return refusal(partial(os.open, path, flags))


def identity() -> None:
    """Who the guest is, what privileges it has left, whose processes and environments it can read."""
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    names = ("Uid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    processes = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    say(
        status={name: status.get(name, "0").strip() for name in names},  # gVisor shows no CapAmb
        no_new_privs=libc.prctl(GET_NO_NEW_PRIVS, 0, 0, 0, 0),
        seccomp=libc.prctl(GET_SECCOMP, 0, 0, 0, 0),
        processes=processes,
        environment=sorted(set(os.environ).union(*map(environment_of, processes))),
    )


def environment_of(process: int) -> set[str]:
    """The names of variables that /proc shows of a process."""
    try:
        with open(f"/proc/{process}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return set()
    return {entry.partition(b"=")[0].decode(errors="replace") for entry in entries if entry}


def kernel() -> None:
    """Which of the calls that no guest needs get through."""
    column = COLUMNS.get(platform.machine())
    if column is None:
        say(calls=dict.fromkeys(CALLS, "not known on this architecture"))
        return
    answers = {name: call(numbers[column], arguments) for name, (*numbers, arguments) in CALLS.items()}
    say(calls={name: answer for name, answer in answers.items() if answer not in REFUSED})


def call(number: int, arguments: tuple[int | bytes, ...]) -> str:
    """The name of the error that a system call ends with, or `allowed`."""
    words = [word if isinstance(word, bytes) else ctypes.c_long(word) for word in arguments]
    ctypes.set_errno(0)
    if libc.syscall(ctypes.c_long(number), *words) >= 0:
        return "allowed"
    return errno.errorcode[ctypes.get_errno()]


def files(canary: str, lent: str) -> None:
    """What of the file system can be read and written; whether the host's file `lent` can be emptied."""
    hold("lent")
    say(
        emptied=opening(lent, os.O_RDONLY | os.O_TRUNC),
        canary=[opening(path) for path in (canary, f"/proc/1/root{canary}")],
        write={path: opening(f"{path}/probe", os.O_WRONLY | os.O_CREAT) for path in SYSTEM_FOLDERS},
        switches=writable_switches(),
        devices=devices(),
        own_process=opening("/proc/self/comm", os.O_WRONLY),
    )


def writable_switches() -> list[str]:
    """The kernel's switches that open for writing."""
    found = [path for path in SWITCHES if opening(path, os.O_WRONLY) == "allowed"]
    for folder, _, names in os.walk("/proc/sys"):
        for path in (f"{folder}/{name}" for name in names):
            try:
                os.close(os.open(path, os.O_WRONLY))
                found.append(path)
            except OSError:
                continue
    return [path for path in found if not is_null(path)]


def is_null(path: str) -> bool:
    """Whether the null device hides what would be here."""
    return os.stat(path).st_rdev == os.makedev(1, 3)


def devices() -> list[str]:
    """Devices, as major:minor, that are in /dev; and those of a host that open under their usual names."""
    found = set()
    for folder, _, names in os.walk("/dev"):
        for path in (f"{folder}/{name}" for name in names):
            status = os.lstat(path)
            if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                found.add(f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")
    opened = [name for name in HOST_DEVICES if opening(f"/dev/{name}") == "allowed"]
    return [*sorted(found), *opened]


def packages(folders: dict[str, str]) -> None:
    """Which of the guest's own folders, under their host names, it may not read, or not in full."""
    say(unreadable=[host for inside, host in folders.items() if not is_readable(inside)])


def is_readable(folder: str) -> bool:
    """Whether the guest may read what lies in `folder`, or a file; a byte-code cache it can do without."""
    try:
        if os.path.isfile(folder):
            return os.access(folder, os.R_OK)
        names = [name for name in os.listdir(folder) if name != "__pycache__"]
        return all(os.access(os.path.join(folder, name), os.R_OK) for name in names)
    except OSError:
        return False


def disk(disk_bytes: int) -> None:
    """How many bytes and how many files each temporary folder takes, and how long a file may seem to be."""
    say(bounded={folder: fill(folder, 4 * disk_bytes) for folder in TEMPORARY})
    say(sparse={folder: refusal(partial(stretch, f"{folder}/sparse")) for folder in TEMPORARY})
    hold("no files")
    say(files={folder: litter(folder) for folder in TEMPORARY})
    hold("files")
    for folder in TEMPORARY:
        clear(folder)


def fill(folder: str, most: int) -> int:
    """How many bytes fit into `folder`; everything is removed again."""
    written = 0
    try:
        while written < most:
            with open(f"{folder}/fill{written}", "wb", buffering=0) as file:
                written += file.write(bytes(FILL_BYTES))
    except OSError:
        pass
    clear(folder)
    return written


def litter(folder: str) -> int:
    """How many empty files fit into `folder`, MOST_FILES at most; they stay."""
    try:
        for number in range(MOST_FILES):
            os.close(os.open(f"{folder}/{number}", os.O_WRONLY | os.O_CREAT))
    except OSError:
        return number
    return MOST_FILES


def stretch(path: str) -> None:
    """Make a petabyte of nothing."""
    with open(path, "wb") as file:
        os.truncate(file.fileno(), 1 << 50)


def clear(folder: str) -> None:
    """Remove the files in `folder`."""
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))


def network(abstract: str) -> None:
    """Which socket families and interfaces there are, and whether a socket of the host answers."""
    families = {"AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17, "AF_ALG": 38, "AF_VSOCK": 40}
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET)
    with open("/proc/net/dev") as file:
        interfaces = [line.partition(":")[0].strip() for line in file.readlines()[2:]]
    say(
        sockets=sorted(
            {
                name
                for name, family in families.items()
                for kind in kinds
                if refusal(partial(socket.socket, family, kind)) == "allowed"
            }
        ),
        interfaces=interfaces,
        abstract=refusal(lambda: socket.socket(socket.AF_UNIX).connect(f"\0{abstract}")),
    )


def processes(most: int) -> None:
    """How many children the pids limit lets through."""
    children: list[int] = []
    try:
        while len(children) < most:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except OSError:
        pass
    time.sleep(0.2)  # where no kernel counts refused forks, the host looks now and then how many there are
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    say(children=len(children))


def cpu(busy: int) -> None:
    """Let `busy` processes compute; once more, and longer, where that was too short for the host to tell."""
    for seconds in (0.5, 2.5):
        hold("idle")
        burn(busy, seconds)
        if hold("burnt") == ENOUGH:
            break


def burn(busy: int, seconds: float) -> None:
    """Compute in `busy` processes at a time."""
    until = time.monotonic() + seconds
    for _ in range(busy):
        if os.fork() == 0:
            while time.monotonic() < until:
                pass
            os._exit(0)
    for _ in range(busy):
        os.wait()


def take(size: int) -> bytearray:
    """So many bytes of memory that is really there."""
    held = bytearray(size)
    held[::4096] = b"x" * len(held[::4096])
    return held


def in_a_child(action: Callable[[], object]) -> int:
    """Run `action` in a child of its own; its wait status."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


def fill_both(size: int) -> None:
    """Fill the temporary folders, holding some memory, for which the kernel picks this process."""
    held = take(size // 8)
    for folder in TEMPORARY:
        fill_for_good(folder, size)
    del held


def fill_for_good(folder: str, size: int) -> None:
    """Write one file of `size` bytes, or as much as goes in."""
    with open(f"{folder}/fill", "wb", buffering=0) as file:
        try:
            for _ in range(size // FILL_BYTES):
                file.write(bytes(FILL_BYTES))
        except OSError:
            pass


def show_walls(settings: dict) -> None:
    """Try every wall and every limit that ends nothing."""
    identity()
    kernel()
    files(settings["canary"], settings["lent"])
    packages(settings["folders"])
    disk(settings["disk_bytes"])
    network(settings["abstract"])
    processes(settings["most_children"])
    hold("others")
    cpu(settings["busy"])
    say(done=True)


def show_memory(settings: dict) -> None:
    """A child takes twice the memory limit; its parent ends well."""
    say(child=in_a_child(lambda: take(2 * settings["memory_bytes"])))


def show_files(settings: dict) -> None:
    """A child writes more into the temporary folders than the memory limit allows; its parent ends well."""
    say(child=in_a_child(lambda: fill_both(settings["disk_bytes"])))


def show_plain_kill(settings: dict) -> None:
    """Hold half of the memory limit, and be killed by a signal."""
    held = take(settings["memory_bytes"] // 2)
    os.kill(os.getpid(), signal.SIGKILL)
    del held


def show_stop(settings: dict) -> None:
    """Stand still."""
    say(stops=settings["scene"])
    os.kill(os.getpid(), signal.SIGSTOP)


def show_forks(settings: dict) -> None:
    """Fork without end; every child prints without end."""
    say(forks=settings["scene"])
    while True:
        try:
            child = os.fork()
        except OSError:
            continue
        if child == 0:
            while True:
                os.write(1, bytes(FILL_BYTES))


SCENES = {
    "walls": show_walls,
    "memory": show_memory,
    "files": show_files,
    "plain kill": show_plain_kill,
    "stop": show_stop,
    "forks": show_forks,
}


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    SCENES[wanted["scene"]](wanted)
