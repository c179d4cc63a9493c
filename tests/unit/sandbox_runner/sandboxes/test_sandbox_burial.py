"""What is left of a sandbox whose processes the kernel takes long to take down."""

import threading

from sandbox_runner.sandboxes import namespaces_sandbox
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
