"""The specification of a container: every wall is in it, and nothing of a request but numbers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.measurements import MIB
from sandbox_runner import python_environment
from sandbox_runner.sandboxes import seccomp
from sandbox_runner.sandboxes.docker import container
from sandbox_runner.sandboxes.docker.container import Identity, as_profile, create_request, setup
from sandbox_runner.sandboxes.docker.guest_image import SANDBOX_USERS, GuestImage, compose_image
from sandbox_runner.sandboxes.docker.wire import Runtime, Start

IMAGE = compose_image({"bin": "usr/bin"})
COMPLETE = GuestImage("sha256:" + "a" * 64, None)
IDENTITY = Identity("owner", 60_801, Path("/state/container-data/attempt-1"), Path("/state/nothing"))
START = Start(
    runtime=Runtime.RUNC,
    name="attempt-1",
    argv=(python_environment.interpreter(), "-c", "pass"),
    environment={"HOME": "/tmp"},
    memory_bytes=512 * MIB,
    pids=64,
    disk_bytes=8 * MIB,
    wall_seconds=900.0,
    threads=2,
    device=None,
)


def request(start=START, image=IMAGE):
    return create_request(start, image, IDENTITY, as_profile(seccomp.docker_profile()))


@pytest.fixture(params=Runtime)
def host(request):
    return create_request(
        replace(START, runtime=request.param), IMAGE, IDENTITY, as_profile(seccomp.docker_profile())
    )["HostConfig"]


def ulimits(host):
    return {one["Name"]: (one["Soft"], one["Hard"]) for one in host["Ulimits"]}


def test_no_network_no_shared_namespace_and_only_the_capabilities_to_become_another_user(host):
    assert host["NetworkMode"] == "none"
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] == ["KILL", "SETGID", "SETPCAP", "SETUID"]  # process 1 gives them up
    assert not host["Privileged"]
    assert host["ReadonlyRootfs"]
    assert (host["IpcMode"], host["PidMode"], host["UTSMode"]) == ("none", "", "")
    assert host["CgroupnsMode"] == "private"
    assert host["DeviceRequests"] == []


def test_system_call_filter_is_ours_and_denies_by_default(host):
    assert host["SecurityOpt"][0] == "no-new-privileges"
    name, _, profile = host["SecurityOpt"][1].partition("=")
    assert name == "seccomp"
    assert json.loads(profile)["defaultAction"] == "SCMP_ACT_ERRNO"


def test_memory_has_no_swap_and_an_allowance_for_the_platform(host):
    assert host["Memory"] == host["MemorySwap"] > START.memory_bytes
    assert host["MemorySwappiness"] == 0


def test_cpu_quota_is_the_threads(host):
    assert host["CpuQuota"] / host["CpuPeriod"] == START.threads


def test_tasks_are_limited_on_the_host_under_runc_and_inside_under_runsc():
    assert request()["HostConfig"]["PidsLimit"] == START.pids + container.PLATFORM_PIDS
    assert "nproc" not in ulimits(request()["HostConfig"])
    inside = request(replace(START, runtime=Runtime.RUNSC))["HostConfig"]
    assert ulimits(inside)["nproc"] == (START.pids - 1,) * 2
    assert inside["PidsLimit"] == container.RUNSC_PIDS


def test_every_writable_file_system_is_sized_in_bytes_and_files(host):
    writable = {path: options for path, options in host["Tmpfs"].items() if "rw" in options.split(",")}
    assert set(writable) == {"/tmp", "/dev/shm"}
    for options in writable.values():
        assert {"nosuid", "nodev", "mode=1777", f"size={START.disk_bytes}", "nr_inodes=1024"} <= set(
            options.split(",")
        )


def test_every_mount_is_read_only_private_and_without_what_is_mounted_below(host):
    for mount in host["Mounts"]:
        assert mount["ReadOnly"]
        assert mount["BindOptions"] == {"Propagation": "rprivate", "NonRecursive": True}


def test_installed_packages_of_the_host_are_emptied(host):
    for folder in python_environment.hidden_folders():
        assert host["Tmpfs"][str(folder)].startswith("nosuid,nodev,ro")


def test_guest_and_process_one_are_told_to_become_two_users_and_neither_is_root():
    told = setup(START, IMAGE, IDENTITY, b"")
    assert told["guest_user"] == 60_801
    assert told["keeper"] not in {0, *SANDBOX_USERS}


def test_secrets_have_no_place():
    made = request()
    assert made["Env"] == []
    assert made["Labels"] == {container.OWNER_LABEL: "owner", container.NAME_LABEL: "attempt-1"}


def test_words_of_a_request_reach_neither_command_nor_mounts_nor_options():
    word = "deltanas-marker"
    start = replace(START, argv=(word, f"--privileged={word}"), environment={"MARKER": word})
    assert word not in json.dumps(request(start))
    told = setup(start, IMAGE, IDENTITY, b"")
    assert told["argv"] == [word, f"--privileged={word}"]
    assert told["environment"] == {"MARKER": word}


def test_a_device_is_exactly_one_gpu():
    (asked,) = request(replace(START, device="GPU-8a5f0c1e-0000"))["HostConfig"]["DeviceRequests"]
    assert asked["DeviceIDs"] == ["GPU-8a5f0c1e-0000"]
    assert "Count" not in asked


def test_complete_image_gets_data_and_process_one_alone_from_the_host():
    made = request(image=COMPLETE)
    assert made["Image"] == COMPLETE.identifier
    sources = {mount["Target"] for mount in made["HostConfig"]["Mounts"]}
    assert "/data" in sources
    assert not any(target.startswith(("/usr", "/opt/deltanas/packages")) for target in sources)
    assert made["Entrypoint"][0] == setup(START, COMPLETE, IDENTITY, b"")["argv"][0] == "/usr/bin/python3"


def test_process_one_outlives_the_longest_wait_and_no_more():
    told = setup(START, IMAGE, IDENTITY, b"\x01\x02")
    assert told["lifetime_seconds"] == START.wall_seconds + 3600
    assert told["filter"] == "0102"
    assert told["task_limit"] is None
    inside = setup(replace(START, runtime=Runtime.RUNSC), IMAGE, IDENTITY, b"")
    assert inside["task_limit"] == START.pids + 1


def test_guest_may_write_where_it_is_sized_and_control_devices_with_a_gpu_alone():
    told = setup(START, IMAGE, IDENTITY, b"")["reach"]
    assert told["write"] == ["/tmp", "/dev/shm"]
    assert "controlled_devices" not in told
    with_gpu = setup(replace(START, device="GPU-8a5f0c1e-0000"), IMAGE, IDENTITY, b"")["reach"]
    assert with_gpu == {**told, "controlled_devices": ["/dev"]}


def test_guest_of_a_complete_image_may_start_its_own_interpreter():
    assert "/usr" in setup(START, COMPLETE, IDENTITY, b"")["reach"]["execute"]
