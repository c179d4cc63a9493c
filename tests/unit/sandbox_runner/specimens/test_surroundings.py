"""The accounting sees what an attack may leave: each kind of thing is really left here, and told."""

import os
import secrets
import socket
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from sandbox_runner.specimens.surroundings import (
    LABELS,
    Doors,
    Surroundings,
    Watch,
    amounts,
    differences,
    processes_marked,
)


@pytest.fixture
def mark():
    return f"sp{secrets.token_hex(5)}"


@pytest.fixture
def doors(mark):
    made = Doors(mark)
    yield made
    made.close()


@pytest.fixture
def watch(tmp_path, mark, doors):
    (tmp_path / "canary").write_text("secret")
    return Watch([tmp_path], [tmp_path / "canary"], mark, doors, None)


@pytest.fixture
def told(watch):
    """What has changed since the start of the test."""
    before = watch.look()
    return lambda: differences(before, watch.look())


def test_nothing_has_changed_when_nothing_happened(told):
    assert told() == ()


def test_a_changed_or_lost_canary_is_told(told, tmp_path):
    (tmp_path / "canary").write_text("5ecret")
    assert told() == ("canary and labels: changed",)
    (tmp_path / "canary").unlink()
    assert "canary and labels: changed" in told()


def test_a_visitor_at_either_door_is_told(told, doors, mark):
    socket.create_connection(("127.0.0.1", doors.port)).close()
    assert told() == ("connections to the host: 1 instead of 0",)
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.connect(f"\0{mark}")
    assert told() == ("connections to the host: 2 instead of 0",)


def test_an_open_descriptor_is_told(told):
    left = os.open("/dev/null", os.O_RDONLY)
    found = told()
    os.close(left)
    assert len(found) == 1
    assert found[0].startswith("file descriptors: ")


def test_a_child_is_told_and_so_is_its_corpse(told):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert any(one.startswith("processes: ") for one in told())
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert any(one.startswith("processes: ") for one in told())
    child.wait()
    assert told() == ()


@pytest.mark.parametrize(
    "code",
    [
        "import ctypes; ctypes.CDLL(None).prctl(15, b'{mark}')",
        "import os; os.environ['MARK'] = '{mark}'; os.execv(sys.executable, [sys.executable, '-c', REST])",
    ],
    ids=["by its name", "by its environment"],
)
def test_a_marked_process_is_found_wherever_it_hangs(mark, code):
    rest = "import sys; print(1, flush=True); sys.stdin.read()"
    program = f"import sys\nREST = {rest!r}\n{code.format(mark=mark)}\nexec(REST)"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as process:
        process.stdout.readline()
        found = processes_marked(mark)
        process.stdin.close()
    assert len(found) == 1
    assert str(process.pid) in found.pop()
    assert processes_marked(mark) == set()


def test_files_and_their_bytes_are_told(told, tmp_path):
    (tmp_path / "left").write_bytes(b"12345")
    assert told() == ("files on disk: 2 instead of 1", "bytes on disk: 11 instead of 6")


def test_a_stray_file_that_bears_the_mark_is_told(told, mark):
    stray = Path(f"/dev/shm/left-by-{mark}")
    stray.touch()
    found = told()
    stray.unlink()
    assert found == (f"stray files: new: {stray}",)


def test_every_field_has_words_and_every_count_is_told():
    assert [one.name for one in fields(Surroundings)] == list(LABELS)
    nothing = Surroundings("", 0, 0, 0, 0, (), 0, (), 0, 0, 0, (), ())
    for one in fields(Surroundings):
        value = getattr(nothing, one.name)
        other = ("x",) if isinstance(value, tuple) else "x" if isinstance(value, str) else 1
        changed = replace(nothing, **{one.name: other})
        assert len(differences(nothing, changed)) == 1
        assert differences(nothing, changed)[0].startswith(LABELS[one.name])
        if one.name != "canary":
            assert amounts(changed)[LABELS[one.name]] == 1


def test_what_is_gone_is_told_like_what_is_new():
    nothing = Surroundings("", 0, 0, 0, 0, (), 0, ("/a", "/b"), 0, 0, 0, (), ())
    assert differences(nothing, replace(nothing, mounts=("/b", "/c"))) == ("mounts: new: /c; gone: /a",)


def test_settling_ends_as_soon_as_everything_is_as_wanted(watch):
    wanted = watch.look()
    assert watch.settle(wanted, seconds=60) == wanted
    missing = replace(wanted, descriptors=wanted.descriptors + 5)
    assert watch.settle(missing, seconds=0.1) != missing
