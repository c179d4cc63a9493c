"""What must be the same after an attempt as before it: the host's secrets, and the number of everything."""

import hashlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import httpx

from sandbox_runner.sandboxes.cgroups.files import RUNNER_PREFIX
from sandbox_runner.sandboxes.docker.container import NAME_LABEL

CGROUPS = Path("/sys/fs/cgroup")
SHARED_FOLDERS = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path("/run"))  # noqa: S108  only listed
PEER = struct.Struct("3i")
ENGINE_SECONDS = 30.0
SETTLE_SECONDS = 90.0
"""The kernel frees some things late, and sandboxes that wait for work are replaced in the background."""


@dataclass(frozen=True)
class Surroundings:
    """One look around. Numbers are counts; tuples name what is there."""

    canary: str
    """SHA-256 of the secret files and of the data sets with their labels."""
    visitors: int
    """Connections to the host's doors that nobody may reach."""
    descriptors: int
    """Of this process, and of the launcher."""
    threads: int
    processes: int
    """Descendants of this process, zombies included, and members of its cgroups."""
    marked_processes: tuple[str, ...]
    """Processes anywhere on the host that a specimen has forked."""
    cgroups: int
    mounts: tuple[str, ...]
    containers: int
    files: int
    """Entries in this worker's homes."""
    bytes: int
    """What they hold."""
    strays: tuple[str, ...]
    """Files elsewhere that bear a specimen's mark."""
    ipc: tuple[str, ...]
    """System V shared memory, queues and semaphores of the host."""


LABELS = {
    "canary": "canary and labels",
    "visitors": "connections to the host",
    "descriptors": "file descriptors",
    "threads": "threads",
    "processes": "processes",
    "marked_processes": "forked processes",
    "cgroups": "cgroups",
    "mounts": "mounts",
    "containers": "containers",
    "files": "files on disk",
    "bytes": "bytes on disk",
    "strays": "stray files",
    "ipc": "System V objects",
}
"""Each field of `Surroundings` in words."""


def differences(before: Surroundings, after: Surroundings) -> tuple[str, ...]:
    """What has changed, one sentence each."""
    found = []
    for name, label in LABELS.items():
        was, now = getattr(before, name), getattr(after, name)
        if was == now:
            continue
        if isinstance(now, tuple):
            new, gone = sorted(set(now) - set(was)), sorted(set(was) - set(now))
            words = [f"new: {', '.join(new)}"] * bool(new) + [f"gone: {', '.join(gone)}"] * bool(gone)
            found.append(f"{label}: {'; '.join(words)}")
        elif isinstance(now, int):
            found.append(f"{label}: {now} instead of {was}")
        else:
            found.append(f"{label}: changed")
    return tuple(found)


def amounts(surroundings: Surroundings) -> dict[str, int]:
    """Every count by its label; of what is named, how many there are."""
    counted = {}
    for one in fields(surroundings):
        value = getattr(surroundings, one.name)
        if not isinstance(value, str):
            counted[LABELS[one.name]] = len(value) if isinstance(value, tuple) else int(value)
    return counted


class Doors:
    """A TCP port and an abstract unix socket of the host, with nobody behind them who should be visited."""

    def __init__(self, name: str) -> None:
        self._visitors = 0
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._abstract = socket.socket(socket.AF_UNIX)
        self._abstract.bind(f"\0{name}")
        self._abstract.listen()
        self.port: int = self._tcp.getsockname()[1]
        for door in (self._tcp, self._abstract):
            door.setblocking(False)

    def visitors(self) -> int:
        """How many have come in so far."""
        for door in (self._tcp, self._abstract):
            with suppress(BlockingIOError):
                while True:
                    door.accept()[0].close()
                    self._visitors += 1
        return self._visitors

    def close(self) -> None:
        """Shut both."""
        self._tcp.close()
        self._abstract.close()


@dataclass(frozen=True)
class Outpost:
    """Where the Docker tiers keep what is ours: the launcher's socket and home, and the engine's socket."""

    launcher: Path
    home: Path
    engine: Path

    def containers(self, mark: str) -> int:
        """Containers of sandboxes that waited for work or whose names hold `mark`. Raises httpx.HTTPError."""
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.engine)), timeout=ENGINE_SECONDS
        ) as client:
            answer = client.get("http://docker/containers/json", params={"all": "1"}).raise_for_status()
        names = [one["Labels"].get(NAME_LABEL, "") for one in answer.json()]
        return sum(mark in name or name.startswith("warm-") for name in names)

    def descriptors(self) -> int:
        """What the launcher has open, but for sockets: it keeps some connections to the engine, now more, now
        fewer, and one to each sandbox's owner, who counts his own."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(str(self.launcher))
            pid, _, _ = PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
        return sum(not target.startswith("socket:") for target in _open_by(pid))

    def files(self) -> int:
        """Entries of the launcher's home, data folders included."""
        return sum(len(folders) + len(files) for _, folders, files in os.walk(self.home))


class Watch:
    """Looks around for one worker: its `homes`, the `secrets` in them, the `mark` that its specimens bear."""

    def __init__(
        self,
        homes: Sequence[Path],
        secrets: Sequence[Path],
        mark: str,
        doors: Doors,
        outpost: Outpost | None,
    ) -> None:
        self._homes = homes
        self._secrets = secrets
        self._mark = mark
        self._doors = doors
        self._outpost = outpost

    def look(self) -> Surroundings:
        """Count everything now."""
        entries = [size for home in self._homes for size in _sizes(home)]
        groups = own_cgroups()
        outpost = self._outpost
        return Surroundings(
            canary=_digest(self._secrets),
            visitors=self._doors.visitors(),
            descriptors=len(os.listdir("/proc/self/fd")) + (outpost.descriptors() if outpost else 0),
            threads=threading.active_count(),
            processes=len(_descendants(os.getpid()) | members(groups)),
            marked_processes=tuple(sorted(processes_marked(self._mark))),
            cgroups=len(groups),
            mounts=tuple(sorted(self._own_mounts())),
            containers=outpost.containers(self._mark) if outpost else 0,
            files=len(entries) + (outpost.files() if outpost else 0),
            bytes=sum(entries),
            strays=tuple(sorted(_strays(self._mark))),
            ipc=tuple(sorted(_system_v_objects())),
        )

    def settle(self, wanted: Surroundings, seconds: float = SETTLE_SECONDS) -> Surroundings:
        """Look until everything is as `wanted`, or for so long; gives the last look."""
        deadline = time.monotonic() + seconds
        pause = 0.02
        while True:
            seen = self.look()
            if seen == wanted or time.monotonic() > deadline:
                return seen
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def _own_mounts(self) -> Iterator[str]:
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            place = line.split(" ")[4]
            if self._mark in line or any(str(home) in place for home in self._homes):
                yield place


def processes_marked(mark: str) -> set[str]:
    """Processes that bear `mark` in their name or environment, as `name (pid)`."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            name = (folder / "comm").read_text(errors="replace").strip()
            bears = mark in name
            with suppress(PermissionError):
                bears = bears or mark.encode() in (folder / "environ").read_bytes()
            if bears:
                found.add(f"{name} ({folder.name})")
    return found


def _open_by(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            yield os.readlink(link)


def own_cgroups() -> list[Path]:
    """Every cgroup in the groups that this process holds the locks of, in each hierarchy."""
    held = set()
    for target in map(Path, _open_by(os.getpid())):
        if target.name.startswith(RUNNER_PREFIX) and CGROUPS in target.parents:
            held.add(target.name)
    roots = [Path(root) / name for root, names, _ in os.walk(CGROUPS) for name in names if name in held]
    return [Path(root) for top in roots for root, _, _ in os.walk(top)]


def members(groups: Iterable[Path]) -> set[int]:
    """The processes in these cgroups."""
    found = set()
    for group in groups:
        with suppress(OSError):
            found |= {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
    return found


def _descendants(ancestor: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # The name, in parentheses, may hold anything.
            parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(folder.name))
    found: set[int] = set()
    pending = list(children.get(ancestor, ()))
    while pending:
        pid = pending.pop()
        found.add(pid)
        pending += children.get(pid, ())
    return found


def _sizes(folder: Path) -> Iterator[int]:
    for root, folders, files in os.walk(folder):
        yield from (0 for _ in folders)
        for name in files:
            with suppress(OSError):
                yield os.lstat(os.path.join(root, name)).st_size


def _strays(mark: str) -> Iterator[str]:
    for folder in SHARED_FOLDERS:
        with suppress(OSError):
            yield from (f"{folder}/{name}" for name in os.listdir(folder) if mark in name)


def _system_v_objects() -> Iterator[str]:
    for kind in ("shm", "msg", "sem"):
        with suppress(OSError):
            for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]:
                key, number = line.split()[:2]
                yield f"{kind} {number} (key {key})"


def _digest(paths: Iterable[Path]) -> str:
    """SHA-256 over files, and over all files in folders; a file that is gone counts, too."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if not file.is_dir():
                digest.update(str(file).encode() + b"\0")
                digest.update(file.read_bytes() if file.is_file() else b"gone")
    return digest.hexdigest()
