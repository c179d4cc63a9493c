import pytest

from contracts.names import IsolationTier
from sandbox_runner.sandboxes import probe
from sandbox_runner.sandboxes.port import SandboxUnavailable, Usage

SOUND = {
    "status": {
        "Uid": "61000\t61000\t61000\t61000",
        "Groups": "",
        "NoNewPrivs": "1",
        "Seccomp": "2",
        **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0000000000000000"),
    },
    "processes": [1, 2],
    "canary": "ENOENT",
    "write": {"/": "EROFS", "/etc": "EROFS"},
    "bounded": {"/tmp": 4194304, "/dev/shm": 4194304},
    "unreadable": [],
    "sockets": {"AF_INET": "EPERM"},
    "interfaces": ["lo"],
    "children": 19,
    "cores": 1.01,
    "memory_child": 9,
}
ACCOUNTED = Usage(cpu_seconds=1, memory_bytes=1, memory_limit_hits=1, pids_limit_hits=1)


def problems(changes, usage=ACCOUNTED, kill_seconds=0.01):
    evidence = probe.Evidence(SOUND | changes, usage, kill_seconds)
    return [problem for problem, holds in probe.CHECKS if not holds(evidence)]


def test_sound_machine_has_no_problem():
    assert problems({}) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"status": SOUND["status"] | {"Uid": "0\t0\t0\t0"}}, "as root"),
        ({"status": SOUND["status"] | {"Groups": "0 27"}}, "groups"),
        ({"status": SOUND["status"] | {"CapBnd": "00000000a80425fb"}}, "capabilities"),
        ({"status": SOUND["status"] | {"NoNewPrivs": "0"}}, "no_new_privs"),
        ({"status": SOUND["status"] | {"Seccomp": "0"}}, "seccomp"),
        ({"processes": list(range(1, 90))}, "processes of the host"),
        ({"canary": "allowed"}, "file of the host"),
        ({"write": {"/etc": "allowed"}}, "writable"),
        ({"bounded": {"/tmp": 1 << 30, "/dev/shm": 4194304}}, "not bounded"),
        ({"unreadable": ["/srv/venv/lib"]}, "chmod"),
        ({"sockets": {"AF_INET": "allowed"}}, "network can be reached"),
        ({"interfaces": ["eth0", "lo"]}, "interfaces"),
        ({"children": 200}, "pids"),
        ({"cores": 2.0}, "CPU quota"),
        ({"memory_child": 0}, "memory limit"),
    ],
)
def test_each_gap_is_named(changes, problem):
    (found,) = problems(changes)
    assert problem in found


def test_limits_that_are_not_accounted_are_problems():
    silent = Usage(cpu_seconds=1, memory_bytes=1, memory_limit_hits=0, pids_limit_hits=0)
    assert len(problems({}, silent)) == 2


def test_slow_kill_is_a_problem():
    assert len(problems({}, kill_seconds=1.5)) == 1


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
