"""What an engine's own report must say, and what mends it where it does not."""

import pytest

from sandbox_runner.sandboxes.docker.engine import Engine, EngineUnavailable, find_problems
from sandbox_runner.sandboxes.docker.wire import Runtime

FIT = {
    "OSType": "linux",
    "Runtimes": {"runc": {}, "runsc": {}},
    "CgroupDriver": "systemd",
    "MemoryLimit": True,
    "PidsLimit": True,
    "CpuCfsQuota": True,
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"],
}


@pytest.mark.parametrize("runtime", Runtime)
def test_engine_that_has_everything_has_no_problem(runtime):
    assert list(find_problems(FIT, runtime)) == []


@pytest.mark.parametrize(
    ("lacks", "remedy"),
    [
        ({"Runtimes": {"runc": {}}}, "runsc install -- --platform=systrap --directfs=false"),
        ({"CgroupDriver": "none"}, "Delegate=cpu memory pids"),
        ({"MemoryLimit": False}, "memory limit"),
        ({"PidsLimit": None}, "limit of processes"),
        ({"CpuCfsQuota": False}, "CPU quota"),
        ({"SecurityOptions": []}, "without seccomp"),
        ({"OSType": "windows"}, "Linux machine"),
    ],
)
def test_each_lack_is_named_with_what_mends_it(lacks, remedy):
    (problem,) = find_problems({**FIT, **lacks}, Runtime.RUNSC)
    assert remedy in problem


def test_engine_that_nobody_runs_is_unavailable_with_the_command_that_installs_one(tmp_path):
    engine = Engine(f"unix://{tmp_path}/docker.sock")
    with pytest.raises(EngineUnavailable, match=r"apt-get install docker\.io"):
        engine.check(Runtime.RUNC)
