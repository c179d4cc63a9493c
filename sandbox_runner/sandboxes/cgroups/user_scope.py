"""Has an ordinary user's systemd move this process into a group of its own that it may divide.

A login gives a user no such group, and a process that waits for `systemd-run` to be typed before it would be
one step more for everybody. What is asked for here is what `systemd-run --user --scope` asks for, but for a
process that runs already: nothing is started again, and it is the same however the runner was started.
"""

import os
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from sandbox_runner.sandboxes.cgroups.files import CgroupsUnavailable

PROGRAM = "/usr/bin/busctl"
CALL_SECONDS = 10
MOVE_SECONDS = 5.0
"""From systemd's answer until the kernel shows this process in its new group; some milliseconds."""
MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")


def enter_scope(controllers: tuple[str, ...], own_group: Callable[[], str]) -> str:
    """Move this process into a new scope that may hand these controllers on; its group, by `own_group`.

    The scope ends with its last process. Raises CgroupsUnavailable with systemd's words.
    """
    runtime = f"/run/user/{os.getuid()}"
    if not (Path(PROGRAM).exists() and Path(runtime, "bus").exists()):
        raise CgroupsUnavailable("no systemd of this user answers here")
    unit = f"deltanas-{os.getpid()}-{secrets.token_hex(4)}.scope"
    try:
        asked = subprocess.run(
            scope_request(unit, os.getpid(), controllers),
            env={"XDG_RUNTIME_DIR": runtime},
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CgroupsUnavailable(f"systemd of this user did not answer within {CALL_SECONDS} s") from error
    if asked.returncode != 0:
        raise CgroupsUnavailable(f"systemd gave this user no scope ({asked.stderr.strip()})")
    deadline = time.monotonic() + MOVE_SECONDS
    while unit not in (group := own_group()).split("/"):
        if time.monotonic() > deadline:
            raise CgroupsUnavailable(f"systemd did not move this process into {unit}")
        time.sleep(0.01)
    return group


def scope_request(unit: str, process: int, controllers: tuple[str, ...]) -> list[str]:
    """The call StartTransientUnit(name, mode, properties, auxiliary units) of org.freedesktop.systemd1(5)."""
    properties = [
        *("Description", "s", "deltanas: the sandbox runner and its sandboxes"),
        *("PIDs", "au", "1", str(process)),
        *("DelegateControllers", "as", str(len(controllers)), *controllers),
        *("CollectMode", "s", "inactive-or-failed"),
    ]
    return [
        *(PROGRAM, "--user", "call", *MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))"),
        *(unit, "fail", "4", *properties, "0"),
    ]
