import os

import pytest

from sandbox_runner.sandboxes.cgroups import legacy
from sandbox_runner.sandboxes.cgroups.files import GroupLimits
from sandbox_runner.sandboxes.port import SandboxUnavailable, Usage

FILES = {
    "memory": {
        "memory.stat": "cache 9000\nrss 10\nshmem 20\ntotal_cache 9000\ntotal_rss 4096\ntotal_shmem 512\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
        "memory.limit_in_bytes": "67108864\n",
        "memory.max_usage_in_bytes": "9000\n",
        "memory.memsw.limit_in_bytes": "0\n",
    },
    "pids": {"pids.events": "max 3\n"},
    "cpu": {"cpu.cfs_quota_us": "100000\n"},
    "cpuacct": {"cpuacct.usage": "1500000000\n"},
}
"""What the kernel shows of one group, with swap accounted for (Documentation/admin-guide/cgroup-v1)."""


@pytest.fixture
def folders(tmp_path):
    for controller, files in FILES.items():
        (tmp_path / controller).mkdir()
        for name, text in {"cgroup.procs": "", **files}.items():
            (tmp_path / controller / name).write_text(text)
    return {controller: tmp_path / controller for controller in FILES}


def test_usage_is_read_from_each_hierarchy(folders):
    assert legacy.LegacyGroup(folders).usage() == Usage(
        cpu_seconds=1.5, memory_bytes=4608, memory_limit_hits=0, pids_limit_hits=3
    )


def test_kills_by_the_own_limit_are_counted(folders):
    (folders["memory"] / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    (folders["memory"] / "memory.max_usage_in_bytes").write_text(f"{67108864 - 4096}\n")
    assert legacy.LegacyGroup(folders).usage().memory_limit_hits == 2


def test_a_limit_that_was_reached_without_a_kill_is_no_hit(folders):
    (folders["memory"] / "memory.max_usage_in_bytes").write_text("67108864\n")
    assert legacy.LegacyGroup(folders).usage().memory_limit_hits == 0


def test_a_kill_for_want_of_memory_on_the_host_is_the_platforms_fault(folders):
    (folders["memory"] / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    with pytest.raises(SandboxUnavailable, match="not for the sandbox's own limit; run fewer"):
        legacy.LegacyGroup(folders).usage()


def test_a_fork_refused_by_a_limit_around_the_sandbox_is_the_platforms_fault(folders):
    for name, text in (("pids.events", "max 2\n"), ("pids.peak", "40\n"), ("pids.max", "66\n")):
        (folders["pids"] / name).write_text(text)
    with pytest.raises(SandboxUnavailable, match="TasksMax= of the runner's service"):
        legacy.LegacyGroup(folders).usage()


def test_memory_with_swap_is_limited_after_memory_and_to_the_same(folders):
    legacy.LegacyGroup(folders).limit(GroupLimits(memory_bytes=1 << 20, pids=5, cores=2))
    written = {path.name: path.read_text() for folder in folders.values() for path in folder.iterdir()}
    assert written["memory.limit_in_bytes"] == written["memory.memsw.limit_in_bytes"] == str(1 << 20)
    assert (written["pids.max"], written["cpu.cfs_quota_us"]) == ("5", "200000")


def test_a_killed_group_is_not_held_back_by_its_quota(folders):
    assert legacy.LegacyGroup(folders).kill()
    assert (folders["cpu"] / "cpu.cfs_quota_us").read_text() == "-1"


@pytest.fixture
def parents(tmp_path):
    """Where the runner may make its folders; nothing of the kernel's is in them."""
    made = {controller: tmp_path / controller for controller in legacy.CONTROLLERS}
    for folder in made.values():
        folder.mkdir()
    return made


def test_a_sandbox_that_gets_no_group_in_one_hierarchy_leaves_none_in_another(parents):
    hierarchy = legacy.LegacyHierarchy(parents)
    (own,) = parents["cpu"].iterdir()
    own.rmdir()
    with pytest.raises(FileNotFoundError):
        hierarchy.create("attempt-1", GroupLimits(memory_bytes=1 << 20, pids=5, cores=1))
    assert not list(parents["memory"].rglob("attempt-1"))
    hierarchy.close()


def test_a_runner_that_gets_no_group_in_one_hierarchy_leaves_none_in_another(parents):
    parents["cpu"].rmdir()
    open_before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        legacy.LegacyHierarchy(parents)
    assert not list(parents["memory"].iterdir())
    assert len(os.listdir("/proc/self/fd")) == open_before
