"""Process 1 of a container: starts the guest, carries its pipes over the attached streams, reports its end.

Runs inside on the bare standard library. Before the guest's program is loaded it becomes a user of its own,
who may end the guest and has no other privilege. It reads its setup and then the guest's input from stdin,
and writes frames to stdout: what the guest writes is payload and cannot be taken for a report. It leaves, and
the kernel ends everything with it, when stdin hangs up or its lifetime is over; until then it stays, also
after the guest's end, so that the accounts can be read.
"""

import ctypes
import fcntl
import json
import os
import select
import signal
import struct
import time

from sandbox_runner.sandboxes import landlock
from sandbox_runner.sandboxes.docker.privileges import become_guest_user, become_keeper
from sandbox_runner.sandboxes.first_process import (
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    check,
    libc,
    load_filter,
    set_login,
)

HEADER = struct.Struct(">cI")
"""Kind and length of a frame. A frame of no length says that the guest has closed that pipe."""
ANSWERS, OUTPUT, REPORT = b"A", b"O", b"R"
SETUP_LENGTH = struct.Struct(">I")
CHUNK_BYTES = 65_536
MOST_WAITING_BYTES = 1 << 20
"""So much is carried at a time in each direction; then whoever writes has to wait."""
TASKS_LOOK_SECONDS = 0.02
REAP_SECONDS = 2.0
PROCS_IN_SYSINFO = 80
"""Where struct sysinfo has its number of tasks, on 64-bit machines."""


class Relay:
    """The pipes of one guest, and the two streams that lead out of the container."""

    def __init__(self, lifetime_seconds: float, task_limit: int | None) -> None:
        self._deadline = time.monotonic() + lifetime_seconds
        self._task_limit = task_limit
        self._inward = bytearray()
        self._outward = bytearray()
        self.guest_read, self._to_guest = os.pipe()
        self._answers, self.guest_write = os.pipe()
        self._output, self.guest_output = os.pipe()
        self._kinds = {self._answers: ANSWERS, self._output: OUTPUT}
        self._woken, wake = os.pipe()
        for descriptor in (0, 1, self._to_guest, self._answers, self._output, self._woken, wake):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def close_guest_ends(self) -> None:
        """Leave them to the guest."""
        for descriptor in (self.guest_read, self.guest_write, self.guest_output):
            os.close(descriptor)

    def report(self, word: str) -> None:
        """Send a report behind everything that was carried before."""
        self._frame(REPORT, word.encode()[:CHUNK_BYTES])

    def run(self, guest: int) -> None:
        """Carry until it is time to leave; what the guest left behind is ended with it, and reported."""
        ended = not guest
        while self._turn():
            if not ended:
                status = reap(guest)
                if status is not None:
                    ended = True
                    end_everything()
                    self._drain()
                    self.report(describe(status))

    def _turn(self) -> bool:
        """Wait for anything, and deal with it. False when it is time to leave."""
        waiting = select.poll()
        waiting.register(0, select.POLLIN if len(self._inward) < MOST_WAITING_BYTES else 0)
        waiting.register(1, select.POLLOUT if self._outward else 0)
        waiting.register(self._woken, select.POLLIN)
        if self._inward:
            waiting.register(self._to_guest, select.POLLOUT)
        if len(self._outward) < MOST_WAITING_BYTES:
            for descriptor in self._kinds:
                waiting.register(descriptor, select.POLLIN)
        left = self._deadline - time.monotonic()
        if self._task_limit is not None:
            left = min(left, TASKS_LOOK_SECONDS)
        ready = dict(waiting.poll(max(0.0, left) * 1000))
        if time.monotonic() >= self._deadline or ready.get(1, 0) & (select.POLLERR | select.POLLNVAL):
            return False
        if 0 in ready and not self._take_in(ready[0]):
            return False
        if self._woken in ready:
            os.read(self._woken, CHUNK_BYTES)
        if self._to_guest in ready:
            self._give()
        for descriptor in [one for one in self._kinds if one in ready]:
            self._take_out(descriptor)
        if self._outward:
            self._send()
        self._look_at_tasks()
        return True

    def _take_in(self, events: int) -> bool:
        """Read what the host sent. False when it has hung up."""
        if not events & select.POLLIN:
            return not events & (select.POLLHUP | select.POLLERR)
        try:
            chunk = os.read(0, CHUNK_BYTES)
        except BlockingIOError:
            return True
        self._inward += chunk
        return bool(chunk)

    def _give(self) -> None:
        try:
            del self._inward[: os.write(self._to_guest, self._inward[:CHUNK_BYTES])]
        except BlockingIOError:
            pass
        except OSError:
            self._inward.clear()  # The guest has closed its channel: nobody will read this.

    def _take_out(self, descriptor: int) -> bool:
        """Read once from a pipe of the guest. False when there was nothing."""
        try:
            chunk = os.read(descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return False
        self._frame(self._kinds[descriptor], chunk)
        if not chunk:
            del self._kinds[descriptor]
            os.close(descriptor)
        return bool(chunk)

    def _drain(self) -> None:
        """Nobody writes any more: take what the pipes still hold, which is no more than pipes can hold."""
        for descriptor in list(self._kinds):
            while self._take_out(descriptor):
                pass

    def _frame(self, kind: bytes, payload: bytes) -> None:
        self._outward += HEADER.pack(kind, len(payload)) + payload

    def _send(self) -> None:
        try:
            sent = os.write(1, self._outward[:CHUNK_BYTES])
        except BlockingIOError:
            return
        del self._outward[:sent]

    def _look_at_tasks(self) -> None:
        """Where nothing on the host counts refused forks: see whether there are as many tasks as may be."""
        if self._task_limit is not None and count_tasks() >= self._task_limit:
            self._task_limit = None
            self.report("crowded")


def count_tasks() -> int:
    """Processes and threads in this container, under a kernel of its own."""
    buffer = ctypes.create_string_buffer(256)
    check(libc.sysinfo(buffer), "sysinfo")
    return int.from_bytes(buffer.raw[PROCS_IN_SYSINFO : PROCS_IN_SYSINFO + 2], "little")


def reap(guest: int) -> int | None:
    """Collect whoever has ended: the guest's wait status, if it is among them."""
    status = None
    while True:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == guest:
            status = ended


def end_everything() -> None:
    """Kill all that is left in the container, and collect it."""
    deadline = time.monotonic() + REAP_SECONDS
    while strike() and time.monotonic() < deadline:
        reap(0)
        time.sleep(0.001)


def strike() -> bool:
    """Kill everyone but this process. False when there is nobody."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def describe(status: int) -> str:
    """`exited CODE` or `signalled NUMBER`: a code of 137 and signal 9 stay apart."""
    if os.WIFSIGNALED(status):
        return f"signalled {os.WTERMSIG(status)}"
    return f"exited {os.WEXITSTATUS(status)}"


def become_guest(setup: dict, relay: Relay, permit: int, failure: int) -> None:
    """Turn into the guest's program, once `permit` is closed. On failure says why on `failure` and ends."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.read(permit, 1)
        failure = arrange_descriptors(relay, failure)
        enter_walls(setup)
        os.execve(setup["argv"][0], setup["argv"], setup["environment"])  # noqa: S606
    except BaseException as error:  # noqa: BLE001  whatever went wrong, no guest may run
        os.write(failure, f"{type(error).__name__}: {error}".encode()[:2000])
    os._exit(127)


def arrange_descriptors(relay: Relay, failure: int) -> int:
    """Leave the guest its pipes, and `failure`; returns where that is now. Raises OSError."""
    nothing = os.open("/dev/null", os.O_RDWR)
    finals = (nothing, relay.guest_output, relay.guest_output, relay.guest_read, relay.guest_write, failure)
    # They may sit on each other's final numbers: move them out of the way first.
    for final, descriptor in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD, 16) for fd in finals]):
        os.dup2(descriptor, final)
    failure = len(finals) - 1
    os.set_inheritable(failure, False)
    os.closerange(len(finals), 65_536)
    return failure


def enter_walls(setup: dict) -> None:
    """Give up everything that a guest may not have. Raises OSError."""
    os.setsid()
    os.umask(0o077)
    os.chdir("/tmp")  # noqa: S108  the sandbox's own
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    set_login(setup["guest_user"])
    become_guest_user(setup["guest_user"])
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    landlock.restrict(**setup["reach"])
    load_filter(bytes.fromhex(setup["filter"]))


def start_guest(setup: dict, relay: Relay) -> tuple[int, str]:
    """Fork the guest: its process id, and what failed (empty when its program runs)."""
    failed, failure = os.pipe()
    permit, permitted = os.pipe()
    guest = os.fork()
    if guest == 0:
        os.close(permitted)
        become_guest(setup, relay, permit, failure)
    for descriptor in (failure, permit):
        os.close(descriptor)
    relay.close_guest_ends()
    retire(setup)
    os.close(permitted)
    problem = os.read(failed, 2000).decode(errors="replace")
    os.close(failed)
    return guest, problem


def retire(setup: dict) -> None:
    """Keep no privilege but to end the guest, before there is one. Raises OSError."""
    become_keeper(setup["keeper"])
    load_filter(bytes.fromhex(setup["filter"]))


def read_setup() -> dict:
    """The setup, which comes before the guest's input. Raises EOFError when the host has gone."""
    (length,) = SETUP_LENGTH.unpack(read_exactly(SETUP_LENGTH.size))
    setup: dict = json.loads(read_exactly(length))
    return setup


def read_exactly(length: int) -> bytes:
    """That many bytes of stdin."""
    text = b""
    while len(text) < length:
        chunk = os.read(0, length - len(text))
        if not chunk:
            raise EOFError("the host hung up before it had sent the setup")
        text += chunk
    return text


def main() -> None:
    """Set up, start the guest, carry."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    setup = read_setup()
    check(libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable")
    relay = Relay(setup["lifetime_seconds"], setup["task_limit"])
    guest, failed = start_guest(setup, relay)
    relay.report(f"failed {failed}" if failed else "started")
    relay.run(0 if failed else guest)
    os._exit(0)
