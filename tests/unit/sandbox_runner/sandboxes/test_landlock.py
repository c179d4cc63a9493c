"""Landlock as data; that it binds a guest is shown by the behaviour suite."""

import subprocess
import sys
from pathlib import Path

import pytest

from sandbox_runner.sandboxes import landlock, platform_code

SOURCES = Path(landlock.__file__).parents[2]


@pytest.mark.parametrize(
    ("abi", "has", "lacks"),
    [
        (2, landlock.REFER, landlock.TRUNCATE),
        (3, landlock.TRUNCATE, landlock.IOCTL_DEV),
        (5, landlock.IOCTL_DEV, landlock.IOCTL_DEV << 1),
        (99, landlock.IOCTL_DEV, landlock.IOCTL_DEV << 1),
    ],
)
def test_only_rights_that_the_version_knows_are_asked_for(abi, has, lacks):
    assert landlock.handled_rights(abi) & has
    assert not landlock.handled_rights(abi) & lacks


@pytest.mark.parametrize(("abi", "size"), [(2, 8), (3, 8), (4, 16), (5, 16), (6, 24), (7, 24)])
def test_an_older_kernel_gets_no_more_of_the_structure_than_it_knows(abi, size):
    assert landlock.ruleset_bytes(abi) == size


@pytest.mark.parametrize("abi", [0, 1])
def test_a_kernel_without_landlock_is_no_error(monkeypatch, abi):
    monkeypatch.setattr(landlock, "kernel_abi", lambda: abi)
    assert landlock.restrict(read=("/",)) == 0


def test_what_runs_inside_before_the_guest_needs_nothing_but_a_bare_interpreter():
    """It is on the path of every start, and a sandbox has no other packages at that point."""
    names = [f"sandbox_runner.sandboxes.{name}" for name in platform_code.MODULES]
    code = (
        f"import sys; sys.path.insert(0, {str(SOURCES)!r}); before = set(sys.modules)\n"
        f"import {', '.join(names)}\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert {"typing", "dataclasses", "contextlib", "subprocess"}.isdisjoint(ended.stdout.split())
    assert not set(ended.stdout.split()) - set(sys.stdlib_module_names) - {"sandbox_runner"}
