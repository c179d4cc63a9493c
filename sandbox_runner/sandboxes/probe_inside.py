"""What the probe runs inside a sandbox: tries each wall and prints, as JSON lines, what it found.

Runs on the bare standard library, as a candidate would. The last line is followed by a stop signal to itself:
whether the host can still end it punctually is the host's part of the proof.
"""

import errno
import json
import os
import signal
import socket
import sys
import time


def say(**found: object) -> None:
    """One finding, as one line."""
    print(json.dumps(found), flush=True)


def refusal(action: object) -> str:
    """The name of the error that `action` raised, or `allowed`."""
    try:
        action()  # type: ignore[operator]
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return "allowed"


def identity() -> None:
    """Who the guest is, and what privileges it has left."""
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    names = ("Uid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    say(status={name: status[name].strip() for name in names}, processes=sorted(_numbers("/proc")))


def files(canary: str) -> None:
    """What of the file system can be read and written."""
    say(
        canary=refusal(lambda: os.open(canary, os.O_RDONLY)),
        write={
            path: refusal(lambda p=path: os.open(f"{p}/probe", os.O_WRONLY | os.O_CREAT))
            for path in ("/", "/etc", "/usr/bin", "/dev")
        },
        bounded={path: fill(path) for path in ("/tmp", "/dev/shm")},  # noqa: S108
    )


def packages(folders: dict[str, str]) -> None:
    """Which of the guest's own folders, under their host names, it may not read, or not in full."""
    say(unreadable=[host for inside, host in folders.items() if not _is_readable(inside)])


def fill(folder: str) -> int:
    """How many bytes fit into `folder`; everything is removed again."""
    written = 0
    path = os.path.join(folder, "fill")
    try:
        for number in range(1024):
            with open(f"{path}{number}", "wb", buffering=0) as file:
                written += file.write(bytes(1 << 18))
    except OSError:
        pass
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    return written


def network() -> None:
    """Which socket families and interfaces there are."""
    families = {
        name: int(getattr(socket, name)) for name in ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET")
    }
    with open("/proc/net/dev") as file:
        interfaces = [line.partition(":")[0].strip() for line in file.readlines()[2:]]
    say(
        sockets={
            name: refusal(lambda f=family: socket.socket(f, socket.SOCK_DGRAM))
            for name, family in families.items()
        },
        interfaces=interfaces,
    )


def processes() -> None:
    """How many children the pids limit lets through."""
    children = []
    try:
        for _ in range(200):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except OSError:
        pass
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    say(children=len(children))


def cpu(busy: int, most_cores: float) -> None:
    """How many cores `busy` processes get; a second, longer look where the first was too short to tell."""
    for seconds in (0.7, 2.5):
        cores = burn(busy, seconds)
        if cores < most_cores:
            break
    say(cores=cores)


def burn(busy: int, seconds: float) -> float:
    """CPU seconds per second that `busy` processes consume together."""
    started, used = time.monotonic(), sum(os.times()[:4])
    for _ in range(busy):
        if os.fork() == 0:
            while time.monotonic() < started + seconds:
                pass
            os._exit(0)
    for _ in range(busy):
        os.wait()
    return (sum(os.times()[:4]) - used) / (time.monotonic() - started)


def memory(limit: int) -> None:
    """Whether a child that takes twice the memory limit is killed."""
    child = os.fork()
    if child == 0:
        held = bytearray(2 * limit)
        held[::4096] = b"x" * len(held[::4096])
        os._exit(0)
    say(memory_child=os.waitpid(child, 0)[1])


def _is_readable(folder: str) -> bool:
    """Whether the guest may read what lies in `folder`, or a file; a byte-code cache it can do without."""
    try:
        if os.path.isfile(folder):
            return os.access(folder, os.R_OK)
        names = [name for name in os.listdir(folder) if name != "__pycache__"]
        return all(os.access(os.path.join(folder, name), os.R_OK) for name in names)
    except OSError:
        return False


def _numbers(folder: str) -> list[int]:
    return [int(name) for name in os.listdir(folder) if name.isdigit()]


def main() -> None:
    """Try everything once, then stand still."""
    settings = json.loads(sys.argv[1])
    identity()
    files(settings["canary"])
    packages(settings["folders"])
    network()
    processes()
    cpu(settings["busy"], settings["most_cores"])
    memory(settings["memory_bytes"])
    say(done=True)
    os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    main()
