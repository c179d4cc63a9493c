"""Which chats a model may learn from: our own prompts, answered by a canonical delta. Never a model's words.

What is learnt is the answer, so the answer is derived anew: applied to the baseline that the prompt shows,
its delta gives a source from which the same delta is made again, byte for byte, and it changes code alone. A
model's raw text passes only where it *is* that delta.
"""

import hashlib
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import IO

from pydantic import TypeAdapter

from contracts.chats import ChatMessage
from contracts.fine_tuning import ChatSplit, TrainingChat
from contracts.source_rules import SourceRejected, check_source
from generator_svc.deltas import canonical_delta
from generator_svc.deltas.canonical import source_lines
from generator_svc.deltas.layout import in_layout_of
from generator_svc.prompts import baseline_of_prompt, delta_answer

_CHAT = TypeAdapter(TrainingChat)

ROLES = ("system", "user", "assistant")
_EMPTY_ANSWER = delta_answer("").content
FILE_HEADERS = 2
FEWEST_GROUPS = 2
"""Of chats with one prompt, so that one can be held out and another learnt."""
HUNK_HEADER = re.compile(r"@@ -(\d{1,7})(?:,(\d{1,7}))? \+\d{1,7}(?:,\d{1,7})? @@\n")
FRAME_START, FRAME_END = _EMPTY_ANSWER[:-3], _EMPTY_ANSWER[-3:]


class ChatRefused(Exception):
    """A chat is not one to learn from; the message says why."""


def check_chat(messages: Sequence[ChatMessage]) -> None:
    """Raise ChatRefused unless this is one of our prompts with the canonical delta as its answer."""
    if tuple(message.role for message in messages) != ROLES:
        raise ChatRefused(f"a training chat has the turns {', '.join(ROLES)}, in this order")
    shown = baseline_of_prompt(messages[:2])
    if shown is None:
        raise ChatRefused("the system and user turns are no prompt for a delta of ours")
    delta = framed_delta(messages[2].content)
    if delta is None:
        raise ChatRefused("the answer is not one delta in a ```diff fence and nothing else")
    # A prompt ends a source's last line where the source itself does not.
    for baseline in (shown, shown.removesuffix("\n")):
        target = exactly_applied(baseline, delta)
        if target is None:
            continue
        contract = _contract(target)  # before deltas are derived: that takes long of what is no source
        if contract is None or contract != _contract(baseline):
            raise ChatRefused("the answer leads to a source that a search would refuse")
        if canonical_delta(baseline, target) != delta:
            continue
        if in_layout_of(baseline, target) != target:
            raise ChatRefused("the answer changes blank lines, comments or spaces beside the code")
        return
    raise ChatRefused("the answer is not the canonical delta from the prompt's baseline to anything")


@lru_cache(maxsize=256)
def _contract(source: str) -> str | None:
    try:
        return check_source(source).contract
    except SourceRejected:
        return None


def exactly_applied(baseline: str, delta: str) -> str | None:
    """What a delta leads to where every number and line of it is right; None where one is not."""
    old, new = source_lines(baseline), list[str]()
    taken = 0
    for line in _joined(source_lines(delta)[FILE_HEADERS:]):
        header = HUNK_HEADER.match(line)
        if header is not None:
            start = int(header.group(1)) - (header.group(2) != "0")
            if not taken <= start <= len(old):
                return None
            new += old[taken:start]
            taken = start
        elif line[0] == "+":
            new.append(line[1:])
        elif line[0] in " -" and old[taken : taken + 1] == [line[1:]]:
            new += [line[1:]] * (line[0] == " ")
            taken += 1
        else:
            return None
    return "".join(new + old[taken:])


def _joined(lines: Sequence[str]) -> Iterator[str]:
    """Lines of a delta, each followed by a backslash marker without its newline."""
    for line, following in pairwise([*lines, ""]):
        if not line.startswith("\\"):
            yield line[:-1] if following.startswith("\\") else line


def framed_delta(answer: str) -> str | None:
    """The delta of an answer in the frame of `delta_answer`; None where the frame is another."""
    delta = answer[len(FRAME_START) : -len(FRAME_END)]
    return delta if delta and delta_answer(delta).content == answer else None


def chat_line(chat: TrainingChat) -> bytes:
    """A chat in its one spelling, with the newline: what is stored, and what the digest is of."""
    turns = [[message.role, message.content] for message in chat.messages]
    return json.dumps([chat.split.value, turns], separators=(",", ":")).encode() + b"\n"


def read_chat_line(line: bytes) -> TrainingChat:
    """What `chat_line` wrote."""
    split, turns = json.loads(line)
    return TrainingChat(ChatSplit(split), tuple(ChatMessage(role, content) for role, content in turns))


def sent_again(settings: bytes, stored: IO[bytes]) -> Iterator[bytes]:
    """A stored job as it is sent: its settings' line, then each chat as a TrainingChat. Closes the file."""
    with stored:
        yield settings
        for line in stored:
            yield _CHAT.dump_json(read_chat_line(line), ensure_ascii=True) + b"\n"


def with_validation(chats: Sequence[TrainingChat], share: float, seed: int) -> list[TrainingChat]:
    """The chats; where none is there for validation, about a share of them becomes so.

    All chats with one prompt go to the same side, unless there is but one to choose. What is replayed is
    learnt, and so is its prompt. Which prompts are held out depends on the seed and the prompts alone.
    """
    if share == 0 or any(chat.split is ChatSplit.VALIDATION for chat in chats):
        return list(chats)
    learnt = {_prompt_digest(chat) for chat in chats if chat.split is ChatSplit.REPLAY}
    groups: dict[str, list[int]] = defaultdict(list)
    fresh = [index for index, chat in enumerate(chats) if chat.split is ChatSplit.TRAIN]
    for index in fresh:
        digest = _prompt_digest(chats[index])
        if digest not in learnt:
            groups[digest].append(index)
    if (
        len(groups) < FEWEST_GROUPS
    ):  # a young search has one parent: better judged on its other answers than never
        groups = defaultdict(list, {f"{index:06d}": [index] for index in fresh})
    order = sorted(groups)
    random.Random(seed).shuffle(order)  # noqa: S311 - a split, not a secret
    held_out: set[int] = set()
    for digest in order[:-1]:  # something has to remain to learn from
        if len(held_out) >= share * len(chats):
            break
        held_out.update(groups[digest])
    return [
        replace(chat, split=ChatSplit.VALIDATION) if index in held_out else chat
        for index, chat in enumerate(chats)
    ]


def _prompt_digest(chat: TrainingChat) -> str:
    return digest_of(message.content.encode("utf-8", "surrogatepass") for message in chat.messages[:-1])


def digest_of(parts: Iterable[bytes]) -> str:
    """SHA-256, hex, of parts that are told apart."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
