"""Sandboxes that run in containers: how one is started, watched and ended, and how leftovers are swept."""

import hashlib
import json
import logging
import os
import random
import signal
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox_runner import python_environment
from sandbox_runner.sandboxes import seccomp
from sandbox_runner.sandboxes.data_folders import DataFolders
from sandbox_runner.sandboxes.docker import container, process_one
from sandbox_runner.sandboxes.docker.accounts import Account, find_account
from sandbox_runner.sandboxes.docker.engine import ContainerState, Engine, EngineUnavailable
from sandbox_runner.sandboxes.docker.guest_image import SANDBOX_USERS, GuestImage
from sandbox_runner.sandboxes.docker.relay import Relay
from sandbox_runner.sandboxes.docker.wire import Runtime, Start
from sandbox_runner.sandboxes.port import Exit, SandboxUnavailable, Usage

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
"""From the engine's start to the guest's program; 0.1 to 0.3 s on an idle machine."""
SETTLE_SECONDS = 3.0
"""So long the engine may take to notice that a container has ended."""
PASSABLE_MODE = 0o711
SOURCES_LABEL = "deltanas.sources"
"""Of a complete image: the digest of the guest's sources in it."""
KILLED = Exit(None, signal.SIGKILL)


class RunningContainer:
    """One sandbox. Every method may be called from any thread."""

    def __init__(
        self, engine: Engine, identifier: str, runtime: Runtime, relay: Relay, account: Account, data: Path
    ) -> None:
        self.relay = relay
        self.data = data
        self._runtime = runtime
        self._engine = engine
        self._identifier = identifier
        self._group = account.group
        self._memory = account.memory
        self._lock = threading.RLock()
        self._usage = Usage(0.0, 0, 0, 0)
        self._killed = False
        self._lost_since: float | None = None
        self._final: ContainerState | None = None
        self._ended_for_memory = False

    def usage(self) -> Usage:
        """The accounts; the last reading when their control group is gone. Raises SandboxUnavailable."""
        with self._lock:
            with suppress(OSError):
                self._usage = self._group.usage()
            state = None if self._killed or not self.relay.lost.is_set() else self._final_state()
            return replace(
                self._usage,
                memory_limit_hits=self._usage.memory_limit_hits
                or int(state is not None and self._ended_for_memory),
                pids_limit_hits=self._usage.pids_limit_hits + int(self.relay.crowded),
            )

    def exit(self) -> Exit | None:
        """How the guest ended, or None while it runs. Raises SandboxUnavailable where the platform did it."""
        with self._lock:
            if self.relay.ended is not None:
                return self._told_apart(self.relay.ended)
            if self._killed:
                return KILLED
            if self.relay.broken:
                self.kill()
                return KILLED
            return self._ended_without_a_word() if self.relay.lost.is_set() else None

    def kill(self) -> None:
        """End everything in it, whatever it does. Idempotent."""
        with self._lock:
            if self._killed:
                return
            with suppress(SandboxUnavailable):
                self.usage()
            self._killed = True
            if not self._strike():
                # The engine would wait for us to read what the container says: hang up first.
                self.relay.hang_up()
                try:
                    self._engine.kill(self._identifier)
                except EngineUnavailable as error:
                    logger.warning("a container could not be killed: %s", error)

    def close(self) -> None:
        """Kill, and leave nothing behind that the engine can still be asked to remove."""
        self.exit_quietly()
        self.kill()
        self.relay.close()
        self._memory.close()
        try:
            self._engine.remove(self._identifier)
        except EngineUnavailable as error:
            logger.warning("a container is left to the next sweep: %s", error)

    def exit_quietly(self) -> None:
        """Learn how it ended while that can still be learnt."""
        with suppress(SandboxUnavailable):
            self.exit()

    def _told_apart(self, ended: Exit) -> Exit:
        """gVisor lets a guest whose memory the kernel took exit with 1: elsewhere that is a signal."""
        lost_its_memory = self._runtime is Runtime.RUNSC and ended == Exit(1, None)
        return KILLED if lost_its_memory and self.usage().memory_limit_hits else ended

    def _strike(self) -> bool:
        """Kill through the control group. False where that is the engine's privilege."""
        try:
            return self._group.kill()
        except PermissionError:
            return False

    def _final_state(self) -> ContainerState | None:
        """The engine's last word on a container whose stream is over; None while it still seems to run."""
        if self._final is None:
            if self._lost_since is None:
                self._lost_since = time.monotonic()
            try:
                state = self._engine.inspect(self._identifier)
            except EngineUnavailable:
                self._strike()  # Without its engine nobody would end it.
                raise
            if state is None:
                raise SandboxUnavailable("the container was removed from outside")
            if state.running:
                if time.monotonic() - self._lost_since > SETTLE_SECONDS:
                    self._strike()
                    raise SandboxUnavailable("the engine has dropped the stream of a running container")
                return None
            self._final = state
            self._ended_for_memory = state.out_of_memory or self._memory.was_reached()
        return self._final

    def _ended_without_a_word(self) -> Exit | None:
        """Process 1 is gone: the kernel ended it for memory, or somebody outside did."""
        state = self._final_state()
        if state is None:
            return None
        if self._ended_for_memory or self._usage.memory_limit_hits:
            return KILLED
        how = f"exit code {state.exit_code} {self.relay.complaint}".strip()
        raise SandboxUnavailable(f"the container was ended from outside ({how})")


@dataclass
class Slot:
    """What one sandbox holds beside its container."""

    user: int
    data: Path


class Containers:
    """All sandboxes of one launcher."""

    def __init__(
        self, engine: Engine, image: GuestImage, home: Path, data_folders: DataFolders, client: int
    ) -> None:
        """`client` is the user id that is to fill the data folders."""
        self._client = client
        self._engine = engine
        self._image = image
        self._home = home
        self._cover = home / "nothing"
        self._cover.touch(mode=0)
        self._owner = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]
        self._data_folders = data_folders
        self._lock = threading.Lock()
        self._slots: dict[str, Slot] = {}

    @property
    def environment_digest(self) -> str:
        """Names what a guest runs on: the pinned image, or the host's own Python."""
        if self._image.is_complete:
            return self._image.identifier
        return python_environment.environment_digest()

    def start(self, start: Start) -> RunningContainer:
        """Start a sandbox; returns when the guest's program is loaded. Raises SandboxUnavailable."""
        self._engine.check(start.runtime)
        self._engine.ensure_image(self._image)
        self._check_sources()
        slot = self._take_slot(start.name)
        with ExitStack() as undo:
            undo.callback(self._release, start.name)
            try:
                running = self._run(start, slot, undo)
            except (OSError, RuntimeError) as error:  # no descriptor or no thread is left, say
                raise SandboxUnavailable(f"the launcher could not start a sandbox: {error}") from error
            undo.pop_all()
        return running

    def close(self, name: str, running: RunningContainer) -> None:
        """End a sandbox and free what it held."""
        running.close()
        self._release(name)

    def sweep(self) -> None:
        """Remove our containers that no connection holds. Raises EngineUnavailable."""
        found = self._engine.owned(container.OWNER_LABEL, self._owner, container.NAME_LABEL)
        for identifier, name in found.items():
            with self._lock:
                held = name in self._slots
            if not held:
                logger.warning("removing the container of a sandbox that nobody holds: %s", identifier[:12])
                self._engine.remove(identifier)

    def _check_sources(self) -> None:
        """A guest of another version than the runner speaks another wire. Raises SandboxUnavailable."""
        if not self._image.is_complete:
            return
        labels = self._engine.labels(self._image.identifier)
        if labels.get(SOURCES_LABEL) != python_environment.sources_digest():
            raise SandboxUnavailable(
                "the guest image was built from other sources than this version's; build it again: "
                "deploy/build-guest-image.sh"
            )

    def _run(self, start: Start, slot: Slot, undo: ExitStack) -> RunningContainer:
        gpu = start.device is not None
        profile = container.as_profile(seccomp.docker_profile(gpu))
        identity = container.Identity(self._owner, slot.user, slot.data, self._cover)
        setup = container.setup(start, self._image, identity, seccomp.compile_filter(gpu))
        request = container.create_request(start, self._image, identity, profile)
        identifier = self._engine.create(f"deltanas-{self._owner}-{start.name}", request)
        undo.callback(self._remove, identifier)
        text = json.dumps(setup).encode()
        relay = Relay(self._engine.attach(identifier), process_one.SETUP_LENGTH.pack(len(text)) + text)
        undo.callback(relay.close)
        self._engine.start(identifier)
        relay.start()
        account = self._account(identifier, relay)
        undo.callback(account.memory.close)
        running = RunningContainer(self._engine, identifier, start.runtime, relay, account, slot.data)
        undo.callback(running.kill)
        # Not before its accounts are known: a guest that takes all memory at once would take them along.
        relay.let_in()
        relay.started.wait(START_SECONDS)
        if relay.failure or relay.lost.is_set() or not relay.started.is_set():
            why = relay.failure or relay.complaint or "it ended, or said nothing"
            raise SandboxUnavailable(f"the sandbox did not start: {why}")
        return running

    def _account(self, identifier: str, relay: Relay) -> Account:
        """The container's control groups, once it is certain that it is made of the pinned image."""
        state = self._engine.inspect(identifier)
        if state is None or not state.running:
            relay.lost.wait(1.0)
            raise SandboxUnavailable(f"the container ended at once: {relay.complaint or state}")
        if state.image != self._image.identifier:
            raise SandboxUnavailable(f"the container is made of {state.image}, not of the pinned image")
        return find_account(identifier, state.pid)

    def _remove(self, identifier: str) -> None:
        with suppress(EngineUnavailable):
            self._engine.remove(identifier)

    def _take_slot(self, name: str) -> Slot:
        """A user id for a new sandbox, at random because others on this host draw from the same range, and
        its data folder."""
        with self._lock:
            if name in self._slots:
                raise SandboxUnavailable(f"a sandbox of the name {name} runs already")
            free = sorted(set(SANDBOX_USERS) - {slot.user for slot in self._slots.values()})
            if not free:
                raise SandboxUnavailable(f"{len(SANDBOX_USERS)} sandboxes run already")
            try:
                data = self._data_folders.make(name)
                self._hand_over(data)
            except OSError as error:
                raise SandboxUnavailable(f"no data folder could be made: {error}") from error
            slot = self._slots[name] = Slot(random.choice(free), data)  # noqa: S311  nothing secret
            return slot

    def _hand_over(self, data: Path) -> None:
        """Let the client fill the folder. The folders above stay the launcher's: it could swap them."""
        if self._client != os.geteuid():
            os.chown(data, self._client, -1)
            for above in (data.parent, data.parent.parent, self._home):
                above.chmod(PASSABLE_MODE)

    def _release(self, name: str) -> None:
        with self._lock:
            slot = self._slots.pop(name)
        self._data_folders.remove(slot.data)
