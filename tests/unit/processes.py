"""The processes of this machine as tests look at them from outside, whatever hostile ones call themselves."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

_Answer = TypeVar("_Answer")


PATIENCE = 3.0
"""How much longer than on an idle machine all may take: the parts of `make test` share two cores."""


def until(condition: Callable[[], _Answer], seconds: float, what: str | Callable[[], str]) -> _Answer:
    """The first true answer of `condition`; `seconds` is ample on an idle machine, `what` says for what."""
    give_up = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < give_up:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds * PATIENCE} s: {what() if callable(what) else what}")


def is_running(pid: int) -> bool:
    """Whether it has not ended. Who has and is not yet collected by its parent does not run."""
    try:
        return _after_the_name(pid)[0] not in b"ZX"
    except OSError:
        return False


def children_of(ancestor: int) -> set[int]:
    """Its own children."""
    return _families().get(ancestor, set())


def descendants_of(ancestor: int) -> set[int]:
    """Its children, their children, and so on."""
    families = _families()
    found: set[int] = set()
    pending = [ancestor]
    while pending:
        children = families.get(pending.pop(), set())
        found |= children
        pending += children
    return found


def modules_run_by(parent: int) -> dict[str, int]:
    """The children that run `python -m something`, by that module's name."""
    found = {}
    for child in children_of(parent):
        with suppress(OSError):
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if words[1:2] == [b"-m"]:
                found[words[2].decode()] = child
    return found


def _families() -> dict[int, set[int]]:
    """The children of every process that has any."""
    found: dict[int, set[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.setdefault(int(_after_the_name(int(folder.name))[1]), set()).add(int(folder.name))
    return found


def _after_the_name(pid: int) -> list[bytes]:
    """State, parent and so on. The name before them, in parentheses, may hold anything, and be no text."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
