"""The folders through which sandboxes get their data."""

import errno
import os
import shutil

import pytest

from sandbox_runner.sandboxes import data_folders
from sandbox_runner.sandboxes.data_folders import DataFolders


@pytest.fixture
def root(tmp_path):
    return tmp_path / "sandboxes"


def test_what_a_dead_runner_left_is_swept_away_and_a_living_ones_stays(root):
    (root / "of-the-dead" / "at-1").mkdir(parents=True)
    living = DataFolders(root)
    kept = living.make("at-1")
    other = DataFolders(root)
    assert not (root / "of-the-dead").exists()
    assert kept.is_dir()
    for folders in (living, other):
        folders.close()
    assert list(root.iterdir()) == []


def test_sandboxes_go_on_after_somebody_has_tidied_up_the_state_folder(root):
    folders = DataFolders(root)
    shutil.rmtree(root)
    assert list(folders.make("at-1").iterdir()) == []
    DataFolders(root).close()
    assert folders.make("at-2").is_dir()
    folders.close()


def test_a_name_in_use_is_refused(root):
    folders = DataFolders(root)
    folders.make("at-1")
    with pytest.raises(FileExistsError):
        folders.make("at-1")
    folders.close()


def test_a_runner_that_cannot_sweep_keeps_neither_folder_nor_lock(root, monkeypatch):
    def refuse(_):
        raise OSError(errno.EMFILE, "Too many open files")

    open_before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(data_folders, "_sweep", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        DataFolders(root)
    assert list(root.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == open_before
