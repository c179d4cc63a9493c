"""The walls and accounts that the tier `namespaces` alone has: cold, warm, and for an ordinary user."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sandbox_harness import FOLDER, KILL_SECONDS, SMALL, processes_with, read_until, run, running, wait_for

from contracts.measurements import MIB
from sandbox_runner.sandboxes import landlock
from sandbox_runner.sandboxes.fork_server.backend import ForkingBackend
from sandbox_runner.sandboxes.namespaces import NamespacesBackend
from sandbox_runner.sandboxes.port import Exit, SandboxUnavailable

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(180)]

TRY = """
import errno, json, os
def refusal(action):
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "allowed"
"""


@pytest.fixture(scope="module", params=[NamespacesBackend, ForkingBackend], ids=["cold", "warm"])
def backend(request):
    made = request.param(FOLDER)
    if request.param is ForkingBackend:
        if os.geteuid() != 0:
            pytest.skip("an ordinary user's sandboxes start cold")
        assert made.wait_until_forking(120), made.why_cold()
    yield made
    made.close()


# --- Landlock


@pytest.mark.skipif(landlock.kernel_abi() < landlock.OLDEST_ABI, reason="this kernel has no Landlock")
def test_landlock_stands_behind_the_mounts(backend):
    """What is tried here the mounts and the permissions alone would allow."""
    code = TRY + textwrap.dedent("""
        import shutil
        shutil.copy("/usr/bin/true", "/tmp/true")
        os.chmod("/tmp/true", 0o755)
        print(json.dumps({
            "own name": refusal(lambda: os.open("/proc/self/comm", os.O_WRONLY)),
            "own score": refusal(lambda: os.open("/proc/self/oom_score_adj", os.O_WRONLY)),
            "own program": refusal(lambda: os.posix_spawn("/tmp/true", ["true"], {})),
            "system program": refusal(lambda: os.posix_spawn("/usr/bin/true", ["true"], {})),
            "process 1": refusal(lambda: os.kill(1, 0)),
        }))
    """)
    assert run(backend, code).said == {
        "own name": "EACCES",
        "own score": "EACCES",
        "own program": "EACCES",
        "system program": "allowed",
        "process 1": "EPERM",
    }


def test_a_guest_can_do_in_its_temporary_folders_what_programs_do(backend):
    code = TRY + textwrap.dedent("""
        import ctypes, socket, subprocess, tempfile
        found = {}
        for folder in ("/tmp", "/dev/shm"):
            os.makedirs(f"{folder}/a/b")
            with open(f"{folder}/a/file", "w") as file:
                file.write("content")
            os.rename(f"{folder}/a/file", f"{folder}/a/b/file")
            os.link(f"{folder}/a/b/file", f"{folder}/linked")
            os.symlink("a/b/file", f"{folder}/pointing")
            os.truncate(f"{folder}/linked", 3)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(f"{folder}/socket")
            found[folder] = [open(f"{folder}/pointing").read(), sorted(os.listdir(folder))]
            for name in ("linked", "pointing", "socket", "a/b/file"):
                os.unlink(f"{folder}/{name}")
            os.rmdir(f"{folder}/a/b")
        with open("/dev/null", "w") as null:
            null.write("x")
        import _ctypes
        with open(_ctypes.__file__, "rb") as library, open("/tmp/extension.so", "wb") as copy:
            copy.write(library.read())
        ctypes.CDLL("/tmp/extension.so")  # as a cache of compiled extensions would be
        found["child"] = subprocess.run(["/usr/bin/true"]).returncode
        found["null"] = open("/dev/null").read()
        print(json.dumps(found))
    """)
    names = ["a", "linked", "pointing", "socket"]
    said = run(backend, code, replace(SMALL, memory_bytes=192 * MIB)).said
    assert said == {"/tmp": ["con", names], "/dev/shm": ["con", names], "child": 0, "null": ""}


def test_signals_between_a_guests_own_processes_arrive(backend):
    code = """
        import os, signal
        child = os.fork()
        if child == 0:
            os.setsid()
            signal.pause()
        os.kill(child, signal.SIGUSR1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert run(backend, textwrap.dedent(code)).said == -signal.SIGUSR1


# --- what /proc gives away


def test_the_table_of_mounts_names_no_path_of_the_host(backend):
    code = """
        import glob, json, os
        seen = ""
        if os.fork():
            os.wait()
        for name in ("mountinfo", "mounts", "mountstats"):
            for path in glob.glob(f"/proc/*/{name}") + glob.glob(f"/proc/self/task/*/{name}"):
                try:
                    seen += open(path).read()
                except OSError:
                    pass
        if seen:
            print(seen)
        print(json.dumps("looked"))
    """
    ended = run(backend, textwrap.dedent(code))
    assert ended.output.strip().splitlines() == ['"looked"'] * 2


def test_no_path_of_the_host_is_seen_by_name(backend):
    """Neither of the state folder nor of the sources, wherever /proc shows names of files or processes."""
    code = """
        import glob, json, os
        seen = []
        for path in glob.glob("/proc/[0-9]*/*") + glob.glob("/proc/self/fd/*") + ["/proc/self/maps"]:
            try:
                link = os.path.islink(path)
                seen.append(os.readlink(path) if link else open(path, errors="replace").read(1 << 20))
            except (OSError, ValueError):
                pass
        print(json.dumps("\\n".join(seen)))
    """
    said = run(backend, textwrap.dedent(code)).said
    assert "PATH" in said
    sources = str(Path(landlock.__file__).parents[2])
    assert not [place for place in ("deltanas-behaviour", sources + "/") if place in said]


def test_proc_tells_of_the_machine_only_what_programs_need(backend):
    code = """
        import json, os
        def content(name):
            try:
                return open(f"/proc/{name}", "rb").read(1)
            except OSError:
                return b""
        names = [name for name in os.listdir("/proc") if not os.path.isdir(f"/proc/{name}")]
        print(json.dumps([name for name in names if content(name)]))
    """
    needed = {"cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version"}
    assert set(run(backend, textwrap.dedent(code)).said) <= needed | {"execdomains", "fb"}


# --- limits


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_number_of_files_is_bounded_by_the_file_system_itself(backend, folder):
    code = f"""
        import errno, json
        try:
            for number in range(100_000):
                open(f"{folder}/{{number}}", "w").close()
        except OSError as error:
            print(json.dumps([number, errno.errorcode[error.errno]]))
    """
    made, error = run(backend, textwrap.dedent(code), replace(SMALL, disk_bytes=32 * MIB)).said
    assert error == "ENOSPC"
    assert 1900 < made <= 2048


def test_a_guest_stays_the_first_to_be_killed_for_memory(backend):
    code = TRY + textwrap.dedent("""
        for value in ("0", "-1000"):
            refusal(lambda: open("/proc/self/oom_score_adj", "w").write(value))
        print(open("/proc/self/oom_score_adj").read())
    """)
    ended = run(backend, code)
    assert ended.said == 1000 or (os.geteuid() != 0 and not landlock.kernel_abi())


def test_a_guest_that_kills_itself_holding_much_memory_is_not_out_of_memory(backend):
    code = """
        import os, signal
        held = b"x" * (70 * 2**20)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = run(backend, textwrap.dedent(code))
    assert ended.exit == Exit(None, signal.SIGKILL)
    assert ended.usage.memory_limit_hits == 0


def test_a_child_that_the_memory_limit_killed_is_counted_though_its_parent_ends_well(backend):
    code = """
        import os
        if os.fork() == 0:
            held = b"x" * (200 * 2**20)
        os._exit(0 if os.wait()[1] == 9 else 1)
    """
    ended = run(backend, textwrap.dedent(code))
    assert ended.exit == Exit(0, None)
    assert ended.usage.memory_limit_hits == 1


def test_a_killed_sandbox_is_not_slowed_down_by_its_own_quota(backend):
    code = """
        import os, time
        held = bytearray(256 * 2**20)
        held[::4096] = b"x" * len(held[::4096])
        for _ in range(15):
            if os.fork() == 0:
                while True:
                    pass
        print("ready", flush=True)
        while True:
            pass
    """
    limits = replace(SMALL, memory_bytes=512 * MIB)
    with running(backend, textwrap.dedent(code), limits) as sandbox:
        assert "ready" in read_until(sandbox, lambda text: "ready" in text)
        started = time.monotonic()
        sandbox.kill()
        assert time.monotonic() - started < KILL_SECONDS
        assert wait_for(lambda: sandbox.exit() == Exit(None, signal.SIGKILL), KILL_SECONDS)


def own_number(process):
    """The number of a host process in its own, innermost process namespace."""
    status = Path(f"/proc/{process}/status").read_text()
    return status.partition("NSpid:")[2].splitlines()[0].split()[-1]


def test_a_sandbox_that_the_host_ends_is_the_platforms_fault(backend):
    marker = secrets.token_hex(8)
    with running(backend, f"# {marker}\nimport time; print(1, flush=True); time.sleep(60)") as sandbox:
        assert read_until(sandbox, lambda text: "\n" in text)
        (first,) = [process for process in processes_with(marker) if own_number(process) == "1"]
        os.kill(first, signal.SIGKILL)

        def is_lost():
            try:
                assert sandbox.exit() is None
            except SandboxUnavailable as error:
                return "ended from outside" in str(error)
            return False

        assert wait_for(is_lost, 8)


# --- as an ordinary user

ORDINARY_USER = 64_999
AS_ORDINARY_USER = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from sandbox_runner.sandboxes.namespaces import NamespacesBackend
backend = NamespacesBackend(Path({folder!r}))
report = backend.probe()
backend.close()
import json
print(json.dumps([report.available, report.problems]))
"""


@pytest.fixture
def groups_of_an_ordinary_user():
    """A group in each hierarchy of cgroup v1 that belongs to the user; the files by which one enters."""
    name = f"deltanas-test-{secrets.token_hex(4)}"
    folders = [
        Path("/sys/fs/cgroup") / controller / name for controller in ("memory", "pids", "cpu", "cpuacct")
    ]
    for folder in folders:
        folder.mkdir()
        for path in (folder, folder / "cgroup.procs", folder / "tasks"):
            os.chown(path, ORDINARY_USER, ORDINARY_USER)
    yield [folder / "cgroup.procs" for folder in folders]
    for folder in folders:
        folder.rmdir()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can make groups for somebody else")
@pytest.mark.skipif(not Path("/sys/fs/cgroup/memory").is_dir(), reason="cgroup v1 is not mounted")
def test_an_ordinary_user_with_groups_of_its_own_has_every_wall_and_limit(request):
    python = "/usr/bin/python3"  # root's own may lie where nobody else may read
    version = f"import sys; print(sys.version_info[:2] == {tuple(sys.version_info[:2])})"
    if not Path(python).exists() or "True" not in subprocess.check_output([python, "-c", version], text=True):
        pytest.skip("the system has no Python of the version that runs the tests")
    entrances = request.getfixturevalue("groups_of_an_ordinary_user")
    home = Path(f"/tmp/deltanas-user-{secrets.token_hex(4)}")
    home.mkdir()
    os.chown(home, ORDINARY_USER, ORDINARY_USER)
    code = AS_ORDINARY_USER.format(path=[path for path in sys.path if path], folder=str(home / "state"))

    def enter():
        for entrance in entrances:
            entrance.write_text("0")

    try:
        ended = subprocess.run(
            [
                "setpriv",
                f"--reuid={ORDINARY_USER}",
                f"--regid={ORDINARY_USER}",
                "--clear-groups",
                python,
                "-c",
                code,
            ],
            env={"PATH": "/usr/bin:/bin", "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
            preexec_fn=enter,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(home)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == [True, []]
