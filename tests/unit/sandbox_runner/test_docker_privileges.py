"""Giving up privileges in a container is believed only when the kernel shows it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox_runner.sandboxes.docker import privileges

SOURCES = Path(privileges.__file__).parents[3]
USER = 60_801

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")


def become(call, forgotten=""):
    """Run `call`, of which one step is forgotten: the last line of what was said, and the exit code."""
    code = f"""
import os
from sandbox_runner.sandboxes.docker import privileges
if {forgotten!r}:
    privileges.{forgotten or "unused"} = lambda *_: None
privileges.{call}({USER})
print(os.getresuid(), os.getresgid(), os.getgroups())
"""
    ended = subprocess.run([sys.executable, "-S", "-c", code], cwd=SOURCES, capture_output=True, text=True)
    return (ended.stdout + ended.stderr).strip().splitlines()[-1], ended.returncode


@pytest.mark.parametrize("call", ["become_guest_user", "become_keeper"])
def test_user_and_groups_are_another_ones_afterwards(call):
    user = (USER, USER, USER)
    assert become(call) == (f"{user} {user} []", 0)


@pytest.mark.parametrize("call", ["become_guest_user", "become_keeper"])
@pytest.mark.parametrize(
    ("forgotten", "complaint"),
    [
        ("_empty_bounding_set", "PermissionError: capabilities were kept: CapBnd"),
        ("_change_user", f"PermissionError: the user did not become {USER} alone"),
    ],
)
def test_step_that_had_no_effect_is_an_error(call, forgotten, complaint):
    said, code = become(call, forgotten)
    assert said.startswith(complaint)
    assert code == 1


def test_keeper_that_kept_more_than_it_may_is_an_error():
    said, code = become("become_keeper", "_keep_capabilities")
    assert said.startswith("PermissionError: capabilities were kept: CapPrm")
    assert code == 1
