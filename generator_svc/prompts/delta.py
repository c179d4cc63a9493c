"""Asks a language model for a delta against a baseline, and writes the answer that it should give."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from contracts.chats import ChatMessage
from generator_svc.prompts.fences import fence_around

PROMPT_VERSION = "delta_v1"


def delta_prompt(
    baseline_source: str, dataset: str, accuracy: float | None = None
) -> tuple[ChatMessage, ChatMessage]:
    """The system turn and the user's. `accuracy` is the baseline's after one epoch, in [0, 1], if known.

    The source stands there as it is, line by line, in a fence that it cannot close.
    """
    words = _words()
    parts = [
        words["task"].format(dataset=words["datasets"].get(dataset, dataset)),
        "" if accuracy is None else words["accuracy"].format(accuracy=f"{accuracy:.2%}"),
        f"{words['baseline']}\n{_fenced(baseline_source)}",
        words["request"],
    ]
    user = "\n\n".join(part for part in parts if part)
    return ChatMessage("system", words["system"]), ChatMessage("user", user)


def delta_answer(delta: str) -> ChatMessage:
    """The turn that answers with a canonical delta."""
    return ChatMessage("assistant", f"```diff\n{delta}```")


@cache
def _words() -> dict[str, Any]:
    return yaml.safe_load(files(__package__).joinpath(f"{PROMPT_VERSION}.yaml").read_text(encoding="utf-8"))


def _fenced(source: str) -> str:
    fence = fence_around(source)
    end = "" if source.endswith("\n") else "\n"
    return f"{fence}python\n{source}{end}{fence}"
