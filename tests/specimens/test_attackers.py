"""The process that attacks this machine tells what holds and what does not, and leaves nothing when ended."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.failures import FailureReason
from sandbox_runner.specimens import __main__ as attackers
from sandbox_runner.specimens import arena
from sandbox_runner.specimens.catalogue import SPECIMENS
from sandbox_runner.specimens.specimen import Fails

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.full]

QUICK = next(one for one in SPECIMENS if one.name == "answers_with_a_list")
WORDS = ["--backend", "namespaces", "--cold", "--only", QUICK.name]


def events(text: str) -> dict[str, dict]:
    """The last event of each kind."""
    told = [json.loads(line) for line in text.splitlines()]
    return {one["event"]: one for one in told}


def test_the_command_attacks_this_machine_and_finds_that_it_holds() -> None:
    command = [sys.executable, "-m", "deltanas", "attack", "--json", *WORDS]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr
    (backend,) = json.loads(ended.stdout)["backends"]
    assert [trial["got"] for trial in backend["trials"]] == ["invalid_result"]
    assert all(count["before"] == count["after"] for count in backend["accounting"].values())
    assert backend["accounting"]["file descriptors"]["before"] > 3


def test_a_wrong_outcome_and_what_is_left_behind_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(attackers, "SPECIMENS", (replace(QUICK, expected=Fails(FailureReason.SIGNALLED)),))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(os, "umask", lambda _: 0)
    run_attempt, left = arena.run_attempt, []

    def leave_a_descriptor(*arguments):
        outcome = run_attempt(*arguments)
        if outcome.failure is not None:
            left.append(os.open("/dev/null", os.O_RDONLY))
        return outcome

    monkeypatch.setattr(arena, "run_attempt", leave_a_descriptor)
    monkeypatch.setattr("sandbox_runner.specimens.surroundings.SETTLE_SECONDS", 1.0)
    try:
        code = attackers.main(WORDS)
    finally:
        for descriptor in left:
            os.close(descriptor)
    trial = events(capsys.readouterr().out)["trial"]
    assert code == attackers.ExitCode.NOT_HELD
    assert not trial["held"]
    assert "failed as invalid_result" in trial["shortcomings"][0]
    assert "file descriptors" in trial["aftermath"][0]


def test_attackers_that_are_ended_leave_nothing() -> None:
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox_runner.specimens", *WORDS[:-1], "never_ends_import"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": folder},
        )
        for line in process.stdout:
            if json.loads(line)["event"] == "started":
                break
        time.sleep(1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == attackers.ExitCode.NOT_TESTED
        process.stdout.close()
        assert os.listdir(folder) == []
        assert not any(Path(f"/proc/{child}").exists() for child in children)
