"""An operator's bad days: whatever is killed, stopped, full or gone, nothing stays and nobody is blamed.

The runner is the real process, driven over its socket. The Docker tiers have bad days of their own.
"""

import errno
import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from bad_days import (
    FORKS_AND_SLEEPS,
    PLATFORM_SECONDS,
    assert_platform_failed,
    open_to_sandboxes,
    score,
)
from processes import is_running, until
from runner_process import RunnerProcess
from sample_attempts import make_attempt

from contracts.measurements import Limits
from contracts.names import Integrity
from sandbox_runner.agent.links import Unreachable
from sandbox_runner.specimens.specimen import CONTROL

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

REAPED_SECONDS = 8.0


@contextmanager
def runner_on(folder, **options):
    open_to_sandboxes(folder)
    runner = RunnerProcess(folder / "home", **options)
    try:
        yield runner.start()
    finally:
        runner.end(signal.SIGKILL)


def running_attempts(runner, count, source=FORKS_AND_SLEEPS):
    """Attempts whose candidates run."""
    specs = [
        make_attempt(f"at_running_{number}_{time.monotonic_ns()}", source=source) for number in range(count)
    ]
    with runner.link() as link:
        for spec in specs:
            link.put(spec)
    for spec in specs:
        runner.wait_for_phase(spec, "building")
    return specs


# --- the runner


def test_a_killed_runner_takes_every_sandbox_along_and_its_successor_sweeps_and_serves(tmp_path):
    with runner_on(tmp_path, slots=2) as runner:
        before = score(runner.evaluate(make_attempt("at_before")))
        running_attempts(runner, 2)
        until(runner.reserve, 60, "something waits for attempts")
        until(lambda: len(runner.processes() - runner.reserve()) >= 2 * 4, 40, "both have forked")
        victims, groups, folders = runner.processes(), runner.groups(), runner.data_folders()
        assert len(folders) >= 2

        runner.kill()

        until(lambda: not any(map(is_running, victims)), REAPED_SECONDS, "every process has ended")
        assert any(group.exists() for group in groups)

        runner.start()
        assert not [group for group in groups if group.exists()]
        assert not [folder for folder in folders if folder.exists()]
        assert score(runner.evaluate(make_attempt("at_after"))) == before
        assert runner.has_ended_well()
        assert not runner.data_folders()


def test_a_runner_that_is_told_to_stop_leaves_nothing(tmp_path):
    with runner_on(tmp_path, slots=2) as runner:
        running_attempts(runner, 1)
        until(runner.reserve, 60, "something waits for attempts")
        victims, groups = runner.processes(), runner.groups()

        assert runner.has_ended_well()

        assert not [pid for pid in victims if is_running(pid)]
        assert not [group for group in groups if group.exists()]
        assert not runner.data_folders()


@pytest.mark.full
def test_whoever_kills_what_waits_harms_no_attempt(tmp_path):
    with runner_on(tmp_path, slots=2) as runner:
        before = score(runner.evaluate(make_attempt("at_before")))
        for number in range(2):
            victims = until(runner.reserve, 60, "something waits for attempts")
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            assert score(runner.evaluate(make_attempt(f"at_after_{number}"))) == before
        again = until(runner.reserve, 90, "something waits again")
        assert again.isdisjoint(victims)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_stopped_reserve_costs_attempts_time_and_is_then_given_up(tmp_path):
    with runner_on(tmp_path, slots=2) as runner:
        before = score(runner.evaluate(make_attempt("at_before")))
        for victim in until(runner.reserve, 60, "something waits for attempts"):
            os.kill(victim, signal.SIGSTOP)

        outcomes = [runner.evaluate(make_attempt(f"at_after_{number}")) for number in range(4)]

        for outcome in outcomes[:-1]:
            if outcome.failure is not None:
                assert_platform_failed(outcome)
        assert score(outcomes[-1]) == before


@pytest.mark.full
def test_a_sandbox_that_is_killed_from_outside_is_not_its_candidates_fault(tmp_path):
    with runner_on(tmp_path, slots=1, warm=0) as runner:
        [spec] = running_attempts(runner, 1)
        name = f"{spec.attempt_id}-1".replace("_", "-")
        first = min(until(lambda: runner.sandboxes().get(name), 5, "its processes are seen"))
        os.kill(first, signal.SIGKILL)

        assert_platform_failed(runner.outcome(spec, PLATFORM_SECONDS))


@pytest.mark.full
def test_a_runner_that_was_stopped_for_a_while_blames_nobody(tmp_path):
    with runner_on(tmp_path, slots=1) as runner:
        before = score(runner.evaluate(make_attempt("at_before")))
        slow = CONTROL.source.replace(
            "return self.classify", "__import__('time').sleep(0.5)\n        return self.classify"
        )
        spec = make_attempt("at_slow", source=slow, limits=replace(Limits(), predict_batch_seconds=5))
        with runner.link() as link:
            link.put(spec)
        runner.wait_for_phase(spec, "predicting")
        os.kill(runner.process.pid, signal.SIGSTOP)
        time.sleep(8)
        os.kill(runner.process.pid, signal.SIGCONT)
        outcome = runner.outcome(spec)

        if outcome.failure is not None:
            assert_platform_failed(outcome)
        else:
            assert score(outcome) == before


# --- the machine around it


@contextmanager
def small_disk(folder):
    """A file system of its own with little room, for bytes and for files."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m,nr_inodes=300,mode=755", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def until_full(take):
    """Take more and more, and a thousand times at most."""
    for number in range(1000):
        try:
            take(number)
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017  the disk has to be full
            return
    raise AssertionError("the disk does not get full")


def fill(folder):
    """Take every byte and every file that is left."""
    taken = folder / "taken"
    taken.mkdir()
    with (taken / "bytes").open("wb", buffering=0) as file:
        until_full(lambda _: file.write(b"\0" * 65_536))
    until_full(lambda number: (taken / str(number)).touch())
    return taken


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_the_platforms_failure_until_there_is_room_again(tmp_path):
    open_to_sandboxes(tmp_path)
    with small_disk(tmp_path / "disk") as disk, runner_on(disk, slots=2) as runner:
        strict = {"integrity": Integrity.STRICT, "split_key": "a key of its own"}
        before = score(runner.evaluate(make_attempt("at_before")))
        taken = fill(disk)

        outcome = runner.evaluate(make_attempt("at_full"))
        assert_platform_failed(outcome, "No space left on device")
        for number, changes in enumerate(({}, strict)):
            with suppress(Unreachable):  # not taken on at all: nothing holds here at the moment
                spec = make_attempt(f"at_full_{number}", **changes)
                assert_platform_failed(runner.evaluate(spec, patience=0), "No space left on device")

        subprocess.run(["rm", "-r", str(taken)], check=True)
        assert score(runner.evaluate(make_attempt("at_after"))) == before
        score(runner.evaluate(make_attempt("at_strict", **strict)))


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_runner_whose_own_control_group_was_removed_makes_another(tmp_path):
    with runner_on(tmp_path, slots=1, warm=0) as runner:
        before = score(runner.evaluate(make_attempt("at_before")))
        for victim in runner.reserve():
            os.kill(victim, signal.SIGKILL)
        for group in sorted(runner.groups(), key=lambda path: -len(path.parts)):
            until(lambda group=group: remove(group), 5, f"{group} is removed")

        first = runner.evaluate(make_attempt("at_after"))
        if first.failure is not None:
            assert_platform_failed(first)
        assert score(runner.evaluate(make_attempt("at_later"))) == before


def remove(group):
    try:
        group.rmdir()
    except OSError:
        return not group.exists()
    return True
