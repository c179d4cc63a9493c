"""Small programs in the place of a model's process, which may misbehave, and how they are asked."""

import sys
import textwrap
from pathlib import Path

import pytest

from contracts.chats import ChatMessage
from generator_svc.held_up import HeldUp
from generator_svc.language_models.local import LocalModels
from generator_svc.language_models.port import ChatRequest, Sampling

READY = 'say(event="ready", device="cpu", dtype="float32")'


ANSWER = """
    def answer(call, request, **fields):
        told = {"text": f"answer {request['key']}", "finish_reason": "stop", "prompt_tokens": 3}
        told |= {"completion_tokens": 2, "seconds": 0.1, **fields}
        say(event="answered", call=call["call"], key=request["key"], **told)
"""


OBEDIENT = f"""
    {READY}
    for call in calls():
        for request in call["requests"]:
            answer(call, request)
        say(event="ended", call=call["call"])
"""


def program(tmp_path: Path, body: str) -> tuple[str, str]:
    """The command of a program that speaks the protocol as `body` says."""
    head = """
    import json, os, sys, time
    with open(os.path.join(sys.argv[1], "starts"), "a") as starts:
        starts.write(f"{os.getpid()}\\n")
    def say(**told):
        print(json.dumps(told), flush=True)
    def calls():
        for line in sys.stdin:
            yield json.loads(line)
    """
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(head) + textwrap.dedent(ANSWER) + textwrap.dedent(body))
    return sys.executable, str(path)


def requests(count: int) -> list[ChatRequest]:
    return [ChatRequest(key, (ChatMessage("user", "Improve it."),), 7 + key) for key in range(count)]


def ask(models: LocalModels, count: int = 2, name: str = "small", adapter: str | None = None):
    return list(models.model(name, adapter).answers(requests(count), Sampling(max_tokens=5)))


def starts(tmp_path: Path, name: str = "small") -> list[int]:
    return [int(line) for line in (tmp_path / "models" / name / "starts").read_text().split()]


def held_up(models: LocalModels, **options):
    with pytest.raises(HeldUp) as held:
        ask(models, **options)
    assert held.value.blocked.remedy
    return held.value.blocked
