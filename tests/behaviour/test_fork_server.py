"""Forked sandboxes: held to everything that cold ones are held to, and shown to be like them.

The suites of every backend run again here, each test against a sandbox that was forked.
"""

import os
import secrets
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import test_sandbox_port
import test_sandbox_view
import test_sandbox_walls
from fork_servers import evaluate, forking_backend, open_library
from sandbox_harness import FOLDER, SMALL, read_until, run, running, spec

from contracts.measurements import MIB
from sandbox_runner import python_environment
from sandbox_runner.sandboxes.fork_server import backend as forking
from sandbox_runner.sandboxes.namespaces import NamespacesBackend

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason=forking.NOT_ROOT),
]

ROOMY = replace(SMALL, memory_bytes=1024 * MIB, pids=64)

NEEDS_ITS_OWN_FORK_SERVER = {
    # its like is in test_fork_server_ends.py
    "test_sandbox_dies_with_a_runner_that_is_killed_and_its_cgroups_are_swept",
    # changes what is mounted, which a fork server took from its start on; see the test of equal views
    "test_what_else_is_installed_on_the_host_is_hidden",
}
for suite in (test_sandbox_port, test_sandbox_walls, test_sandbox_view):
    for name, test in vars(suite).items():
        if name.startswith("test_") and name not in NEEDS_ITS_OWN_FORK_SERVER:
            globals()[name] = test


@pytest.fixture(scope="module")
def forks():
    made = forking_backend()
    yield made
    made.close()


@pytest.fixture
def backend(forks):
    """Not vacuous: what the test launches is forked, from the first sandbox to the last."""
    assert forks.why_cold() == ""
    yield forks
    assert forks.why_cold() == ""


@pytest.fixture(scope="module")
def cold():
    made = NamespacesBackend(FOLDER)
    yield made
    made.close()


# --- equal to a cold start

EVERYTHING_VISIBLE = """
import hashlib, json, os, pwd, resource, socket, stat, sys, threading

def text(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError as error:
        return type(error).__name__

def files(top):
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if (folder, name) != ("/", "proc"))
        for name in ("", *sorted(names)):
            seen = os.lstat(os.path.join(folder, name))
            owner = "own" if seen.st_uid == os.getuid() else seen.st_uid
            yield folder, name, seen.st_mode, owner, seen.st_nlink

def seen(path):
    inside = sorted(os.listdir(path)) if os.path.isdir(path) and not path.endswith("self") else []
    return [os.lstat(path).st_mode, os.lstat(path).st_rdev, inside]

def limits(folder):
    seen = os.statvfs(folder)
    return [seen.f_frsize * seen.f_blocks, seen.f_files, seen.f_flag]

status = dict(line.split(":\\t", 1) for line in text("/proc/self/status").splitlines())
wanted = "Name Umask Groups NStgid NSpid NSpgid NSsid Threads SigBlk SigIgn SigCgt TracerPid"
wanted = [*wanted.split(), "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"]
own = str(os.getuid())
print(json.dumps({
    "status": {name: status.get(name) for name in wanted},
    "command": text("/proc/self/cmdline"),
    "environment": text("/proc/self/environ"),
    "python": [sys.argv, sys.orig_argv, sys.path, list(sys.flags), sorted(globals()), dict(os.environ)],
    "user": list(pwd.getpwuid(os.getuid()))[::6] + [os.getuid() == os.getgid(), os.getgroups()],
    "users": [text(path).replace(own, "own") for path in ("/etc/passwd", "/etc/group")],
    "descriptors": [os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in range(5)],
    "processes": [text(f"/proc/{pid}/{name}") for pid in (1, 2) for name in ("comm", "oom_score_adj")],
    "limits": [resource.getrlimit(number) for number in range(16)],
    "folder": os.getcwd(),
    "host": socket.gethostname(),
    "group": text("/proc/self/cgroup"),
    "mounts": text("/proc/self/mountinfo"),
    "interfaces": [line.split(":")[0] for line in text("/proc/net/dev").splitlines()],
    "temporary": [limits("/tmp"), limits("/dev/shm")],
    "proc": sorted(name for name in os.listdir("/proc") if not name.isdigit()),
    "hidden": [[name, seen(f"/proc/{name}")] for name in sorted(os.listdir("/proc")) if not name.isdigit()],
    "files": hashlib.sha256(json.dumps(list(files("/"))).encode()).hexdigest(),
    "top": sorted(os.listdir("/")),
}))
"""


def test_a_guest_sees_the_same_world_cold_and_forked(backend, cold):
    forked, started = (run(one, EVERYTHING_VISIBLE, ROOMY, seconds=60).said for one in (backend, cold))

    assert forked.keys() == started.keys()
    assert {name: forked[name] for name in forked if forked[name] != started[name]} == {}, started


def test_a_guest_has_imported_the_same_modules_cold_and_forked(backend, cold):
    guest = python_environment.guest_spec("modules", ROOMY, 1)
    run_it = "runpy.run_module('sandbox_runner.guest', run_name='__main__', alter_sys=True)"
    look = "import sandbox_runner.guest.__main__; print(__import__('json').dumps(sorted(sys.modules)))"
    assert run_it in guest.argv[-1]
    code = guest.argv[-1].replace(run_it, look)
    forked, started = (set(run(one, code, ROOMY, seconds=60).said) for one in (backend, cold))

    assert "torch" in started
    assert started - forked == set()
    assert forked - started == set()


@pytest.mark.parametrize("threads", [1, 2])
def test_libraries_compute_with_as_many_threads_as_after_a_cold_start(backend, cold, threads):
    packages = sorted(
        {
            str(Path(mount.inside).parent)
            for mount in python_environment.guest_mounts()
            if "/packages/" in mount.inside
        }
    )
    code = f"""
        import ctypes, json, sys
        sys.path += {packages!r}
        import numpy, torch
        libraries = {{line.split()[-1] for line in open("/proc/self/maps") if "openblas" in line}}
        found = [ctypes.CDLL(path).scipy_openblas_get_num_threads64_() for path in libraries]
        torch.set_num_threads({threads})
        print(json.dumps([found, torch.get_num_threads(), torch.__config__.parallel_info().count("\\n")]))
    """
    forked, started = (
        run(one, textwrap.dedent(code), ROOMY, threads=threads, seconds=60).said for one in (backend, cold)
    )

    assert forked == started
    assert forked[:2] == [[threads], threads]


LEMUR = """
import torch

def supported_hyperparameters():
    return {"lr", "momentum"}

class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(in_shape[1], 8, 3), torch.nn.ReLU(), torch.nn.Dropout(0.1)
        )
        self.classify = torch.nn.LazyLinear(out_shape[0])
        self(torch.zeros(2, *in_shape[1:]))

    def forward(self, images):
        return self.classify(self.features(images).flatten(1))

    def train_setup(self, prm):
        self.criterion = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def learn(self, train_data):
        for images, labels in train_data:
            self.optimizer.zero_grad()
            self.criterion(self(images), labels).backward()
            self.optimizer.step()
        print(float(sum(parameter.double().sum() for parameter in self.parameters())).hex())
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return open_library(tmp_path_factory)


PLAIN = {}
WITH_ITS_OWN_TRAINING = {"source": LEMUR, "hyperparameters": {"lr": 0.05, "momentum": 0.9, "batch": 32}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "threads"),
    [
        pytest.param(PLAIN, 1, id="plain-1"),
        pytest.param(PLAIN, 2, id="plain-2", marks=pytest.mark.full),
        pytest.param(WITH_ITS_OWN_TRAINING, 1, id="lemur-1", marks=pytest.mark.full),
        pytest.param(WITH_ITS_OWN_TRAINING, 2, id="lemur-2", marks=pytest.mark.full),
    ],
)
def test_scores_are_the_same_to_the_last_bit_cold_and_forked(backend, cold, library, changes, threads):
    forked, started = (evaluate(one, library, threads=threads, **changes) for one in (backend, cold))

    assert started.measurement is not None, started.failure
    assert forked.measurement is not None, forked.failure
    assert forked.measurement.accuracy == started.measurement.accuracy
    assert forked.measurement.claimed_train_loss == started.measurement.claimed_train_loss
    assert forked.log == started.log


# --- nothing of the fork server, nothing of other attempts


SEARCH_OWN_MEMORY = """
import json, sys
needles = [text.encode() for text in sys.argv[1:]]
found = [0] * len(needles)
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
    for line in maps.read().splitlines():
        bounds, modes = line.split()[:2]
        begin, end = (int(number, 16) for number in bounds.split("-"))
        if modes[0] == "r" and "[v" not in line:
            for start in range(begin, end, 1 << 20):
                try:
                    memory.seek(start)
                    piece = memory.read(min(1 << 20, end - start))
                except OSError:
                    break
                found = [count + piece.count(needle) for count, needle in zip(found, needles)]
print(json.dumps(found))
"""


def test_nothing_of_an_earlier_sandbox_is_in_the_memory_of_a_later_one(backend):
    """The guest searches itself; what it searches for is there anyway, so counts are compared.

    What its own request held besides is found more often: a request that an ancestor had read would be, too.
    """
    earlier_mark, absent, own_mark = (secrets.token_hex(16) for _ in range(3))

    def marked(mark):
        return {**python_environment.guest_environment(1), "MARK": mark}

    with running(
        backend, "import time; print(1, flush=True); time.sleep(60)", environment=marked(earlier_mark)
    ) as earlier:
        assert "1" in read_until(earlier, lambda text: "1" in text)
        later = spec(SEARCH_OWN_MEMORY, ROOMY, environment=marked(own_mark))
        argv = (*later.argv, earlier_mark, absent, own_mark)
        counts = run(
            backend, SEARCH_OWN_MEMORY, ROOMY, argv=argv, environment=later.environment, seconds=90
        ).said
    assert counts[0] == counts[1] < counts[2]


def test_frames_above_a_guest_hold_nothing_of_the_platform(backend):
    code = """
        import json, sys
        frame, names = sys._getframe(), []
        while frame.f_back:
            frame = frame.f_back
            names.append([frame.f_code.co_name, sorted(frame.f_locals)])
        print(json.dumps(names))
    """
    run_frame, boot_frame = run(backend, textwrap.dedent(code)).said
    assert run_frame == ["run", ["code", "ending", "namespace"]]
    assert boot_frame[0] == "<module>"


def test_a_socket_of_the_fork_server_is_not_inherited(backend):
    code = """
        import json, os
        print(json.dumps(sorted(os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in range(200)
                                if os.path.lexists(f"/proc/self/fd/{fd}"))))
    """
    assert run(backend, textwrap.dedent(code)).said == ["/dev/null", "pipe", "pipe", "pipe", "pipe"]
