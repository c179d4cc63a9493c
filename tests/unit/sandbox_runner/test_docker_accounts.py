"""Where a container's control groups are, by the kernel's own files; never those of somebody else."""

import pytest

from sandbox_runner.sandboxes.cgroups.legacy import CONTROLLERS, LegacyGroup
from sandbox_runner.sandboxes.cgroups.unified import UnifiedGroup
from sandbox_runner.sandboxes.docker.accounts import find_account
from sandbox_runner.sandboxes.port import SandboxUnavailable

CONTAINER = "4f0c" * 16
PID = 4711


class Machine:
    """A proc file system and control groups in a folder."""

    def __init__(self, folder):
        self.proc, self.cgroups = folder / "proc", folder / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / str(PID)).mkdir()

    def mount(self, *lines):
        (self.proc / "self" / "mountinfo").write_text("".join(f"{line}\n" for line in lines))

    def belongs(self, *lines):
        (self.proc / str(PID) / "cgroup").write_text("".join(f"{line}\n" for line in lines))

    def legacy_mounts(self):
        return [
            f"30 20 0:{number} / {self.cgroups / name} rw - cgroup cgroup rw,{name}"
            for number, name in enumerate(CONTROLLERS, start=30)
        ]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_version_1_is_found_by_controller_also_where_version_2_is_mounted_beside(machine):
    machine.mount(
        *machine.legacy_mounts(), f"31 20 0:50 / {machine.cgroups / 'unified'} rw - cgroup2 cgroup2 rw"
    )
    machine.belongs(
        *(f"{n}:{name}:/docker/{CONTAINER}" for n, name in enumerate(CONTROLLERS, 1)),
        f"0::/docker/{CONTAINER}",
    )
    for name in CONTROLLERS:
        (machine.cgroups / name / "docker" / CONTAINER).mkdir(parents=True)
    account = find_account(CONTAINER, PID, machine.proc)
    account.memory.close()
    assert isinstance(account.group, LegacyGroup)
    assert {entrance.parent for entrance in account.group.entrances} == {
        machine.cgroups / name / "docker" / CONTAINER for name in CONTROLLERS
    }


def test_version_2_is_found_as_systemd_names_it(machine):
    scope = f"system.slice/docker-{CONTAINER}.scope"
    machine.mount(f"31 20 0:50 / {machine.cgroups} rw - cgroup2 cgroup2 rw")
    machine.belongs(f"0::/{scope}")
    (machine.cgroups / scope).mkdir(parents=True)
    account = find_account(CONTAINER, PID, machine.proc)
    account.memory.close()
    assert isinstance(account.group, UnifiedGroup)
    assert account.group.entrances == (machine.cgroups / scope / "cgroup.procs",)


@pytest.mark.parametrize("group", ["/", "/docker/" + "beef" * 16, "/system.slice/ssh.service"])
def test_group_of_somebody_else_is_refused(machine, group):
    machine.mount(f"31 20 0:50 / {machine.cgroups} rw - cgroup2 cgroup2 rw")
    machine.belongs(f"0::{group}")
    (machine.cgroups / group.lstrip("/")).mkdir(parents=True, exist_ok=True)
    with pytest.raises(SandboxUnavailable, match="same machine"):
        find_account(CONTAINER, PID, machine.proc)


def test_process_that_has_gone_is_named(machine):
    machine.mount()
    with pytest.raises(SandboxUnavailable, match="cannot be found"):
        find_account(CONTAINER, 4712, machine.proc)
