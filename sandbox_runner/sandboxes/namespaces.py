"""Sandboxes out of Linux namespaces, cgroups and seccomp, built by bubblewrap: the tier `namespaces`.

Outside, a shell enters the sandbox's cgroups and becomes bubblewrap; inside, `first_process` drops every
privilege and becomes the guest's parent. As root there is no user namespace: the guest is an unprivileged
user of its own outside as well. As an ordinary user the guest runs in a sealed user namespace, and only where
a delegated cgroup v2 makes the limits real. The kernel itself is shared: its bugs are not kept out.
"""

import os
import random
import re
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from contracts.jobs import BackendReport
from contracts.measurements import MIB
from contracts.names import IsolationTier
from sandbox_runner.sandboxes import bubblewrap, platform_code, seccomp
from sandbox_runner.sandboxes.cgroups.discovery import find_hierarchy
from sandbox_runner.sandboxes.cgroups.files import CgroupsUnavailable, Group, GroupLimits, Hierarchy
from sandbox_runner.sandboxes.data_folders import DataFolders
from sandbox_runner.sandboxes.namespaces_sandbox import NamespacesSandbox, SandboxPipes
from sandbox_runner.sandboxes.port import SandboxSpec, SandboxUnavailable
from sandbox_runner.sandboxes.probe import probe_backend

NAME = re.compile(r"[a-z0-9-]{1,100}")
START_SECONDS = 30.0
"""From fork until the guest's program is loaded; some 50 ms on an idle machine."""
PLATFORM_PROCESSES = 2
"""bubblewrap and the first process live in the sandbox's cgroups, too."""
SANDBOX_USERS = range(61_000, 61_184)
"""User ids that no distribution gives to anyone (systemd's UIDS-GIDS table); one for each running sandbox."""
ENTER_CGROUPS = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; exec "$@"'

Start = Callable[[SandboxSpec, Group, Path, "int | None"], NamespacesSandbox]
"""Begins a sandbox in that group, with that data folder, as that user."""


class NamespacesBackend:
    """Starts sandboxes of the tier `namespaces`."""

    name = "namespaces"
    tier = IsolationTier.NAMESPACES

    @property
    def forks(self) -> bool:
        """Every start is a cold one."""
        return False

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        """`folder` is where its sandboxes' data folders lie, on the file system of the data sets."""
        self._folder = folder
        self._data_folders: DataFolders | None = None
        self._environment = os.environ if environment is None else environment
        self._lock = threading.Lock()
        self._hierarchy: Hierarchy | None = None
        self._users: set[int] = set()
        # A child dies with the *thread* that forked it (prctl(2), PR_SET_PDEATHSIG): one thread forks all.
        self._forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-forker")

    def probe(self) -> BackendReport:
        """Prove, by trying, that every limit and wall really holds on this machine. Never raises."""
        return probe_backend(self)

    def launch(self, spec: SandboxSpec) -> NamespacesSandbox:
        """Start a sandbox; returns when the guest's program is loaded. Raises SandboxUnavailable."""
        return self._launch(spec, self._start, PLATFORM_PROCESSES)

    def _launch(self, spec: SandboxSpec, start: "Start", platform_processes: int) -> NamespacesSandbox:
        """Have `start` begin a sandbox with a user, cgroup and data folder of its own; wait for its guest."""
        with ExitStack() as undo:
            try:
                user = self._take_user()
                undo.callback(self._release_user, user)
                group = self._create_group(spec, platform_processes)
                undo.callback(group.remove)
                data = self.data_folders().make(spec.name)
                undo.callback(self.data_folders().remove, data)
                sandbox = start(spec, group, data, user)
            except (OSError, ValueError, RuntimeError, CgroupsUnavailable) as error:
                raise SandboxUnavailable(str(error)) from error
            undo.pop_all()
        try:
            sandbox.wait_until_started(START_SECONDS)
        except BaseException:
            sandbox.close()
            raise
        return sandbox

    def hierarchy(self) -> Hierarchy:
        """Where this runner's cgroups are. The first call sweeps away what dead runners left.

        Raises CgroupsUnavailable.
        """
        with self._lock:
            if self._hierarchy is None:
                self._hierarchy = find_hierarchy(self._environment)
            return self._hierarchy

    def data_folders(self) -> DataFolders:
        """Where the data of this runner's sandboxes is. The first call sweeps away what dead runners left."""
        with self._lock:
            if self._data_folders is None:
                self._data_folders = DataFolders(self._folder)
            return self._data_folders

    def close(self) -> None:
        """Free what the backend itself holds, after its sandboxes are closed."""
        with self._lock:
            if self._data_folders is not None:
                self._data_folders.close()
                self._data_folders = None
            if self._hierarchy is not None:
                self._hierarchy.close()
                self._hierarchy = None
        self._forker.shutdown()

    def _create_group(self, spec: SandboxSpec, platform_processes: int) -> Group:
        if not NAME.fullmatch(spec.name):
            raise ValueError(f"sandbox name {spec.name!r} is not of [a-z0-9-]")
        limits = GroupLimits(spec.limits.memory_bytes, spec.limits.pids + platform_processes, spec.threads)
        try:
            return self.hierarchy().create(spec.name, limits)
        except FileNotFoundError:
            # Somebody has removed the runner's own group, which is empty while nothing runs.
            self._forget_hierarchy()
            return self.hierarchy().create(spec.name, limits)

    def _forget_hierarchy(self) -> None:
        with self._lock:
            if self._hierarchy is not None:
                self._hierarchy.close()
                self._hierarchy = None

    def _start(self, spec: SandboxSpec, group: Group, data: Path, user: int | None) -> NamespacesSandbox:
        """Fork the outermost process, with nothing in its environment and no descriptor but the sandbox's."""
        pipes = SandboxPipes()
        try:
            uid = os.getuid() if user is None else user
            passwd = pipes.add_file(f"candidate:x:{uid}:{uid}::/tmp:/usr/sbin/nologin\n".encode())
            names = pipes.add_file(f"candidate:x:{uid}:\n".encode())
            program = pipes.add_file(self._filter)
            command = [
                *("/bin/sh", "-c", ENTER_CGROUPS, "enter-cgroups"),
                *(str(entrance) for entrance in group.entrances),
                *("--", bubblewrap.find_program()),
                *bubblewrap.namespace_options(as_root=user is not None),
                *bubblewrap.file_system_options(data, spec.limits.disk_bytes, passwd, names),
                "--",
                *platform_code.first_process_command(first_process_setup(spec, pipes, program, user)),
            ]
            process = self._forker.submit(_fork, command, pipes).result()
        except BaseException:
            pipes.close()
            raise
        pipes.close_guest_ends()
        return NamespacesSandbox(process, pipes, group, data, on_close=lambda: self._give_back(data, user))

    @cached_property
    def _filter(self) -> bytes:
        return seccomp.compile_filter()

    def _take_user(self) -> int | None:
        """A user id for a new sandbox; None when this process cannot change users anyway.

        Drawn at random, because other runners on this host draw from the same range.
        """
        if os.geteuid() != 0:
            return None
        with self._lock:
            free = [user for user in SANDBOX_USERS if user not in self._users]
            if not free:
                raise SandboxUnavailable(f"{len(SANDBOX_USERS)} sandboxes run already")
            user = random.choice(free)  # noqa: S311  nothing secret
            self._users.add(user)
            return user

    def _give_back(self, data: Path, user: int | None) -> None:
        self.data_folders().remove(data)
        self._release_user(user)

    def _release_user(self, user: int | None) -> None:
        with self._lock:
            self._users.discard(user or 0)


def first_process_setup(
    spec: SandboxSpec, pipes: SandboxPipes, program: int, user: int | None
) -> dict[str, object]:
    """What `first_process` is told. The guest can read it: nothing in it is secret."""
    return {
        "argv": spec.argv,
        "environment": dict(spec.environment),
        "uid": user,
        "rlimits": {
            # Not 0: then a crash still starts the host's core handler where core_pattern is a pipe. A limit
            # of 1 byte alone keeps the kernel from that (core(5) and fs/coredump.c).
            "RLIMIT_CORE": 1,
            "RLIMIT_FSIZE": spec.limits.disk_bytes,
            "RLIMIT_NOFILE": 1024,
            "RLIMIT_MSGQUEUE": 0,
            "RLIMIT_MEMLOCK": 8 * MIB,
            "RLIMIT_SIGPENDING": 1024,
        },
        "own_user_namespace": user is None,
        "reach": bubblewrap.reach(),
        "bounded_folders": ["/tmp", "/dev/shm"],  # noqa: S108  inside
        "disk_bytes": spec.limits.disk_bytes,
        "guest_read": pipes.guest_read,
        "guest_write": pipes.guest_write,
        "status": pipes.guest_status,
        "filter": program,
    }


def _fork(command: list[str], pipes: SandboxPipes) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        env={},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=pipes.guest_output,
        stderr=pipes.guest_output,
        pass_fds=pipes.inherited(),
    )
