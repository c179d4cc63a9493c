"""What every sandbox backend keeps from a guest: system calls, privileges, the network."""

import os
import resource
import socket
import textwrap

import pytest
from sandbox_harness import BACKENDS, PARAMETERS, has_own_kernel, read_until, run, running

from sandbox_runner.sandboxes.port import Exit

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(60)]

SYSCALL = """
import ctypes, errno, json
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_void_p(a) for a in arguments))
    return "allowed" if result >= 0 else errno.errorcode[ctypes.get_errno()]
"""

FORBIDDEN = {
    # numbers of x86-64 (syscall_64.tbl of the kernel), with arguments that are harmless if let through
    "ptrace": (101, 0, 0, 0, 0),
    "personality": (135, 0xFFFFFFFF),
    "pivot_root": (155, 0, 0),
    "chroot": (161, 0),
    "mount": (165, 0, 0, 0, 0, 0),
    "umount2": (166, 0, 0),
    "swapon": (167, 0, 0),
    "reboot": (169, 0, 0, 0, 0),
    "init_module": (175, 0, 0, 0),
    "kexec_load": (246, 0, 0, 0, 0),
    "add_key": (248, 0, 0, 0, 0, 0),
    "request_key": (249, 0, 0, 0, 0),
    "keyctl": (250, 0, 0, 0, 0, 0),
    "unshare": (272, 0x10000000),
    "perf_event_open": (298, 0, 0, 0, 0, 0),
    "open_by_handle_at": (304, 0, 0, 0),
    "setns": (308, 0, 0),
    "process_vm_readv": (310, 0, 0, 0, 0, 0, 0),
    "process_vm_writev": (311, 0, 0, 0, 0, 0, 0),
    "seccomp": (317, 0, 0, 0),
    "bpf": (321, 0, 0, 0),
    "userfaultfd": (323, 0),
    "io_uring_setup": (425, 1, 0),
    "fsopen": (430, 0, 0),
    "pidfd_getfd": (438, 0, 0, 0),
    "mount_setattr": (442, 0, 0, 0, 0, 0),
    "shmget": (29, 1, 4096, 0o666),
    "mq_open": (240, 0, 0, 0, 0),
    "mknod": (133, 0, 0o020666, 0x103),
    "setuid": (105, 0),
    "setresuid": (117, 0, 0, 0),
    "setgroups": (116, 0, 0),
    "syslog": (103, 3, 0, 0),
    "clone into a user namespace": (56, 0x10000000 | 17, 0, 0, 0, 0),
    "TIOCSTI": (16, 0, 0x5412, 0),
    "TIOCSTI with high bits": (16, 0, 0x1_0000_5412, 0),
    "PR_SET_SECCOMP": (157, 22, 1, 0, 0, 0),
    "setrlimit": (160, 4, 0),
    "prlimit64 with a new limit": (302, 0, 4, 1, 0),
    "F_SETLEASE": (72, 0, 1024, 0),
    "F_NOTIFY": (72, 0, 1026, 0),
    "SO_ATTACH_FILTER": (54, 0, 1, 26, 0, 0),
    "SO_ATTACH_BPF": (54, 0, 1, 50, 0, 0),
    "PR_SET_MM": (157, 35, 1, 0, 0, 0),
}


@pytest.fixture(scope="module", params=PARAMETERS)
def backend(request):
    made = BACKENDS[request.param]()
    yield made
    made.close()


def test_forbidden_system_calls_fail_with_eperm(backend):
    code = SYSCALL + f"print(json.dumps({{name: call(*c) for name, c in {FORBIDDEN!r}.items()}}))"
    assert run(backend, code).said == dict.fromkeys(FORBIDDEN, "EPERM")


def test_calls_that_hide_their_flags_seem_not_to_exist(backend):
    assert (
        run(backend, SYSCALL + "print(json.dumps([call(435, 0, 0), call(437, 0, 0, 0, 0)]))").said
        == ["ENOSYS"] * 2
    )


def test_system_calls_of_another_architecture_end_the_process(backend):
    getpid_of_x32 = 0x40000000 + 39
    assert run(backend, SYSCALL + f"print(call({getpid_of_x32}))").exit == Exit(None, 31)


def test_guest_is_nobody_without_capabilities(backend):
    code = """
        import json
        lines = open("/proc/self/status").read().splitlines()
        print(json.dumps(dict(line.split(":\\t", 1) for line in lines)))
    """
    status = run(backend, textwrap.dedent(code)).said
    assert status["Uid"].split()[0] not in {"0", ""}
    assert len(set(status["Uid"].split())) == 1
    expected = {**dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0), "NoNewPrivs": 1}
    if has_own_kernel(backend):  # gVisor does not say; set-user-id programs are tried below
        expected = {name: value for name, value in expected.items() if name in status}
    assert {name: int(status[name], 16) for name in expected} == expected
    assert status["Seccomp"] == "2"


def test_two_sandboxes_have_different_users(backend):
    code = "import os, time; print(os.getuid(), flush=True); time.sleep(60)"
    with running(backend, code) as one, running(backend, code) as other:
        users = [read_until(sandbox, lambda text: "\n" in text) for sandbox in (one, other)]
    # An ordinary user has no other users to give: there the process namespace alone keeps the two apart.
    assert os.geteuid() != 0 or len({*users, f"{os.geteuid()}\n"}) == 3


def test_a_crash_never_starts_the_core_handler_of_the_host(backend):
    """With a pipe in core_pattern a limit of 0 would: see core(5). The guest cannot lower 1 to 0."""
    code = """
        import json, resource
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        except (OSError, ValueError):
            pass
        print(json.dumps(resource.getrlimit(resource.RLIMIT_CORE)))
    """
    highest = resource.getrlimit(resource.RLIMIT_CORE)[1]
    assert run(backend, textwrap.dedent(code)).said == ([0, 0] if highest == 0 else [1, 1])


def test_set_user_id_programs_give_nothing(backend):
    code = "import subprocess; print(subprocess.run(['/usr/bin/su', '-c', 'id'], input=b'').returncode)"
    assert run(backend, code).said != 0


# --- network


def test_every_network_family_fails_at_once(backend):
    code = """
        import errno, json, socket
        def attempt(family, kind):
            try:
                socket.socket(family, kind)
                return "allowed"
            except OSError as error:
                return errno.errorcode[error.errno]
        inet, inet6, netlink, packet, vsock, crypto = 2, 10, 16, 17, 40, 38
        families = (inet, inet6, netlink, packet, vsock, crypto)
        print(json.dumps(sorted({attempt(f, k) for f in families for k in (1, 2, 3)})))
    """
    assert run(backend, textwrap.dedent(code)).said == ["EPERM"]


def test_network_call_is_a_prompt_error(backend):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        code = f"""
            import urllib.request, time
            started = time.monotonic()
            for url in ("https://download.pytorch.org/models/resnet18.pth", "{url}", "http://169.254.169.254/"):
                try:
                    urllib.request.urlopen(url)
                    print("allowed")
                except OSError as error:
                    print(error)
            print(time.monotonic() - started)
        """
        ended = run(backend, textwrap.dedent(code), seconds=20)
    assert "allowed" not in ended.output
    assert ended.said < 5


def test_abstract_sockets_of_the_host_are_out_of_reach(backend):
    name = f"\0deltanas-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        ended = run(backend, f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})")
    assert "ConnectionRefusedError" in ended.output


def test_unix_sockets_within_the_sandbox_work(backend):
    code = """
        from multiprocessing import Pool
        if __name__ == "__main__":
            with Pool(2) as pool:
                print(sum(pool.map(abs, [-1, -2, -3])))
    """
    assert run(backend, textwrap.dedent(code)).said == 6
