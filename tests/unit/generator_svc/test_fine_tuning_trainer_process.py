"""A trainer that dies, hangs, grows or babbles is ended by name. Small programs play it."""

import json
import subprocess
import sys
import threading
from dataclasses import asdict

import pytest
from processes import is_running, until

from contracts.fine_tuning import FineTuneResult
from generator_svc.fine_tuning.job_folder import JobFolder
from generator_svc.fine_tuning.limits import FineTuneLimits
from generator_svc.fine_tuning.trainer_process import TrainerProcess

RESULT = FineTuneResult("job", True, "better", "job", 4, 2.0, 1.5)


def follow(tmp_path, program, should_stop=lambda: False, **limits):
    folder = JobFolder(tmp_path, "job")
    folder.path.mkdir(parents=True)
    trainer = TrainerProcess(folder, FineTuneLimits(**limits), False, (sys.executable, "-c", program))
    end = trainer.follow(should_stop, lambda: None)
    assert not is_running(trainer.pid)
    return end


def test_the_last_line_is_the_result(tmp_path):
    line = json.dumps({"result": asdict(RESULT)})
    assert follow(tmp_path, f"print('{{}}')\nprint({line!r})").result == RESULT


def test_the_order_names_the_job_and_the_environment_holds_no_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("DELTANAS_LLM_API_KEY", "secret")
    program = (
        "import json, os, sys\n"
        "order = json.loads(sys.stdin.readline())\n"
        "word = ' '.join([order['home'], order['id'], str(os.environ.get('DELTANAS_LLM_API_KEY'))])\n"
        "failure = {'reason': 'seen', 'message': word, 'remedy': '', 'retryable': False}\n"
        "print(json.dumps({'failure': failure}))"
    )
    assert follow(tmp_path, program).failure.message == f"{tmp_path} job None"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys; sys.exit(3)", "exited with code 3"),
        ("raise ValueError('too few')", "exited with code 1: ValueError: too few"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
        ("print('hello')", "no JSON object"),
        ("print('[]')", "no JSON object"),
        ('print(\'{"result": {"adapter": 1}}\')', "no JSON object"),
        (
            "import sys, time; sys.stdout.write('x' * 10**6); sys.stdout.flush(); time.sleep(60)",
            "without end",
        ),
    ],
)
def test_a_death_without_a_word_and_words_that_are_none_are_told_apart(tmp_path, program, words):
    assert words in follow(tmp_path, program).lost


def test_one_that_says_nothing_has_stalled(tmp_path):
    failure = follow(tmp_path, "import time; time.sleep(60)", stall_seconds=0.01).failure
    assert (failure.reason, failure.retryable) == ("stalled", True)


def test_one_that_takes_too_much_memory_is_ended(tmp_path):
    program = "import time; held = b'1' * 10**8; time.sleep(60)"
    end = follow(tmp_path, program, memory_bytes=60_000_000)
    assert "60000000" in end.out_of_memory


def test_one_that_is_told_so_by_its_libraries_is_out_of_memory_too(tmp_path):
    failure = {"reason": "out_of_memory", "message": "refused", "remedy": "", "retryable": False}
    assert follow(tmp_path, f"print({json.dumps({'failure': failure})!r})").out_of_memory == "refused"


def test_it_is_ended_when_we_are_asked_to_end_it(tmp_path):
    asked = threading.Event()
    asked.set()
    assert follow(tmp_path, "import time; time.sleep(60)", asked.is_set).stopped


def test_what_it_writes_to_the_log_is_bounded(tmp_path):
    program = (
        "import os, time\n"
        "os.write(2, b'x' * 5_000_000)\n"
        "while os.fstat(2).st_size: time.sleep(0.01)\n"
        "os.write(2, b'and on')"
    )
    assert "code 0" in follow(tmp_path, program).lost
    assert JobFolder(tmp_path, "job").log.read_bytes() == b"and on"


STUCK = """
import re, sys, types
session = types.ModuleType("session")
class Session:
    def __init__(self, *_): ...
    def run(self): re.match(r"(a+)+$", "a" * 80 + "b")  # native code that lets no other thread run
session.Session = Session
sys.modules["generator_svc.fine_tuning.trainer.session"] = session
from generator_svc.fine_tuning.trainer.__main__ import main
main()
"""
SERVICE = """
import sys, time
from pathlib import Path
from generator_svc.fine_tuning.job_folder import JobFolder
from generator_svc.fine_tuning.limits import FineTuneLimits
from generator_svc.fine_tuning.trainer_process import TrainerProcess
command = (sys.executable, "-c", sys.argv[2])
print(TrainerProcess(JobFolder(Path(sys.argv[1]), "job"), FineTuneLimits(), False, command).pid, flush=True)
time.sleep(300)
"""


def test_a_trainer_ends_with_its_service_even_where_it_can_hear_nothing(tmp_path):
    folder = JobFolder(tmp_path, "job")
    folder.path.mkdir(parents=True)
    service = subprocess.Popen([sys.executable, "-c", SERVICE, str(tmp_path), STUCK], stdout=subprocess.PIPE)
    try:
        trainer = int(service.stdout.readline())
        until(folder.lock.exists, 60, "the trainer's work")
        assert is_running(trainer)
    finally:
        service.kill()
        service.communicate()
    until(lambda: not is_running(trainer), 60, "the end of the trainer")
