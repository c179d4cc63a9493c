"""What runs inside a fork server, piece by piece, in processes of its own where it changes the process."""

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading

import pytest

from sandbox_runner.sandboxes import bubblewrap
from sandbox_runner.sandboxes.fork_server import kernel_calls, private_view, zygote


def in_python(code, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_second_thread_keeps_the_fork_server_from_serving():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="threads"):
            zygote.expect_one_thread()
    finally:
        stop.set()
        thread.join()


def test_process_title_is_what_proc_shows():
    code = """
        from sandbox_runner.sandboxes.fork_server.process_title import set_title
        set_title(["guest", "with words"], {"NAME": "value"})
        for name in ("cmdline", "environ"):
            print(open(f"/proc/self/{name}").read().replace("\\0", "|"))
    """
    assert in_python(code).stdout.splitlines() == ["guest|with words|", "NAME=value|"]


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("print('done')", 0, "done"),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('no')", 1, "no"),
        ("import sys; sys.exit()", 0, ""),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("import atexit; atexit.register(print, 'at the end')", 0, "at the end"),
        ("import threading; threading.Thread(target=lambda: print('thread')).start()", 0, "thread"),
        ("print(sorted(globals()))", 0, "'__name__'"),
    ],
)
def test_a_program_ends_as_it_ends_under_python(program, code, said):
    run = (
        "import sys\n"
        "from sandbox_runner.sandboxes.fork_server import zygote\n"
        "zygote.run(sys.argv[1], globals())"
    )
    forked, started = (
        in_python(run, program),
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
        ),
    )
    assert (forked.returncode, started.returncode) == (code, code)
    assert said in forked.stdout + forked.stderr
    assert said in started.stdout + started.stderr


def test_every_option_that_hides_parts_of_proc_is_known():
    """What bubblewrap is told is what a forked sandbox does: an option that it cannot follow is an error."""
    known = {"--proc", "--ro-bind", "--perms", "--size", "--tmpfs", "--remount-ro"}
    assert {word for word in bubblewrap.process_file_system_options() if word.startswith("--")} <= known
    with pytest.raises(ValueError, match="--bind"):
        private_view.follow_options(["--bind", "/", "/"])


def test_a_mount_that_fails_names_its_place():
    with (
        pytest.raises(OSError, match="open_tree /no/such/folder"),
        kernel_calls.read_only_tree("/no/such/folder"),
    ):
        pass
    with pytest.raises(OSError, match="unmount /no/such/folder"):
        kernel_calls.unmount("/no/such/folder")


def test_a_request_brings_each_descriptor_under_its_name():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    read, write = os.pipe()
    with ours, open(read, "rb"), open(write, "wb"):
        message = json.dumps({"argv": ["python"], "descriptors": ["status"]}).encode()
        socket.send_fds(ours, [message], [write, read])
        setup = zygote.receive_setup(theirs.detach())
        for descriptor in (setup["status"], *setup["entrances"]):
            assert os.fstat(descriptor).st_ino == os.fstat(read).st_ino
            os.close(descriptor)
    assert (setup["argv"], len(setup["entrances"])) == (["python"], 1)


def test_a_runner_that_goes_away_before_its_request_is_told():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    with pytest.raises(ConnectionError):
        zygote.receive_setup(theirs.detach())
