"""The fork server inside: imports what a guest imports, then forks one sandbox for every request.

Itself it never computes and never reads a request: the request is a socket, and only the forked child reads
what stands in it. So nothing of an attempt is ever in the memory from which the next one is forked. The child
becomes process 1 of a sandbox with its own namespaces and does what `first_process` does after a cold start;
the guest, instead of executing Python again, goes on in the one it was forked with. Standard library only.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from sandbox_runner.sandboxes import first_process
from sandbox_runner.sandboxes.first_process import libc
from sandbox_runner.sandboxes.fork_server import kernel_calls, private_view, process_title
from sandbox_runner.sandboxes.fork_server.kernel_calls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
)

MAX_SETUP_BYTES = 131_072
MAX_DESCRIPTORS = 32
READY = b"ready"
PR_SET_DUMPABLE, MADV_COLLAPSE = 4, 25
HUGE_PAGE_BYTES = 2 << 20
OPENBLAS_SETTERS = (
    *("scipy_openblas_set_num_threads64_", "openblas_set_num_threads64_", "openblas_set_num_threads"),
)
"""In numpy's wheels, and in the libraries of Linux distributions."""
MODULES_OF_OURS_ALONE = ("resource",)
"""Of the standard library: what this side needs and no guest imports."""

Program = Callable[[dict[str, Any]], NoReturn]
"""Runs in the module that it is given the names of, and ends the process."""
SetThreads = Callable[[int], None]


def serve(control: int, modules: Sequence[str], source: str, packages: Sequence[str]) -> Program:
    """Import `modules` out of `source` and `packages`, then fork a sandbox for each socket from `control`.

    Returns only in a guest: what it is to run. Ends the process when the runner has gone. Raises RuntimeError
    when an import has started a thread.
    """
    own_path = sys.path[2:]  # without the two folders that this module and its kin came from
    channel = socket.socket(fileno=control)
    import_modules(modules, [source, *own_path, *packages])
    sys.path[:] = own_path
    blas_setters = find_blas_setters()
    expect_one_thread()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps; the child undoes it
    own_processes = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    gc.collect()
    gc.freeze()  # the collector would write to every object, and each page written to is copied
    use_huge_pages()
    channel.send(READY)
    while True:
        request = receive_request(channel)
        if fork_into_new_processes(own_processes) == 0:
            channel.close()
            os.close(own_processes)
            return become_sandbox(request, blas_setters)
        os.close(request)


def import_modules(modules: Sequence[str], path: Sequence[str]) -> None:
    """Import as a guest does. The module that a guest starts with it loads again itself, as `__main__`."""
    sys.path[:] = path
    for name in modules:
        importlib.import_module(name)
        if name.endswith(".__main__"):
            del sys.modules[name]


def find_blas_setters() -> list[SetThreads]:
    """Functions that set the number of threads of the matrix libraries that are loaded here.

    numpy's reads it when it is loaded, which here was with one thread; torch has a call of its own.
    """
    with open("/proc/self/maps") as file:
        libraries = sorted({line.split()[-1] for line in file if "openblas" in line})
    found = (
        next((getattr(library, name) for name in OPENBLAS_SETTERS if hasattr(library, name)), None)
        for library in map(ctypes.CDLL, libraries)
    )
    return [setter for setter in found if setter is not None]


def use_huge_pages() -> None:
    """Put this process's own memory into huge pages, where the kernel can (Linux 6.1).

    A fork copies, and an end takes down, one entry for each page: there are 500 times fewer then.
    What a guest writes to is copied in small pages all the same.
    """
    with open("/proc/self/maps") as file:
        areas = [line.split() for line in file if " rw-p " in line]
    for bounds, *_, name in areas:
        begin, end = (int(number, 16) for number in bounds.split("-"))
        begin, end = -(-begin // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES, end // HUGE_PAGE_BYTES * HUGE_PAGE_BYTES
        if begin < end and not name.startswith("/"):
            libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), MADV_COLLAPSE)


def expect_one_thread() -> None:
    """A fork copies one thread: what a second one has locked would stay locked. Raises RuntimeError."""
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(f"the fork server has {threads} threads")


def receive_request(channel: socket.socket) -> int:
    """The descriptor that the next message carries. Ends the process when the runner has gone."""
    message, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    if not message or len(descriptors) != 1:
        os._exit(0)
    return descriptors[0]


def fork_into_new_processes(own_processes: int) -> int:
    """Fork a child that is process 1 of a new process namespace. Returns as os.fork; -1 when that failed."""
    try:
        kernel_calls.unshare(CLONE_NEWPID)
        child = os.fork()
    except OSError:
        child = -1  # the request is closed: the runner sees that nobody took it
    if child != 0:
        kernel_calls.set_namespace(own_processes)
    return child


def become_sandbox(request: int, blas_setters: Sequence[SetThreads]) -> Program:
    """Be process 1 of the sandbox that `request` describes; the guest, its child, returns its program."""
    status = -1
    try:
        first_process.die_with_parent()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        setup = receive_setup(request)
        status = setup["status"]
        for entrance in setup["entrances"]:
            os.write(entrance, b"0")
        kernel_calls.unshare(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET)
        private_view.build_view(setup)
        process_title.set_title(setup["argv"], setup["environment"])
        for standard in (1, 2):
            os.dup2(setup["output"], standard)
        is_guest = first_process.supervise(setup, partial(become_guest, blas_setters))
    except BaseException as error:  # noqa: BLE001  whatever went wrong, no guest may run
        with suppress(OSError):
            os.write(status, f"failed {type(error).__name__}: {error}\n".encode()[:2000])
        os._exit(1)
    if not is_guest:
        os._exit(0)
    return partial(run, str(setup["argv"][len(setup["python"])]))


def receive_setup(request: int) -> dict[str, Any]:
    """What the runner wants, each descriptor under its name. Raises ConnectionError when it has gone."""
    with socket.socket(fileno=request) as channel:
        message, descriptors, _, _ = socket.recv_fds(channel, MAX_SETUP_BYTES, MAX_DESCRIPTORS)
    if not message:
        raise ConnectionError("the runner has gone")
    setup: dict[str, Any] = json.loads(message)
    named = setup["descriptors"]
    return setup | dict(zip(named, descriptors, strict=False)) | {"entrances": descriptors[len(named) :]}


def become_guest(
    blas_setters: Sequence[SetThreads], setup: dict[str, Any], program: bytes, failure: int
) -> None:
    """Go behind every wall; come back only where the guest's program is Python code, to be run right here."""
    try:
        failure = first_process.arrange_descriptors(setup, failure)
        first_process.enter_walls(setup, program)
        python = setup["python"]
        if setup["argv"][: len(python)] != python:
            os.execve(setup["argv"][0], setup["argv"], setup["environment"])  # noqa: S606
        resemble_cold_start(setup)
        for set_threads in blas_setters:
            set_threads(setup["threads"])
        os.close(failure)
    except BaseException as error:  # noqa: BLE001  whatever went wrong, no guest may run
        first_process.report_failure(failure, error)


def resemble_cold_start(setup: dict[str, Any]) -> None:
    """Make this interpreter what a new one would be, but for the modules that it has imported already."""
    # Changing the user made the process unreadable to itself; executing a program would have undone that.
    first_process.check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "dumpable")
    os.environ.clear()
    os.environ.update(setup["environment"])
    sys.argv[:] = ["-c", *setup["argv"][len(setup["python"]) + 1 :]]
    sys.orig_argv[:] = setup["argv"]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    own = [name for name in sys.modules if name.startswith("sandbox_runner.sandboxes")]
    for name in (*own, *MODULES_OF_OURS_ALONE):
        del sys.modules[name]
    del sys.modules["sandbox_runner"].sandboxes


def run(code: str, namespace: dict[str, Any]) -> NoReturn:
    """Run a guest's program as `python -c` does, and end the process as it would end.

    The interpreter itself is not taken down: that would write to every object that is shared with the fork
    server, and the copies would be charged to the guest.
    """
    ending = 0
    try:
        try:
            exec(compile(code, "<string>", "exec"), namespace)  # noqa: S102
        finally:
            threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as the interpreter does
    except SystemExit as leaving:
        ending = exit_code(leaving)
    except BaseException:  # noqa: BLE001  as the interpreter does
        sys.excepthook(*sys.exc_info())
        ending = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(ending)


def exit_code(leaving: SystemExit) -> int:
    """That of `sys.exit(...)`, whose argument may be a number, nothing, or a message, which is printed."""
    if leaving.code is None:
        return 0
    if isinstance(leaving.code, int):
        return leaving.code & 0xFF
    print(leaving.code, file=sys.stderr)
    return 1
