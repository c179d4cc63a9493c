"""Raw answers of a real model, each with the baseline it was meant for and what the applier made of it.

A corpus is a folder: `answers.jsonl`, an answer a line, and `baselines.jsonl`, their baselines by SHA-256.
Both are written whole or not at all, and the same answers give the same bytes. Answers are untrusted text.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ANSWERS, BASELINES = "answers.jsonl", "baselines.jsonl"
MAX_LINE_BYTES = 1024 * 1024


class CorpusDamaged(ValueError):
    """A file of a corpus is not what was written; the message names file and line."""


@dataclass(frozen=True)
class RawAnswer:
    """One answer as it came, and the applier's word on it."""

    id: str
    """Of baseline, form and answer: equal ones are one."""
    model: str
    """A public id."""
    tuned: bool
    """Whether the model had learnt from pairs."""
    role: str
    prompt_version: str
    form: str
    seed: int | None
    finish_reason: str
    baseline: str
    baseline_sha256: str
    answer: str
    status: str
    """`applied` or `refused`."""
    reason: str
    """The applier's code; empty where it applied."""
    message: str
    confidence: float
    result_sha256: str | None
    """Of the source that came of it."""
    canonical_delta: str | None


@dataclass(frozen=True)
class Corpus:
    """Answers in their order, and the sources of their baselines by SHA-256."""

    answers: tuple[RawAnswer, ...]
    baselines: Mapping[str, str]


def sha256(text: str) -> str:
    """Of a text as UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def answer_id(baseline_source: str, form: str, answer: str) -> str:
    """Sixteen hex digits."""
    return sha256("\x1f".join((sha256(baseline_source), form, answer)))[:16]


def write_corpus(folder: Path, answers: Sequence[RawAnswer], baselines: Mapping[str, str]) -> None:
    """Each answer once, the first of equal ones, with the baselines that are needed."""
    folder.mkdir(parents=True, exist_ok=True)
    kept: dict[str, RawAnswer] = {}
    for one in answers:
        kept.setdefault(one.id, one)
    wanted = sorted({one.baseline_sha256 for one in kept.values()})
    _write_lines(folder / BASELINES, ({"sha256": name, "source": baselines[name]} for name in wanted))
    _write_lines(folder / ANSWERS, (asdict(one) for one in kept.values()))


def read_corpus(folder: Path) -> Corpus:
    """Raises CorpusDamaged, also where an answer's baseline is missing or another."""
    baselines = {}
    for line, found in _lines(folder / BASELINES):
        if sha256(found.get("source", "")) != found.get("sha256"):
            raise CorpusDamaged(f"{folder.name}/{BASELINES}, line {line}: the source has another SHA-256")
        baselines[found["sha256"]] = found["source"]
    answers = []
    for line, found in _lines(folder / ANSWERS):
        try:
            answer = RawAnswer(**found)
            source = baselines[answer.baseline_sha256]
        except (TypeError, KeyError) as error:
            raise CorpusDamaged(f"{folder.name}/{ANSWERS}, line {line}: {error}") from error
        if answer.id != answer_id(source, answer.form, answer.answer):
            raise CorpusDamaged(f"{folder.name}/{ANSWERS}, line {line}: the answer has another id")
        answers.append(answer)
    return Corpus(tuple(answers), baselines)


def write_text(file: Path, text: str) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, file)


def json_lines(documents: Iterable[Json]) -> str:
    """ASCII JSON, a document a line."""
    return "".join(json.dumps(one, allow_nan=False) + "\n" for one in documents)


def _write_lines(file: Path, documents: Iterable[Json]) -> None:
    write_text(file, json_lines(documents))


def _lines(file: Path) -> Iterable[tuple[int, Json]]:
    with file.open("rb") as lines:
        number = 0
        while line := lines.readline(MAX_LINE_BYTES + 1):
            number += 1
            try:
                found = json.loads(line) if len(line) <= MAX_LINE_BYTES else None
            except ValueError as error:
                raise CorpusDamaged(f"{file.parent.name}/{file.name}, line {number}: {error}") from error
            if not isinstance(found, dict):
                raise CorpusDamaged(f"{file.parent.name}/{file.name}, line {number} is no document")
            yield number, found
