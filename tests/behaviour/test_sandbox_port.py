"""What every sandbox backend does: starts, reports, limits, ends.

What it keeps from a guest is in test_sandbox_walls.py and test_sandbox_view.py.
"""

import os
import secrets
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from docker_engine import container_ids, host_mounts
from sandbox_harness import (
    BACKENDS,
    KILL_SECONDS,
    OWN_NAMES,
    PARAMETERS,
    SMALL,
    control_groups,
    has_own_kernel,
    host_processes,
    processes_with,
    read_until,
    run,
    running,
    spec,
    wait_for,
)

from contracts.names import IsolationTier
from sandbox_runner.sandboxes.cgroups.files import RUNNER_PREFIX
from sandbox_runner.sandboxes.port import Exit, SandboxUnavailable

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(60)]


@pytest.fixture(scope="module", params=PARAMETERS)
def backend(request):
    made = BACKENDS[request.param]()
    yield made
    made.close()


# --- start and end


def test_probe_passes_and_is_quick(backend):
    started = time.monotonic()
    report = backend.probe()
    assert report.problems == ()
    assert report.available
    assert report.tier == backend.tier
    assert isinstance(report.tier, IsolationTier)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("code", [0, 7, 137])
def test_exit_code_is_reported(backend, code):
    assert run(backend, f"import os; os._exit({code})").exit == Exit(code, None)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM])
def test_signal_is_told_from_exit_code(backend, number):
    code = f"import os; os.kill(os.getpid(), {number})"
    assert run(backend, code).exit == Exit(None, number)


def test_segmentation_fault_ends_with_a_signal(backend):
    code = "import ctypes; ctypes.string_at(1)"
    assert run(backend, code).exit == Exit(None, signal.SIGSEGV)


def test_exit_is_none_while_the_guest_runs(backend):
    with running(backend, "import time; time.sleep(60)") as sandbox:
        assert sandbox.exit() is None
        sandbox.kill()
        assert wait_for(lambda: sandbox.exit() == Exit(None, signal.SIGKILL), KILL_SECONDS)


def test_guest_talks_over_descriptors_3_and_4_and_has_no_other(backend):
    code = """
        import os
        word = os.read(3, 100)
        os.write(4, word.upper())
        print(sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1], os.read(0, 1))
    """
    with running(backend, textwrap.dedent(code)) as sandbox:
        os.write(sandbox.to_guest, b"hello")
        output = read_until(sandbox, lambda text: "\n" in text)
        assert os.read(sandbox.from_guest, 100) == b"HELLO"
        assert output.strip() == "[0, 1, 2, 3, 4] b''"


def test_host_ends_never_block(backend):
    with running(backend, "import time; time.sleep(60)") as sandbox:
        assert not any(os.get_blocking(fd) for fd in (sandbox.to_guest, sandbox.from_guest, sandbox.output))


def test_missing_program_is_unavailable_and_named(backend):
    with pytest.raises(SandboxUnavailable, match="No such file"):
        backend.launch(spec("", argv=("/no/such/program",)))


def test_name_that_leaves_its_folder_is_refused(backend):
    with pytest.raises(SandboxUnavailable, match="name"):
        backend.launch(spec("", name="../escape"))


def test_sandbox_outlives_the_thread_that_launched_it(backend):
    made = []
    thread = threading.Thread(target=lambda: made.append(backend.launch(spec("import time; time.sleep(60)"))))
    thread.start()
    thread.join()
    sandbox = made[0]
    time.sleep(0.3)
    alive = sandbox.exit() is None
    sandbox.close()
    assert alive


def test_close_and_kill_may_be_repeated_and_usage_is_readable_after_the_end(backend):
    sandbox = backend.launch(spec("sum(range(3_000_000))"))
    assert wait_for(lambda: sandbox.exit() is not None, 20)
    assert sandbox.usage().cpu_seconds > 0.01
    for _ in range(2):
        sandbox.kill()
    for _ in range(2):
        sandbox.close()
    assert sandbox.exit() == Exit(0, None)


# --- limits


def test_fork_bomb_is_stopped_counted_and_killed_while_the_host_responds(backend):
    code = """
        import os
        while True:
            try:
                os.fork()
            except OSError:
                pass
    """
    with running(backend, textwrap.dedent(code)) as sandbox:
        enough = 0 if has_own_kernel(backend) else 100
        assert wait_for(lambda: sandbox.usage().pids_limit_hits > enough, 20)
        started = time.monotonic()
        subprocess.run(["/bin/true"], check=True)
        assert time.monotonic() - started < 8
        started = time.monotonic()
        sandbox.kill()
        assert time.monotonic() - started < KILL_SECONDS
        assert wait_for(lambda: sandbox.exit() is not None, KILL_SECONDS)


def test_thread_bomb_is_stopped_and_counted(backend):
    code = """
        import threading, time
        started = 0
        try:
            while True:
                threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
                started += 1
        except RuntimeError:
            print(started, flush=True)
            time.sleep(0.3)
            __import__("os")._exit(3)
    """
    ended = run(backend, textwrap.dedent(code))
    assert ended.exit == Exit(3, None)
    assert ended.said == SMALL.pids - 1
    assert ended.usage.pids_limit_hits > 0


def test_memory_bomb_is_killed_and_counted(backend):
    ended = run(backend, "held = []\nwhile True: held.append(bytes(b'x' * 2**20))")
    assert ended.exit == Exit(None, signal.SIGKILL)
    assert ended.usage.memory_limit_hits > 0
    assert ended.usage.memory_bytes <= SMALL.memory_bytes


def test_children_share_one_memory_limit(backend):
    code = """
        import os, signal, time
        children = []
        for _ in range(4):
            child = os.fork()
            if child == 0:
                held = b"x" * (40 * 2**20)
                time.sleep(2)
                os._exit(0)
            children.append(child)
        print(sum(os.waitpid(child, 0)[1] == signal.SIGKILL for child in children))
    """
    ended = run(backend, textwrap.dedent(code))
    assert ended.usage.memory_limit_hits > 0


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_files_in_memory_are_bounded_and_count_as_memory(backend, folder):
    code = f"""
        import errno, json
        written = 0
        try:
            with open("{folder}/fill", "wb", buffering=0) as file:
                while True:
                    written += file.write(bytes(2**18))
        except OSError as error:
            print(json.dumps([written, errno.errorcode[error.errno]]))
    """
    written, error = run(backend, textwrap.dedent(code)).said
    assert written <= SMALL.disk_bytes
    assert error in {"ENOSPC", "EFBIG"}
    roomy = replace(SMALL, disk_bytes=4 * SMALL.memory_bytes)
    assert run(backend, textwrap.dedent(code), roomy).usage.memory_limit_hits > 0


def test_number_of_files_is_bounded(backend):
    code = """
        made = 0
        try:
            for made in range(1_000_000):
                open(f"/tmp/{made}", "w").close()
        except OSError:
            print(made)
    """
    ended = run(backend, textwrap.dedent(code), seconds=50)
    assert ended.usage.memory_limit_hits > 0 or ended.said < 70_000


def test_sparse_file_is_refused(backend):
    code = "import os; f = open('/tmp/sparse', 'wb'); os.ftruncate(f.fileno(), 2**50)"
    ended = run(backend, code)
    assert "OSError" in ended.output


def test_cpu_quota_holds_against_busy_processes_that_reset_their_affinity(backend):
    code = """
        import os
        for _ in range(2):
            os.fork()
        os.sched_setaffinity(0, range(os.cpu_count()))
        while True:
            pass
    """
    with running(backend, textwrap.dedent(code)) as sandbox:
        time.sleep(0.3)
        started, used = time.monotonic(), sandbox.usage().cpu_seconds
        time.sleep(1.0)
        cores = (sandbox.usage().cpu_seconds - used) / (time.monotonic() - started)
    assert cores < 1.3


def test_endless_output_neither_blocks_the_kill_nor_the_host(backend):
    with running(backend, "while True: print('x' * 10_000)") as sandbox:
        time.sleep(0.2)
        started = time.monotonic()
        sandbox.close()
        assert time.monotonic() - started < KILL_SECONDS


# --- ending what does not want to end


@pytest.mark.parametrize(
    "stubborn",
    [
        "import os, signal; print('ready', flush=True); os.killpg(0, signal.SIGSTOP)",
        "import signal, time\nfor s in (1, 2, 3, 15): signal.signal(s, signal.SIG_IGN)\n"
        "print('ready', flush=True)\nwhile True: time.sleep(60)",
        "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork(): os._exit(0)\n"
        "print('ready', flush=True)\ntime.sleep(60)",
        "print('ready', flush=True)\nwhile True: pass",
    ],
    ids=["stopped", "ignores signals", "daemon", "busy"],
)
def test_kill_is_punctual(backend, stubborn):
    marker = secrets.token_hex(8)
    with running(backend, f"# {marker}\n{stubborn}") as sandbox:
        assert "ready" in read_until(sandbox, lambda text: "ready" in text)
        assert host_processes(backend, sandbox.data.name, marker)
        started = time.monotonic()
        sandbox.kill()
        assert time.monotonic() - started < KILL_SECONDS
        assert not host_processes(backend, sandbox.data.name, marker)
        assert wait_for(lambda: sandbox.exit() == Exit(None, signal.SIGKILL), KILL_SECONDS)


def test_daemon_that_keeps_stdout_dies_with_the_first_process(backend):
    marker = secrets.token_hex(8)
    code = """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            time.sleep(60)
        os.wait()
        os._exit(5)
    """
    with running(backend, f"# {marker}\n{textwrap.dedent(code)}") as sandbox:
        assert wait_for(lambda: sandbox.exit() == Exit(5, None), 20)
        assert wait_for(lambda: not processes_with(marker), KILL_SECONDS)
        assert select.select([sandbox.output], [], [], 1)[0]
        assert os.read(sandbox.output, 100) == b""


def test_kill_of_everything_ends_only_the_own_sandbox(backend):
    with running(backend, "import time; time.sleep(60)") as neighbour:
        ended = run(
            backend, "import os\ntry: os.kill(1, 9)\nexcept PermissionError: pass\nos.kill(-1, 9)\nprint(1)"
        )
        assert ended.exit is not None
        time.sleep(0.1)
        assert neighbour.exit() is None


def test_sandbox_dies_with_a_runner_that_is_killed_and_its_cgroups_are_swept(backend):
    marker = secrets.token_hex(8)
    runner = textwrap.dedent(f"""
        import sys, time
        sys.path[:0] = {[*sys.path, str(Path(__file__).parent)]!r}
        from sandbox_harness import BACKENDS, spec
        backend = BACKENDS[{backend.name!r}]()
        sandbox = backend.launch(spec("# {marker}\\nimport os, time\\nos.fork()\\nwhile True: time.sleep(1)"))
        print(sandbox.data, flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", runner], stdout=subprocess.PIPE, text=True) as process:
        data = Path(process.stdout.readline().strip())
        groups = control_groups(data.name)
        assert groups
        assert data.is_dir()
        assert wait_for(lambda: len(host_processes(backend, data.name, marker)) >= 2, 20)
        process.kill()
    assert wait_for(lambda: not host_processes(backend, data.name, marker), 8)
    successor = BACKENDS[backend.name]()
    assert successor.probe().available
    successor.close()
    runner_groups = [group.parent for group in groups if group.parent.name.startswith(RUNNER_PREFIX)]
    left = [*groups, *runner_groups, data]
    assert wait_for(lambda: not any(folder.exists() for folder in left), 20)


def test_nothing_leaks_over_many_sandboxes_at_a_time(backend):
    run(backend, "pass")

    def held():
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        cgroups = sum(1 for root, _, _ in os.walk("/sys/fs/cgroup") if f"{os.sep}{OWN_NAMES}" in root)
        return {
            "descriptors": sorted(os.listdir("/proc/self/fd")),
            "children": children,
            "cgroups": cgroups,
            "containers": container_ids(),
            "threads": threading.active_count(),
        }

    before, mounts_before = held(), set(host_mounts())

    def several():
        for code in ("pass", "import time; time.sleep(60)"):
            sandbox = backend.launch(spec(code))
            sandbox.close()

    threads = [threading.Thread(target=several) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(SandboxUnavailable):
        backend.launch(spec("", argv=("/no/such/program",)))
    assert held() == before
    assert set(host_mounts()) <= mounts_before
