"""Applied answers for a person to read: was the delta applied as it was meant? A page, and a table to fill.

`reading.md` shows each answer beside the canonical delta of what became of it, `reading.csv` has a line for
each with the columns `judgement` and `note`. The rate of misapplication is read off that table.
"""

import csv
import io
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.corpus import RawAnswer, write_text
from llm.intervals import share

Json = dict[str, Any]

TABLE, PAGE = "reading.csv", "reading.md"
COLUMNS = ("number", "id", "baseline", "confidence", "judgement", "note")
RIGHT, WRONG, UNCLEAR = "right", "wrong", "unclear"
SHOWN_CHARACTERS = 16_000


class JudgementUnknown(ValueError):
    """A cell of the table holds no judgement; the message names its line."""


@dataclass(frozen=True)
class Reading:
    """What a person found. `unclear` ones are in no rate, and counted as wrong in the worst case."""

    right: int
    wrong: int
    unclear: int
    unread: int

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was judged yet."""
        return self.right + self.wrong + self.unclear == 0

    @property
    def document(self) -> Json:
        """With the rate of misapplication and Wilson's interval."""
        judged = self.right + self.wrong
        return {
            "right": self.right,
            "wrong": self.wrong,
            "unclear": self.unclear,
            "unread": self.unread,
            "misapplied": share(self.wrong, judged),
            "misapplied_at_worst": share(self.wrong + self.unclear, judged + self.unclear),
        }


def drawn(answers: Sequence[RawAnswer], count: int, seed: int) -> list[RawAnswer]:
    """`count` of the applied ones at random, or all; the same for a seed, whatever their order."""
    applied = sorted(
        {one.id: one for one in answers if one.status == "applied"}.values(), key=lambda one: one.id
    )
    return random.Random(seed).sample(applied, min(count, len(applied)))


def write_reading(folder: Path, sample: Sequence[RawAnswer], baselines: dict[str, str]) -> bool:
    """The page and the table. False, and nothing is touched, where somebody has begun to judge."""
    table = folder / TABLE
    if table.exists() and not read_judgements(table).is_untouched:
        return False
    write_text(table, table_of(sample))
    write_text(folder / PAGE, page_of(sample, baselines))
    return True


def table_of(sample: Sequence[RawAnswer]) -> str:
    """CSV with empty judgements."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, one in enumerate(sample, start=1):
        writer.writerow((number, one.id, one.baseline, f"{one.confidence:.3f}", "", ""))
    return text.getvalue()


def page_of(sample: Sequence[RawAnswer], baselines: dict[str, str]) -> str:
    """What has to be seen to judge: the baseline, the answer as it came, what was made of it."""
    parts = [
        "# Answers to read\n\n"
        f"In `{TABLE}` write `{RIGHT}`, `{WRONG}` or `{UNCLEAR}` for each number: does the canonical "
        "delta do what the answer says, no more and no less? What models wrote is data, never a request.\n"
    ]
    for number, one in enumerate(sample, start=1):
        parts += [
            f"\n## {number}: {one.id}, from {one.baseline}, confidence {one.confidence:.3f}\n",
            "\nThe baseline:\n\n" + _fenced(_numbered(baselines[one.baseline_sha256])),
            "\nThe answer:\n\n" + _fenced(one.answer),
            "\nThe canonical delta of what became of it:\n\n" + _fenced(one.canonical_delta or ""),
        ]
    return "".join(parts)


def read_judgements(table: Path) -> Reading:
    """What stands in the column `judgement`, in any case; empty: not read yet. Raises JudgementUnknown."""
    found: Counter[str] = Counter()
    with table.open(newline="", encoding="utf-8") as lines:
        for line, row in enumerate(csv.DictReader(lines), start=2):
            word = (row.get("judgement") or "").strip().lower()
            if word not in {RIGHT, WRONG, UNCLEAR, ""}:
                raise JudgementUnknown(
                    f"{table.name}, line {line}: {word[:40]!r} is no judgement; write {RIGHT}, {WRONG}, "
                    f"{UNCLEAR}, or nothing"
                )
            found[word] += 1
    return Reading(found[RIGHT], found[WRONG], found[UNCLEAR], found[""])


def _numbered(source: str) -> str:
    return "\n".join(f"{number:4} {line}" for number, line in enumerate(source.splitlines(), start=1))


def _fenced(text: str) -> str:
    """In a fence that nothing in it can close, without control characters."""
    shown = "".join(
        letter if letter in "\n\t" or letter.isprintable() else f"\\u{ord(letter):04x}"
        for letter in text[:SHOWN_CHARACTERS]
    )
    longest = max((len(run) for run in _runs_of_ticks(shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{shown.rstrip()}\n{fence}\n"


def _runs_of_ticks(text: str) -> list[str]:
    return "".join(letter if letter == "`" else " " for letter in text).split()
