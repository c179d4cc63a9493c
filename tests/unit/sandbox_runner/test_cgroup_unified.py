import os

import pytest
from fakes import FakeCgroupTree

from sandbox_runner.sandboxes.cgroups import unified
from sandbox_runner.sandboxes.cgroups.files import CgroupsUnavailable, GroupLimits
from sandbox_runner.sandboxes.port import SandboxUnavailable, Usage

LIMITS = GroupLimits(memory_bytes=1 << 30, pids=66, cores=2)


def runner_groups(top):
    return list(top.glob("deltanas.*"))


def test_limits_are_written_and_swap_is_refused(tmp_path, monkeypatch):
    FakeCgroupTree(tmp_path, monkeypatch)
    group = unified.UnifiedHierarchy(tmp_path).create("attempt-1", LIMITS)
    folder = group.entrances[0].parent
    written = {
        name: (folder / name).read_text() for name in ("memory.max", "pids.max", "cpu.max", "memory.swap.max")
    }
    assert written == {
        "memory.max": str(1 << 30),
        "pids.max": "66",
        "cpu.max": "200000 100000",
        "memory.swap.max": "0",
    }
    assert (folder / "cgroup.controllers").read_text().split() == ["cpu", "memory", "pids"]


def test_usage_is_read_from_the_kernels_files(tmp_path, monkeypatch):
    FakeCgroupTree(tmp_path, monkeypatch)
    group = unified.UnifiedHierarchy(tmp_path).create("attempt-1", LIMITS)
    assert group.usage() == Usage(
        cpu_seconds=1.5, memory_bytes=4096 + 512, memory_limit_hits=2, pids_limit_hits=3
    )


@pytest.mark.parametrize(
    ("events", "hits"),
    [
        ("low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n", 0),
        ("low 0\nhigh 0\nmax 812\noom 0\noom_kill 0\n", 0),
        ("low 0\nhigh 0\nmax 812\noom 3\noom_kill 1\n", 1),
        ("low 0\nhigh 0\nmax 812\noom 1\noom_kill 4\noom_group_kill 1\n", 4),
    ],
    ids=["quiet", "page cache was reclaimed", "one kill", "a group"],
)
def test_kills_by_the_own_memory_limit_are_counted(tmp_path, monkeypatch, events, hits):
    FakeCgroupTree(tmp_path, monkeypatch)
    group = unified.UnifiedHierarchy(tmp_path).create("attempt-1", LIMITS)
    (group.entrances[0].parent / "memory.events").write_text(events)
    assert group.usage().memory_limit_hits == hits


def test_a_kill_for_want_of_memory_on_the_host_is_the_platforms_fault(tmp_path, monkeypatch):
    FakeCgroupTree(tmp_path, monkeypatch)
    group = unified.UnifiedHierarchy(tmp_path).create("attempt-1", LIMITS)
    (group.entrances[0].parent / "memory.events").write_text("max 7\noom 0\noom_kill 1\n")
    with pytest.raises(SandboxUnavailable, match="not for the sandbox's own limit; run fewer"):
        group.usage()


@pytest.mark.parametrize(("peak", "is_own"), [("66", True), ("65", True), ("40", False)])
def test_a_fork_refused_by_a_limit_around_the_sandbox_is_the_platforms_fault(
    tmp_path, monkeypatch, peak, is_own
):
    FakeCgroupTree(tmp_path, monkeypatch)
    group = unified.UnifiedHierarchy(tmp_path).create("attempt-1", LIMITS)
    (group.entrances[0].parent / "pids.events").write_text("max 2\n")
    (group.entrances[0].parent / "pids.peak").write_text(peak)
    if is_own:
        assert group.usage().pids_limit_hits == 2
        return
    with pytest.raises(SandboxUnavailable, match="TasksMax= of the runner's service"):
        group.usage()


def test_memory_is_anonymous_and_shared_and_leaves_the_page_cache_out(tmp_path, monkeypatch):
    FakeCgroupTree(tmp_path, monkeypatch)
    group = unified.UnifiedHierarchy(tmp_path).create("attempt-1", LIMITS)
    (group.entrances[0].parent / "memory.stat").write_text(
        "anon 5000\nfile 90000\nkernel 400\nsock 0\nshmem 3000\nfile_mapped 80000\nanon_thp 4096\n"
    )
    assert group.usage().memory_bytes == 8000


def test_a_killed_group_is_not_held_back_by_its_quota(tmp_path, monkeypatch):
    FakeCgroupTree(tmp_path, monkeypatch)
    group = unified.UnifiedHierarchy(tmp_path).create("attempt-1", LIMITS)
    group.kill()
    assert (group.entrances[0].parent / "cpu.max").read_text() == "max"


def test_kill_uses_the_kernels_switch_and_remove_frees_the_folder(tmp_path, monkeypatch):
    FakeCgroupTree(tmp_path, monkeypatch)
    group = unified.UnifiedHierarchy(tmp_path).create("attempt-1", LIMITS)
    group.entrances[0].write_text("4242")
    assert group.kill()
    assert group.remove()
    assert not group.entrances[0].parent.exists()


def test_processes_of_the_delegated_group_move_into_a_leaf(tmp_path, monkeypatch):
    FakeCgroupTree(tmp_path, monkeypatch, processes=(11, 12))
    unified.UnifiedHierarchy(tmp_path)
    leaf = tmp_path / unified.PROCESSES_LEAF / "cgroup.procs"
    assert sorted(leaf.read_text().split()) == ["11", "12"]
    assert (tmp_path / "cgroup.subtree_control").read_text().split() == ["cpu", "memory", "pids"]


def test_missing_controller_is_named_with_its_remedy(tmp_path, monkeypatch):
    FakeCgroupTree(tmp_path, monkeypatch, controllers="memory pids")
    with pytest.raises(CgroupsUnavailable, match=r"lacks the controllers cpu; .*Delegate="):
        unified.UnifiedHierarchy(tmp_path)


def test_leftovers_of_dead_runners_are_swept_and_living_runners_are_spared(tmp_path, monkeypatch):
    FakeCgroupTree(tmp_path, monkeypatch)
    living = unified.UnifiedHierarchy(tmp_path)
    living.create("attempt-1", LIMITS)
    (dead,) = (tmp_path / name for name in ["deltanas.0123456789ab"])
    dead.mkdir()
    (dead / "attempt-9").mkdir()
    (dead / "attempt-9" / "cgroup.procs").write_text("4242")
    unified.UnifiedHierarchy(tmp_path)
    assert not dead.exists()
    assert sum((group / "attempt-1").is_dir() for group in runner_groups(tmp_path)) == 1


def test_closed_runner_leaves_no_group(tmp_path, monkeypatch):
    FakeCgroupTree(tmp_path, monkeypatch)
    unified.UnifiedHierarchy(tmp_path).close()
    assert runner_groups(tmp_path) == []


def test_a_group_that_cannot_hand_its_controllers_down_is_not_kept(tmp_path, monkeypatch):
    FakeCgroupTree(tmp_path, monkeypatch)
    hand_down, open_before = unified._hand_down_controllers, len(os.listdir("/proc/self/fd"))

    def refuse_below(folder):
        if folder != tmp_path:
            raise CgroupsUnavailable("no controller can be enabled")
        hand_down(folder)

    monkeypatch.setattr(unified, "_hand_down_controllers", refuse_below)
    with pytest.raises(CgroupsUnavailable, match="no controller"):
        unified.UnifiedHierarchy(tmp_path)
    assert runner_groups(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) == open_before
