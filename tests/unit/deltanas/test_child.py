"""One supervised process, with small programs in the place of services."""

import errno
import os
import signal
import sys
import time
from dataclasses import dataclass

import pytest
from processes import is_running, until

from deltanas import child as child_module
from deltanas.child import Child


@dataclass(frozen=True)
class Program:
    """A stand-in for a service: a line of Python."""

    code: str
    name: str = "program"
    module: str = ""
    health_address: str | None = None
    umask: int = 0o077

    @property
    def environment(self):
        return {"PATH": os.environ["PATH"], "ONLY": "this"}

    @property
    def argv(self):
        return [sys.executable, "-S", "-c", self.code]


@pytest.fixture
def started(tmp_path):
    children = []

    def start(code):
        made = Child(Program(code), tmp_path)
        made.start()
        children.append(made)
        return made

    yield start
    for made in children:
        made.finish(0)


def tend_until(made, condition, seconds=5.0):
    give_up = time.monotonic() + seconds
    said = []
    while time.monotonic() < give_up:
        news = made.tend()
        said += [news] if news else []
        if condition(said):
            return said
        time.sleep(0.01)
    raise AssertionError(f"it only said: {said}")


def test_output_goes_to_the_log_and_the_environment_is_exact(started):
    made = started("import os; print(sorted(os.environ))")
    tend_until(made, lambda said: said)
    assert "['LC_CTYPE', 'ONLY', 'PATH']" in made.last_words() or "['ONLY', 'PATH']" in made.last_words()


def test_a_child_that_dies_is_named_and_started_again(started):
    made = started("import time; time.sleep(60)")
    first = made.pid
    os.kill(first, signal.SIGKILL)
    (news,) = tend_until(made, lambda said: said)
    assert "SIGKILL" in news
    assert made.pid is None
    tend_until(made, lambda _: made.pid)
    assert made.pid != first


def test_a_child_that_keeps_dying_is_started_ever_less_often(started, monkeypatch):
    monkeypatch.setattr(child_module, "_FIRST_DELAY_SECONDS", 0.01)
    made = started("raise SystemExit(3)")
    news = tend_until(made, lambda said: len(said) == 3)
    assert made.quick_deaths == 3
    assert all("exited with code 3" in sentence for sentence in news)
    delays = [float(sentence.split()[-2]) for sentence in news]
    assert delays == sorted(delays)


def test_what_a_dead_child_started_ends_with_it(started, tmp_path):
    grandchild = tmp_path / "grandchild"
    code = (
        "import os, subprocess, sys, time\n"
        f"started = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(grandchild)!r}, 'w').write(str(started.pid))\n"
        "os._exit(1)"
    )
    made = started(code)
    tend_until(made, lambda said: said)
    pid = int(grandchild.read_text())
    until(lambda: not is_running(pid), 5, "what it started has ended")


def test_a_child_that_ignores_the_end_is_ended(started):
    made = started(
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\n"
        "time.sleep(60)"
    )
    tend_until(made, lambda _: "up" in made.last_words())
    made.terminate()
    begun = time.monotonic()
    made.finish(0.1)
    assert made.pid is None
    assert time.monotonic() - begun < 2


def test_a_log_is_bounded_and_one_older_copy_is_kept(started, monkeypatch, tmp_path):
    monkeypatch.setattr(child_module, "MAX_LOG_BYTES", 1000)
    everything = tmp_path / "everything is written"
    code = "import time\nfor n in range(300): print('line', n, flush=True)\n"
    made = started(f"{code}open({str(everything)!r}, 'w')\ntime.sleep(60)")
    tend_until(made, lambda _: everything.exists())
    made.tend()
    assert (tmp_path / "program.log").stat().st_size <= 1000
    assert (tmp_path / "program.log.1").stat().st_size > 1000
    assert sorted(tmp_path.glob("program.log*")) == [tmp_path / "program.log", tmp_path / "program.log.1"]


def test_on_a_full_disk_a_log_is_bounded_without_a_copy(started, monkeypatch, tmp_path):
    def refuse(source, target):
        target.write_text("half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(child_module, "MAX_LOG_BYTES", 10)
    monkeypatch.setattr(child_module.shutil, "copyfile", refuse)
    made = started("import time; time.sleep(60)")
    made.log_path.write_text("a line that is long enough")
    made.tend()
    assert made.log_path.stat().st_size == 0
    assert not (tmp_path / "program.log.1").exists()


def test_a_child_that_cannot_be_started_just_now_is_started_later(started, monkeypatch):
    made = started("import time; time.sleep(60)")
    os.kill(made.pid, signal.SIGKILL)
    tend_until(made, lambda said: said)
    with monkeypatch.context() as exhausted:

        def refuse(*_, **__):
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

        exhausted.setattr(child_module.subprocess, "Popen", refuse)
        (news,) = tend_until(made, lambda said: said)
    assert "could not be started (Resource temporarily unavailable)" in news
    tend_until(made, lambda _: made.pid)


def test_a_real_time_signal_and_a_thousand_deaths_are_survived(started):
    made = started("import os; os.kill(os.getpid(), 40)")
    made.quick_deaths = 1000
    (news,) = tend_until(made, lambda said: said)
    assert "was ended by signal 40; starting it again in 15.0 s" in news
