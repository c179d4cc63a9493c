import errno
import fcntl
import json
import os
import platform
import re
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pyseccomp
import pytest

from sandbox_runner.sandboxes import seccomp, system_calls
from sandbox_runner.sandboxes.port import SandboxUnavailable

DEPLOY = Path(seccomp.__file__).parents[2] / "deploy"
NEVER_ALLOWED = set(
    """
    ptrace bpf mount umount2 unshare setns clone3 io_uring_setup io_uring_enter io_uring_register userfaultfd
    keyctl add_key request_key perf_event_open process_vm_readv process_vm_writev kexec_load init_module
    finit_module reboot swapon pivot_root chroot mknod mknodat personality setuid setgid setgroups capset
    setresuid setresgid seccomp open_by_handle_at pidfd_getfd splice vmsplice tee shmget msgget semget mq_open
    execveat syslog iopl ioperm quotactl setrlimit fanotify_init inotify_init1 fsopen open_tree
    move_mount""".split()  # noqa: SIM905
)
TO_BECOME_ANOTHER_USER = {"setgroups", "setresgid", "setresuid", "capset"}
ALLOW, KILL_PROCESS, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
REFUSED, ABSENT = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
CLONE_NEWUSER, CLONE_THREAD, TIOCSTI, TCGETS = 0x10000000, 0x00010000, 0x5412, 0x5401
X86_64, I386 = 0xC000003E, 0x40000003
NVIDIA_IOCTL, UVM_REGISTER_GPU, UVM_INITIALIZE = 0xC020462A, 37, 0x30000001

on_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="writes down numbers of x86-64")


def ask(program: bytes, call: str | int, *arguments: int, architecture: int = X86_64) -> int:
    """What the classic BPF program answers, by the few instructions that libseccomp uses."""
    number = pyseccomp.resolve_syscall(pyseccomp.system_arch(), call) if isinstance(call, str) else call
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<iIQ6Q", number, architecture, 0, *padded)
    instructions = list(struct.iter_unpack("<HBBI", program))
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, constant = instructions[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, constant)
        elif code == 0x54:
            accumulator &= constant
        elif code == 0x05:
            at += constant
        elif code == 0x06:
            return constant
        else:
            holds = {
                0x15: accumulator == constant,
                0x25: accumulator > constant,
                0x35: accumulator >= constant,
            }
            at += if_true if holds[code] else if_false


@pytest.fixture(scope="module", params=[False, True], ids=["cpu", "gpu"])
def program(request):
    return seccomp.compile_filter(request.param)


def names_in(profile: dict) -> set[str]:
    return {name for rule in profile["syscalls"] for name in rule["names"]}


def rules_of(profile: dict, call: str) -> list[list[dict]]:
    return [rule.get("args", []) for rule in profile["syscalls"] if call in rule["names"]]


def test_filter_is_whole_bpf_instructions_and_always_the_same():
    program = seccomp.compile_filter()
    assert len(program) % struct.calcsize("HBBI") == 0
    assert 0 < len(program) // 8 < 4096
    assert program == seccomp.compile_filter()


def test_filter_needs_no_room_on_any_disk(monkeypatch, tmp_path):
    program = seccomp.compile_filter()
    (tmp_path / "no folder").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no folder"))
    assert seccomp.compile_filter() == program


def test_no_dangerous_call_is_on_the_list():
    policies = (
        (system_calls.guest_policy(gpu=True), set()),
        (system_calls.container_policy(gpu=True), TO_BECOME_ANOTHER_USER),
    )
    for policy, excepted in policies:
        allowed = [name for names in policy.allowed.values() for name in names]
        assert len(allowed) == len(set(allowed))
        named = set(allowed) | {rule.call for rule in policy.restricted}
        assert named & NEVER_ALLOWED == excepted & NEVER_ALLOWED
        assert not {rule.call for rule in policy.restricted} & set(allowed)


@on_x86_64
def test_filter_refuses_every_dangerous_call(program):
    known = [name for name in NEVER_ALLOWED if pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) >= 0]
    assert len(known) > 40
    assert {name: ask(program, name) for name in known} == {
        name: ABSENT if name == "clone3" else REFUSED for name in known
    }


@on_x86_64
def test_filter_lets_through_what_python_needs(program):
    for call in ("read", "openat", "mmap", "futex", "execve", "exit_group", "fork"):
        assert ask(program, call) == ALLOW


@on_x86_64
def test_filter_looks_at_arguments(program):
    assert ask(program, "clone", CLONE_THREAD) == ALLOW
    assert ask(program, "clone", CLONE_THREAD | CLONE_NEWUSER) == REFUSED
    assert ask(program, "socket", socket.AF_UNIX) == ALLOW
    assert ask(program, "socket", socket.AF_INET) == REFUSED
    assert ask(program, "ioctl", 0, TCGETS) == ALLOW
    assert ask(program, "ioctl", 0, TIOCSTI) == REFUSED
    assert ask(program, "prctl", system_calls.PR_SET_SECCOMP, system_calls.SECCOMP_MODE_FILTER) == REFUSED
    assert ask(program, "prlimit64", 0, 7, 0) == ALLOW
    assert ask(program, "prlimit64", 0, 7, 1 << 32) == REFUSED


@on_x86_64
def test_filter_keeps_a_guest_from_what_no_limit_counts(program):
    anonymous, huge_pages = 0x22, 0x40000
    assert ask(program, "mmap", 0, 4096, 3, anonymous) == ALLOW
    assert ask(program, "mmap", 0, 4096, 3, anonymous | huge_pages) == REFUSED
    assert ask(program, "memfd_create", 0, 1) == ALLOW
    assert ask(program, "memfd_create", 0, 1 | 4) == REFUSED
    assert ask(program, "flock", 0, fcntl.LOCK_EX) == ALLOW
    for record_lock in (fcntl.F_SETLK, fcntl.F_SETLKW, fcntl.F_OFD_SETLK, fcntl.F_OFD_SETLKW):
        assert ask(program, "fcntl", 0, record_lock) == REFUSED


@on_x86_64
def test_filter_keeps_a_guest_from_slowing_down_others(program):
    assert ask(program, "setpriority", os.PRIO_PROCESS, 0, 19) == ALLOW
    assert ask(program, "setpriority", os.PRIO_PROCESS, 1, 19) == REFUSED
    assert ask(program, "setpriority", os.PRIO_USER, 0, 19) == REFUSED
    assert ask(program, "setpriority", os.PRIO_PGRP, 0, 19) == REFUSED
    assert ask(program, "sched_setaffinity", 0) == ALLOW
    assert ask(program, "sched_setaffinity", 1) == REFUSED


@on_x86_64
def test_upper_half_of_an_int_argument_changes_nothing(program):
    assert ask(program, "socket", 1 << 32 | socket.AF_INET) == REFUSED
    assert ask(program, "ioctl", 0, 1 << 32 | TIOCSTI) == REFUSED


@on_x86_64
def test_other_instruction_sets_end_the_process(program):
    assert ask(program, 20, architecture=I386) == KILL_PROCESS
    assert ask(program, 0x40000000 | 39) == KILL_PROCESS


@on_x86_64
def test_only_a_sandbox_with_a_gpu_reaches_its_driver():
    without, with_gpu = seccomp.compile_filter(), seccomp.compile_filter(gpu=True)
    requests = [
        *(("ioctl", 0, request) for request in (NVIDIA_IOCTL, UVM_REGISTER_GPU, UVM_INITIALIZE)),
        *((name,) for name in system_calls.ALLOWED_ON_GPU["memory beside a GPU"].split()),
    ]
    for call, *arguments in requests:
        assert ask(without, call, *arguments) == REFUSED, call
        assert ask(with_gpu, call, *arguments) == ALLOW, call


def test_kernel_obeys_the_filter():
    """The interpreter above is ours; this is the kernel's."""
    code = (
        "import socket; from sandbox_runner.sandboxes import first_process, seccomp\n"
        "first_process.load_filter(seccomp.compile_filter())\n"
        "socket.socket(socket.AF_UNIX); print('unix'); socket.socket(socket.AF_INET)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=DEPLOY.parent)
    assert ended.stdout == "unix\n"
    assert "PermissionError" in ended.stderr


def test_missing_libseccomp_is_unavailable_with_its_remedy(monkeypatch):
    monkeypatch.setattr(seccomp, "IMPORT_PROBLEM", "libseccomp cannot be used; apt-get install libseccomp2")
    with pytest.raises(SandboxUnavailable, match="apt-get install libseccomp2"):
        seccomp.compile_filter()


@pytest.mark.parametrize("gpu", [False, True])
def test_profile_denies_by_default_and_names_nothing_dangerous(gpu):
    profile = seccomp.docker_profile(gpu)
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", errno.EPERM)
    allowed = [rule for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
    (absent,) = [rule for rule in profile["syscalls"] if rule not in allowed]
    assert absent == {
        "names": ["clone3", "openat2"],
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": errno.ENOSYS,
    }
    assert NEVER_ALLOWED & names_in({"syscalls": allowed}) == TO_BECOME_ANOTHER_USER


def test_profile_knows_only_the_machines_own_instruction_set():
    for one in seccomp.docker_profile()["archMap"]:
        assert one["subArchitectures"] == []


def test_profile_keeps_every_argument_condition():
    profile = seccomp.docker_profile()
    namespaces = [
        {
            "index": 0,
            "value": system_calls.CLONE_NEW_NAMESPACES,
            "valueTwo": 0,
            "op": "SCMP_CMP_MASKED_EQ",
        }
    ]
    unix = [{"index": 0, "value": 0xFFFFFFFF, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}]
    assert rules_of(profile, "clone") == [namespaces]
    assert rules_of(profile, "socket") == rules_of(profile, "socketpair") == [unix]
    assert rules_of(profile, "prlimit64") == [[{"index": 2, "value": 0, "op": "SCMP_CMP_EQ"}]]
    assert {one["valueTwo"] for (one,) in rules_of(profile, "ioctl")} == set(system_calls.IOCTLS)
    for call in {rule.call for rule in system_calls.RESTRICTED}:
        assert all(rules_of(profile, call)), f"{call} is allowed whatever its arguments"


def test_container_may_give_up_rights_and_otherwise_only_what_the_guest_may():
    for gpu in (False, True):
        guest, container = system_calls.guest_policy(gpu), system_calls.container_policy(gpu)
        (purpose,) = container.allowed.keys() - guest.allowed.keys()
        more = {name for name in container.allowed[purpose] if not name.startswith("landlock_")}
        assert more == TO_BECOME_ANOTHER_USER
        assert {**guest.allowed, purpose: container.allowed[purpose]} == container.allowed
        rules = set(container.restricted) - set(guest.restricted)
        assert {rule.call for rule in rules} == {"prctl"}
        options = {tuple(one.value for one in rule.conditions) for rule in rules}
        load_a_filter, keep_capabilities, drop_one_for_good = (22, 2), (8,), (24,)
        assert options == {load_a_filter, keep_capabilities, drop_one_for_good}


@on_x86_64
def test_guest_may_restrict_itself_no_further(program):
    for call in system_calls.ALLOWED_AT_START["giving up rights"].split():
        assert ask(program, call) == REFUSED
    for option in (system_calls.PR_SET_KEEPCAPS, system_calls.PR_CAPBSET_DROP):
        assert ask(program, "prctl", option) == REFUSED


@pytest.mark.parametrize(("name", "gpu"), seccomp.PROFILES.items())
def test_committed_profile_is_the_one_that_the_code_renders(name, gpu, tmp_path):
    seccomp.main([str(tmp_path)])
    committed = (DEPLOY / name).read_text()
    assert committed == (tmp_path / name).read_text(), "run python -m sandbox_runner.sandboxes.seccomp deploy"
    assert json.loads(committed) == seccomp.docker_profile(gpu)


def test_profiles_differ_in_what_a_gpu_needs_alone():
    without, with_gpu = seccomp.docker_profile(), seccomp.docker_profile(gpu=True)
    assert names_in(with_gpu) - names_in(without) == {"get_mempolicy", "mbind", "set_mempolicy"}
    more = [rule for rule in with_gpu["syscalls"] if rule not in without["syscalls"]]
    assert {name for rule in more for name in rule["names"] if "args" in rule} == {"ioctl"}
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in names_in(with_gpu))
