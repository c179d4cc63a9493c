"""What a launcher says and leaves where the host has nothing left for another container."""

import errno
import os

import pytest

from sandbox_runner.sandboxes.data_folders import DataFolders
from sandbox_runner.sandboxes.docker.containers import Containers
from sandbox_runner.sandboxes.docker.guest_image import find_image
from sandbox_runner.sandboxes.docker.wire import Runtime, Start
from sandbox_runner.sandboxes.port import SandboxUnavailable

START = Start(
    runtime=Runtime.RUNC,
    name="at-1-1",
    argv=("python",),
    environment={},
    memory_bytes=1 << 30,
    pids=16,
    disk_bytes=1 << 20,
    wall_seconds=60,
    threads=1,
    device=None,
)


class FullEngine:
    """Makes containers, and then finds that something has run out."""

    def __init__(self, trouble: Exception) -> None:
        self.containers: set[str] = set()
        self._trouble = trouble

    def check(self, runtime):
        pass

    def ensure_image(self, image):
        pass

    def create(self, name, request):
        self.containers.add(name)
        return name

    def attach(self, container):
        raise self._trouble

    def remove(self, container):
        self.containers.remove(container)


@pytest.mark.parametrize(
    "trouble",
    [OSError(errno.EMFILE, "Too many open files"), RuntimeError("can't start new thread")],
    ids=["descriptors", "threads"],
)
def test_a_launcher_with_nothing_left_says_so_and_leaves_nothing(tmp_path, trouble):
    engine, folders = FullEngine(trouble), DataFolders(tmp_path / "data")
    containers = Containers(engine, find_image(None), tmp_path, folders, os.geteuid())
    with pytest.raises(SandboxUnavailable, match=f"could not start a sandbox: .*{trouble.args[-1]}"):
        containers.start(START)
    assert engine.containers == set()
    assert not list((tmp_path / "data").glob("*/*"))
    folders.close()
