"""That a memory limit was reached is known although its control group is gone, whichever version it is of."""

import os
import secrets
import subprocess
import sys

import pytest

from contracts.measurements import MIB
from sandbox_runner.sandboxes.cgroups.discovery import find_hierarchy
from sandbox_runner.sandboxes.cgroups.files import GroupLimits
from sandbox_runner.sandboxes.docker.memory_watch import LegacyMemoryWatch, UnifiedMemoryWatch

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(60)]


@pytest.fixture(scope="module")
def hierarchy():
    made = find_hierarchy(os.environ)
    yield made
    made.close()


@pytest.fixture
def group(hierarchy):
    made = hierarchy.create(f"watched-{secrets.token_hex(4)}", GroupLimits(48 * MIB, 32, 1))
    yield made
    made.kill()
    made.remove()


@pytest.fixture
def watch(hierarchy, group):
    kind = LegacyMemoryWatch if hierarchy.version == "v1" else UnifiedMemoryWatch
    made = kind(group.entrances[0].parent)
    yield made
    made.close()


def run_within(group, code):
    enter = "".join(f"echo 0 > {entrance} && " for entrance in group.entrances)
    return subprocess.run(
        ["/bin/sh", "-c", f'{enter} exec "$@"', "sh", sys.executable, "-c", code], check=False
    )


def test_kill_for_memory_is_known_after_the_group_is_gone(group, watch):
    assert run_within(group, "held = []\nwhile True: held.append(bytes(b'x' * 2**20))").returncode == -9
    assert group.remove()
    assert watch.was_reached()


def test_kill_for_memory_is_known_while_the_group_is_there(group, watch):
    run_within(group, "held = []\nwhile True: held.append(bytes(b'x' * 2**20))")
    assert watch.was_reached()


def test_plain_end_is_none_for_memory(group, watch):
    assert run_within(group, "import os; os.kill(os.getpid(), 9)").returncode == -9
    assert not watch.was_reached()
    assert group.remove()
    assert not watch.was_reached()


def test_closing_twice_is_fine(watch):
    watch.close()
    watch.close()
