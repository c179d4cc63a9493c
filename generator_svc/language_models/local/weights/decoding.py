"""Answers several conversations at once, token by token; each is given out as it ends."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from generator_svc.language_models.local.answer_ends import AnswerEnd
from generator_svc.language_models.local.weights.caches import (
    ManyPrompts,
    OnePrompt,
    Rows,
    attends_to_everything,
    prefill,
)
from generator_svc.language_models.local.weights.sampling import Choice, draw

_UNFINISHED_CHARACTER = "\ufffd"
_TOKENS_OF_A_CHARACTER = 4
"""A character's bytes lie in at most so many tokens; what is unreadable even then is taken as it is."""


@dataclass(frozen=True)
class Task:
    """One prompt, as tokens, to be continued."""

    key: int
    prompt: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class Bounds:
    """When to stop writing. `over` is asked between two tokens; True ends every answer with `timeout`."""

    max_tokens: int
    max_bytes: int
    context_length: int
    over: Callable[[], bool]


@dataclass(frozen=True)
class Written:
    """A finished answer. `seconds` since the batch began."""

    key: int
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class Writer:
    """Writes with one model. `decode` turns tokens into text, without special tokens."""

    def __init__(
        self, model: PreTrainedModel, decode: Callable[[Sequence[int]], str], end_tokens: frozenset[int]
    ) -> None:
        self._model = model
        self._decode = decode
        self._end_tokens = end_tokens
        self._mixes = attends_to_everything(model)

    @torch.inference_mode()
    def write(self, tasks: Sequence[Task], choice: Choice, bounds: Bounds) -> Iterator[Written]:
        """Every task's answer, as it ends. What is written beside a task does not change its answer."""
        began = time.monotonic()
        open_rows: list[_Row] = []
        for task in tasks:
            row = _Row(task, self._decode, min(bounds.max_tokens, bounds.context_length - len(task.prompt)))
            if row.room <= 0:
                yield row.written("prompt_too_long", began)
            else:
                open_rows.append(row)
        batches = [open_rows] if self._mixes else list(_by_prompt(open_rows).values())
        for rows in filter(None, batches):
            yield from self._write_batch(rows, choice, bounds, began)

    def _write_batch(
        self, rows: list["_Row"], choice: Choice, bounds: Bounds, began: float
    ) -> Iterator[Written]:
        numbers = {prompt: number for number, prompt in enumerate(_by_prompt(rows))}
        of_row = [numbers[row.task.prompt] for row in rows]
        caches: list[Any] = []
        following: list[torch.Tensor] = []
        for prompt in numbers:
            if bounds.over():
                yield from (row.written("timeout", began) for row in rows)
                return
            cache, logits = prefill(self._model, prompt)
            caches.append(cache)
            following.append(logits)
        logits = torch.cat([following[number] for number in of_row])
        state: Rows
        if self._mixes:
            state = ManyPrompts(self._model, caches, of_row)
        else:
            state = OnePrompt(self._model, caches[0], len(rows))
        del caches, following
        while True:
            tokens = draw(logits, choice, [row.generator for row in rows])
            late = bounds.over()
            staying = []
            for number, (row, token) in enumerate(zip(rows, tokens, strict=True)):
                reason = row.take(token, self._end_tokens, bounds.max_bytes) or ("timeout" if late else None)
                if reason:
                    yield row.written(reason, began)
                else:
                    staying.append(number)
            if not staying:
                return
            if len(staying) < len(rows):
                state.keep(staying)
                rows, tokens = [rows[n] for n in staying], [tokens[n] for n in staying]
            logits = state.step(tokens)


class _Row:
    """One answer as it grows. `room`: how many tokens it may have."""

    def __init__(self, task: Task, decode: Callable[[Sequence[int]], str], room: int) -> None:
        self.task = task
        self.room = room
        self.generator = torch.Generator().manual_seed(task.seed)
        self._decode = decode
        self._end = AnswerEnd()
        self._tokens: list[int] = []
        self._pieces: list[str] = []
        self._bytes = 0
        self._context, self._read = 0, 0
        """Tokens before `_read` are text already. Those from `_context` on are decoded again with the next:
        what a token says may depend on the one before it."""

    def take(self, token: int, end_tokens: frozenset[int], max_bytes: int) -> str | None:
        """Append a token. Gives the reason when the answer ends with it."""
        if token in end_tokens:
            self._read_on(whole=True)
            return "stop"
        self._tokens.append(token)
        full = len(self._tokens) >= self.room
        if self._read_on(whole=full):
            return "stop"
        if self._bytes > max_bytes:
            self._pieces = [_cut("".join(self._pieces), max_bytes)]
            return "too_long"
        return "length" if full else None

    def written(self, reason: str, began: float) -> Written:
        """The answer as it is now."""
        return Written(
            self.task.key,
            "".join(self._pieces),
            reason,
            len(self.task.prompt),
            len(self._tokens),
            time.monotonic() - began,
        )

    def _read_on(self, whole: bool) -> bool:
        """Turn new tokens into text; True when the answer is over with them."""
        before = self._decode(self._tokens[self._context : self._read])
        text = self._decode(self._tokens[self._context :])
        waiting = len(self._tokens) - self._read
        if not whole and text.endswith(_UNFINISHED_CHARACTER) and waiting < _TOKENS_OF_A_CHARACTER:
            return False
        self._context, self._read = self._read, len(self._tokens)
        piece = text[len(before) :]
        end = self._end.read(piece)
        self._pieces.append(piece[:end])
        self._bytes += len(piece.encode())
        return end is not None


def _by_prompt(rows: Sequence[_Row]) -> dict[tuple[int, ...], list[_Row]]:
    groups: dict[tuple[int, ...], list[_Row]] = {}
    for row in rows:
        groups.setdefault(row.task.prompt, []).append(row)
    return groups


def _cut(text: str, size: int) -> str:
    """As much of a text as fits into `size` bytes."""
    return text.encode()[:size].decode(errors="ignore")
