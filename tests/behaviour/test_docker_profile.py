"""deploy/seccomp.json as an engine loads it, before any filter of our own: it bites, and Python still runs.

Where a container runs, process 1 loads a stricter filter on top; the tests of the walls see both together.
"""

import json
from pathlib import Path

import docker
import pytest
from docker.types import Mount
from docker_engine import Engine, missing
from test_sandbox_walls import FORBIDDEN, SYSCALL

from sandbox_runner import python_environment
from sandbox_runner.sandboxes import seccomp
from sandbox_runner.sandboxes.docker.guest_image import find_image
from sandbox_runner.sandboxes.docker.wire import Runtime

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(120)]

DEPLOY = Path(seccomp.__file__).parents[2] / "deploy"
NVIDIA_REQUEST = (16, 0, 0xC020462A, 0)
GET_MEMPOLICY = (239, 0, 0, 0, 0, 0)
SEVERAL = """
import os, threading, subprocess, sys
threading.Thread(target=print, args=("thread",)).start()
print(subprocess.run([sys.executable, "-c", "print('child')"], capture_output=True).stdout.decode())
"""
LOADS_A_FILTER = (
    SYSCALL
    + """
print(json.dumps([call(157, 38, 1, 0, 0, 0), call(157, 22, 2, 0, 0, 0), call(157, 4, 0, 0, 0, 0)]))
"""
)
"""no_new_privs, PR_SET_SECCOMP (of no filter: EFAULT says that the call was let through), dumpable."""


@pytest.fixture(scope="module")
def container():
    """Runs a program in a container under a profile: what it printed, and its exit code."""
    problem = missing(Runtime.RUNC)
    if problem:
        pytest.skip(f"the profile is not tested on this machine: {problem}")
    engine, image = Engine(), find_image(None)
    try:
        engine.start()
        client = docker.DockerClient(engine.address, version="1.41")
        client.api.load_image(image.archive)

        def run(code, profile="seccomp.json"):
            security = ["no-new-privileges:true"]
            security += [f"seccomp={(DEPLOY / profile).read_text() if profile else 'unconfined'}"]
            mounts = python_environment.interpreter_mounts()
            made = client.containers.create(
                image.identifier,
                [python_environment.interpreter(), "-I", "-S", "-c", code],
                user="65534:65534",
                network_mode="none",
                read_only=True,
                cap_drop=["ALL"],
                security_opt=security,
                mounts=[Mount(one.inside, str(one.host), "bind", read_only=True) for one in mounts],
            )
            made.start()
            ended = made.wait(timeout=60)["StatusCode"]
            said = made.logs().decode()
            made.remove()
            return said, ended

        yield run
        client.close()
    finally:
        engine.stop()


def test_every_forbidden_call_fails_with_eperm(container):
    code = SYSCALL + f"print(json.dumps({{name: call(*c) for name, c in {FORBIDDEN!r}.items()}}))"
    assert json.loads(container(code)[0]) == dict.fromkeys(FORBIDDEN, "EPERM")


def test_without_the_profile_the_same_calls_are_let_through(container):
    """Else the test above would prove nothing."""
    code = SYSCALL + "print(json.dumps([call(101, 0, 0, 0, 0), call(135, 0xFFFFFFFF), call(425, 1, 0)]))"
    assert json.loads(container(code, profile=None)[0]) == ["allowed", "allowed", "EFAULT"]


def test_calls_that_hide_their_flags_seem_not_to_exist(container):
    code = SYSCALL + "print(json.dumps([call(435, 0, 0), call(437, 0, 0, 0, 0)]))"
    assert json.loads(container(code)[0]) == ["ENOSYS", "ENOSYS"]


def test_calls_of_another_instruction_set_end_the_process(container):
    assert container(SYSCALL + "call(0x40000000 + 39)") == ("", 128 + 31)


def test_threads_and_children_run(container):
    said, ended = container(SEVERAL)
    assert (sorted(said.split()), ended) == (["child", "thread"], 0)


def test_process_1_may_load_the_guests_filter(container):
    assert json.loads(container(LOADS_A_FILTER)[0]) == ["allowed", "EFAULT", "allowed"]


def test_only_the_profile_for_gpus_lets_requests_to_the_driver_pass(container):
    code = SYSCALL + f"print(json.dumps([call(*{NVIDIA_REQUEST}), call(*{GET_MEMPOLICY})]))"
    assert json.loads(container(code)[0]) == ["EPERM", "EPERM"]
    assert json.loads(container(code, "seccomp-gpu.json")[0]) == ["ENOTTY", "allowed"]
