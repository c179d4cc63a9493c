"""What is left of a sandbox that cannot be taken down at once."""

import errno
import os
import threading
from pathlib import Path

import pytest

from sandbox_runner.sandboxes import namespaces_sandbox
from sandbox_runner.sandboxes.cgroups.files import read_members
from sandbox_runner.sandboxes.namespaces_sandbox import NamespacesSandbox, SandboxPipes


class EndedProcess:
    def poll(self):
        return 0

    def kill(self):
        raise AssertionError("it has ended")

    def wait(self, timeout=None):
        return 0


class SlowGroup:
    """The kernel holds something in it until it is asked for the third time."""

    def __init__(self):
        self.asked = 0

    def kill(self):
        return True

    def remove(self):
        self.asked += 1
        return self.asked >= 3


def test_user_and_data_are_given_back_only_when_nothing_runs_any_more(tmp_path, monkeypatch):
    monkeypatch.setattr(namespaces_sandbox, "BURIAL_PAUSE_SECONDS", 0.01)
    group, given_back = SlowGroup(), threading.Event()
    sandbox = NamespacesSandbox(EndedProcess(), SandboxPipes(), group, tmp_path, on_close=given_back.set)
    sandbox.close()
    assert given_back.wait(10)
    assert group.asked == 3
    sandbox.close()
    assert group.asked == 3


class UnreadableGroup(SlowGroup):
    """The host has no descriptor left to look into it, until it is asked for the third time."""

    def kill(self):
        self.asked += 1
        if self.asked < 3:
            raise OSError(errno.EMFILE, "Too many open files")
        return True

    def remove(self):
        return True

    def usage(self):
        raise OSError(errno.EMFILE, "Too many open files")


def test_without_a_descriptor_left_a_sandbox_gives_its_own_back_and_is_taken_down_later(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(namespaces_sandbox, "BURIAL_PAUSE_SECONDS", 0.01)
    group, given_back, pipes = UnreadableGroup(), threading.Event(), SandboxPipes()
    pipes.close_guest_ends()  # its first process is gone, without a word
    sandbox = NamespacesSandbox(EndedProcess(), pipes, group, tmp_path, on_close=given_back.set)
    sandbox.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(sandbox.from_guest)
    assert given_back.wait(10)
    assert group.asked == 3


def test_a_host_without_a_thread_left_takes_a_sandbox_down_in_the_one_that_closes_it(tmp_path, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(namespaces_sandbox, "BURIAL_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    group, given_back = SlowGroup(), threading.Event()
    NamespacesSandbox(EndedProcess(), SandboxPipes(), group, tmp_path, on_close=given_back.set).close()
    assert given_back.is_set()


def test_a_group_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path, monkeypatch):
    def refuse(self):
        raise OSError(errno.EMFILE, "Too many open files")

    assert read_members(tmp_path / "gone" / "cgroup.procs") == set()
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        read_members(tmp_path / "cgroup.procs")
