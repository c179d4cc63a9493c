import os
import subprocess
from pathlib import Path

import pytest

from sandbox_runner.sandboxes.cgroups import discovery, unified, user_scope
from sandbox_runner.sandboxes.cgroups.files import CgroupsUnavailable

HYBRID = """\
24 1 0:22 / /proc rw,nosuid - proc proc rw
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 /docker/abc /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
34 30 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
OWN = "4:memory:/docker/abc/inner\n3:pids:/somewhere\n1:cpu,cpuacct:/\n0::/user.slice\n"


def test_mounts_and_own_groups_are_read():
    mounts = discovery.read_mounts(HYBRID)
    assert [(str(mount.point), mount.is_unified) for mount in mounts] == [
        ("/sys/fs/cgroup/cpu,cpuacct", False),
        ("/sys/fs/cgroup/memory", False),
        ("/sys/fs/cgroup/pids", False),
        ("/sys/fs/cgroup/unified", True),
    ]
    assert mounts[0].controllers >= {"cpu", "cpuacct"}
    own = discovery.read_own_groups(OWN)
    assert own == {
        "memory": "/docker/abc/inner",
        "pids": "/somewhere",
        "cpu": "/",
        "cpuacct": "/",
        "": "/user.slice",
    }


def test_groups_are_placed_below_what_a_container_sees():
    memory = discovery.read_mounts(HYBRID)[1]
    assert memory.folder_of("/docker/abc/inner") == Path("/sys/fs/cgroup/memory/inner")
    assert memory.folder_of("/elsewhere") == Path("/sys/fs/cgroup/memory")


def legacy_mounts(tmp_path, controllers):
    return [discovery.CgroupMount(tmp_path / name, "/", frozenset({name}), False) for name in controllers]


def test_legacy_parents_follow_the_own_group_or_the_override(tmp_path):
    controllers = ("memory", "pids", "cpu", "cpuacct")
    for name in controllers:
        (tmp_path / name / "own").mkdir(parents=True)
        (tmp_path / name / "given").mkdir()
    mounts = legacy_mounts(tmp_path, controllers)
    own = dict.fromkeys(controllers, "/own")
    assert discovery.legacy_parents(mounts, own, "")["pids"] == tmp_path / "pids" / "own"
    assert discovery.legacy_parents(mounts, own, "/given")["pids"] == tmp_path / "pids" / "given"


def test_missing_legacy_controller_is_named(tmp_path):
    (tmp_path / "memory").mkdir()
    with pytest.raises(CgroupsUnavailable, match="pids cgroup controller is not mounted"):
        discovery.legacy_parents(legacy_mounts(tmp_path, ("memory",)), {"memory": "/"}, "")


def unified_mount(tmp_path):
    return discovery.CgroupMount(tmp_path, "/", frozenset(), True)


def test_override_wins(tmp_path):
    assert discovery.unified_parent(unified_mount(tmp_path), "/a", "/given") == Path("/given")


def test_nearest_delegated_group_is_divided(tmp_path, monkeypatch):
    (tmp_path / "service" / "deltanas-processes").mkdir(parents=True)
    delegated = tmp_path / "service"
    monkeypatch.setattr(discovery, "_is_delegated", lambda folder: folder == delegated)
    assert discovery.unified_parent(unified_mount(tmp_path), "/service/deltanas-processes", "") == delegated
    assert discovery.unified_parent(unified_mount(tmp_path), "/service", "") == delegated


def test_root_without_delegation_divides_the_top(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert discovery.unified_parent(unified_mount(tmp_path), "/session", "") == tmp_path


@pytest.fixture
def ordinary_user(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def no_scope(controllers, own_group):
    raise CgroupsUnavailable("no systemd of this user answers here")


@pytest.mark.usefixtures("ordinary_user")
def test_user_without_delegation_gets_a_scope(tmp_path, monkeypatch):
    """In a session over ssh as well as in one of the user's own systemd: neither is to be divided."""
    monkeypatch.setattr(user_scope, "enter_scope", lambda controllers, own_group: "/user/deltanas-1.scope")
    monkeypatch.setattr(discovery, "_is_delegated", lambda folder: folder.name == "user@1000.service")
    (tmp_path / "user@1000.service" / "app.scope").mkdir(parents=True)
    for own in ("/session-3.scope", "/user@1000.service/app.scope"):
        parent = discovery.unified_parent(unified_mount(tmp_path), own, "")
        assert parent == tmp_path / "user" / "deltanas-1.scope"


@pytest.mark.usefixtures("ordinary_user")
def test_a_group_that_is_divided_already_is_divided_again(tmp_path, monkeypatch):
    """For a second backend of the same process: no second scope is asked for."""
    monkeypatch.setattr(user_scope, "enter_scope", no_scope)
    scope = tmp_path / "deltanas-1.scope"
    (scope / unified.PROCESSES_LEAF).mkdir(parents=True)
    (scope / "cgroup.subtree_control").touch()
    own = f"/deltanas-1.scope/{unified.PROCESSES_LEAF}"
    assert discovery.unified_parent(unified_mount(tmp_path), own, "") == scope


@pytest.mark.usefixtures("ordinary_user")
def test_user_without_systemd_divides_a_group_that_is_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setattr(user_scope, "enter_scope", no_scope)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cgroup.subtree_control").touch()
    assert discovery.unified_parent(unified_mount(tmp_path), "/mine", "") == tmp_path / "mine"


@pytest.mark.usefixtures("ordinary_user")
def test_user_without_delegation_is_told_the_command(tmp_path, monkeypatch):
    (tmp_path / "session").mkdir()
    monkeypatch.setattr(user_scope, "enter_scope", no_scope)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(CgroupsUnavailable, match="systemd-run --user --scope"):
        discovery.unified_parent(unified_mount(tmp_path), "/session", "")


def test_a_systemd_that_does_not_answer_is_named(monkeypatch):
    def hang(command, **_):
        raise subprocess.TimeoutExpired(command, user_scope.CALL_SECONDS)

    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(user_scope.subprocess, "run", hang)
    with pytest.raises(CgroupsUnavailable, match="did not answer within 10 s"):
        user_scope.enter_scope(unified.CONTROLLERS, lambda: "/")


def test_machine_without_cgroups_is_unavailable(tmp_path):
    (tmp_path / "mountinfo").write_text("24 1 0:22 / /proc rw,nosuid - proc proc rw\n")
    (tmp_path / "cgroup").write_text("")
    with pytest.raises(CgroupsUnavailable, match="memory"):
        discovery.find_hierarchy({}, tmp_path)


def test_a_scope_is_asked_for_with_this_process_and_its_controllers():
    request = user_scope.scope_request("deltanas-7.scope", 7, ("cpu", "memory", "pids"))
    said = " ".join(request[request.index("StartTransientUnit") :])
    assert "deltanas-7.scope fail 4 " in said
    assert "PIDs au 1 7 " in said
    assert "DelegateControllers as 3 cpu memory pids " in said


def test_no_scope_is_expected_where_no_systemd_of_the_user_answers(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    with pytest.raises(CgroupsUnavailable, match="no systemd"):
        user_scope.enter_scope(("memory",), lambda: "/")
