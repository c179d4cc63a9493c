from dataclasses import replace

import pytest

from contracts.names import IsolationTier
from sandbox_runner.sandboxes import probe, probe_checks, probe_inside
from sandbox_runner.sandboxes.port import Exit, SandboxUnavailable, Usage

COUNTED = Usage(cpu_seconds=1.0, memory_bytes=1, memory_limit_hits=1, pids_limit_hits=1)
SILENT = Usage(cpu_seconds=1.0, memory_bytes=1, memory_limit_hits=0, pids_limit_hits=0)
SAID = {
    "status": {
        "Uid": "61000\t61000\t61000\t61000",
        "Groups": "",
        **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0000000000000000"),
    },
    "no_new_privs": 1,
    "seccomp": 2,
    "processes": [1, 2],
    "environment": ["HOME", "PATH"],
    "calls": {},
    "canary": ["ENOENT", "EACCES"],
    "write": {"/": "EROFS", "/etc": "EROFS"},
    "switches": [],
    "devices": ["1:3", "1:9"],
    "own_process": "EACCES",
    "unreadable": [],
    "bounded": {"/tmp": 4194304, "/dev/shm": 4194304},
    "sparse": {"/tmp": "EFBIG", "/dev/shm": "EFBIG"},
    "files": {"/tmp": 1022, "/dev/shm": 1022},
    "sockets": [],
    "interfaces": ["lo"],
    "abstract": "ECONNREFUSED",
    "children": 19,
}
SOUND = probe_checks.Evidence(
    walls=probe_checks.Scene(SAID, {"no files": SILENT, "files": SILENT}, COUNTED, cores=1.01),
    memory=probe_checks.Scene({"child": 9}, usage=COUNTED, exit=Exit(0, None)),
    files=probe_checks.Scene({"child": 9}, usage=COUNTED, exit=Exit(0, None)),
    plain_kill=probe_checks.Scene(usage=SILENT, exit=Exit(None, 9)),
    stop=probe_checks.Scene(kill_seconds=0.01),
    forks=probe_checks.Scene(usage=COUNTED, kill_seconds=0.01),
    needs_landlock=True,
)


def problems(evidence):
    return [str(check) for check in probe_checks.CHECKS if not check.holds(evidence)]


def with_scene(name, **changes):
    return replace(SOUND, **{name: replace(getattr(SOUND, name), **changes)})


def test_sound_machine_has_no_problem():
    assert problems(SOUND) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"status": SAID["status"] | {"Uid": "0\t0\t0\t0"}}, "as root"),
        ({"status": SAID["status"] | {"Groups": "0 27"}}, "groups"),
        ({"status": SAID["status"] | {"CapBnd": "00000000a80425fb"}}, "capabilities"),
        ({"no_new_privs": 0}, "no_new_privs"),
        ({"seccomp": 0}, "seccomp"),
        ({"processes": list(range(1, 90))}, "processes of the host"),
        ({"environment": ["DELTANAS_TOKEN", "PATH"]}, "environment of the host"),
        ({"calls": {"bpf": "allowed"}}, "system calls"),
        ({"canary": ["ENOENT", "allowed"]}, "file of the host"),
        ({"write": {"/etc": "allowed"}}, "writable"),
        ({"switches": ["/proc/sys/kernel/core_pattern"]}, "switches"),
        ({"devices": ["1:3", "8:0"]}, "devices"),
        ({"own_process": "allowed"}, "Landlock"),
        ({"bounded": {"/tmp": 1 << 30, "/dev/shm": 4194304}}, "size is not bounded"),
        ({"sparse": {"/tmp": "allowed"}}, "any length"),
        ({"files": {"/tmp": probe_inside.MOST_FILES, "/dev/shm": 1022}}, "number of files"),
        ({"unreadable": ["/srv/venv/lib"]}, "chmod"),
        ({"sockets": ["AF_INET"]}, "network can be reached"),
        ({"interfaces": ["eth0", "lo"]}, "interfaces"),
        ({"abstract": "allowed"}, "abstract socket"),
        ({"children": 200}, "pids"),
        ({"children": 0}, "pids"),
    ],
)
def test_each_gap_in_the_walls_is_named(changes, problem):
    (found,) = problems(with_scene("walls", said=SAID | changes))
    assert problem in found


@pytest.mark.parametrize(
    ("scene", "changes", "problem"),
    [
        ("memory", {"usage": SILENT}, "memory limit does not kill"),
        ("memory", {"said": {"child": 0}}, "memory limit does not kill"),
        ("files", {"usage": SILENT}, "do not count as memory"),
        ("files", {"said": {"child": 0}}, "do not count as memory"),
        ("plain_kill", {"usage": COUNTED}, "plain kill"),
        ("plain_kill", {"exit": Exit(137, None)}, "plain kill"),
        ("plain_kill", {"exit": None}, "plain kill"),
        ("walls", {"usage": SILENT}, "pids"),
        ("walls", {"cores": 2.0}, "CPU quota"),
        ("walls", {"pipes_block": True}, "pipes block"),
        ("walls", {"lent_file_is_whole": False}, "can be emptied; runsc install"),
        ("stop", {"kill_seconds": 1.5}, "stopped sandbox"),
        ("forks", {"kill_seconds": 1.5}, "forks"),
    ],
)
def test_each_limit_that_does_not_hold_is_named(scene, changes, problem):
    (found,) = problems(with_scene(scene, **changes))
    assert problem in found


def test_a_sandbox_that_the_memory_limit_ends_as_a_whole_is_proof_as_well():
    assert problems(with_scene("memory", said={}, exit=Exit(None, 9))) == []


def test_files_whose_number_the_memory_limit_alone_bounds_must_weigh_on_it():
    said = SAID | {"files": dict.fromkeys(("/tmp", "/dev/shm"), probe_inside.MOST_FILES)}
    heavy = replace(SILENT, memory_bytes=2_000_000)
    assert problems(with_scene("walls", said=said, held={"no files": SILENT, "files": heavy})) == []
    assert len(problems(with_scene("walls", said=said))) == 1


def test_devices_that_gvisor_emulates_are_not_the_hosts():
    emulated = with_scene("walls", said=SAID | {"devices": ["1:3", "10:229", "fuse"]})
    assert len(problems(emulated)) == 1
    assert problems(replace(emulated, is_emulated=True)) == []


def test_landlock_is_no_condition_where_there_is_none():
    without = with_scene("walls", said=SAID | {"own_process": "allowed"})
    assert problems(replace(without, needs_landlock=False)) == []


def test_every_problem_says_what_mends_it():
    assert all(
        check.remedy and str(check) == f"{check.problem}; {check.remedy}" for check in probe_checks.CHECKS
    )


class BrokenBackend:
    name, tier = "broken", IsolationTier.NAMESPACES

    def __init__(self, error):
        self._error = error

    def launch(self, spec):
        raise self._error


def test_backend_that_cannot_start_reports_why():
    report = probe.probe_backend(BrokenBackend(SandboxUnavailable("no bwrap; apt-get install bubblewrap")))
    assert not report.available
    assert report.problems == ("no bwrap; apt-get install bubblewrap",)


def test_defect_of_the_probe_is_a_problem_and_not_an_exception():
    report = probe.probe_backend(BrokenBackend(KeyError("surprise")))
    assert not report.available
    assert "surprise" in report.problems[0]
