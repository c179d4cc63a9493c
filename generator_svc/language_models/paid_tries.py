"""What models took for answers that may never have reached a search; a restart forgets none of it.

A try that broke off is paid for, and so is an answer that was still to be repaired when the generator ended.
Their search asks the same again, and what is answered then counts them in. Kept are numbers, by a digest of
what was asked: no word of a prompt or of an answer.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TypeVar

from generator_svc.language_models.port import ChatAnswer

FILE = "paid-tries.sqlite3"
MOST_QUESTIONS = 10_000
"""The oldest give way."""

_TABLE = (
    "CREATE TABLE IF NOT EXISTS tries (question TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, "
    "cost_usd REAL, estimated INTEGER, broke_off INTEGER)"
)

Amount = TypeVar("Amount", int, float)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taken:
    """What one try took, or several. None: nobody knows."""

    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    estimated: bool = False
    """As `contracts.proposals.ModelCall.tokens_estimated`."""
    broke_off: bool = False
    """Whether it brought no answer."""

    @classmethod
    def by(cls, answer: ChatAnswer) -> "Taken":
        """What an answer says that it took."""
        return cls(answer.prompt_tokens, answer.completion_tokens, answer.cost_usd, answer.tokens_estimated)

    def on(self, answer: ChatAnswer) -> ChatAnswer:
        """The answer, as one that took this."""
        return replace(
            answer,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost_usd=self.cost_usd,
            tokens_estimated=self.estimated,
        )

    def with_others(self, others: "list[Taken]") -> "Taken":
        """This one, and what others took besides."""
        every = [self, *others]
        return Taken(
            _sum([one.prompt_tokens for one in every]),
            _sum([one.completion_tokens for one in every]),
            _sum([one.cost_usd for one in every]),
            any(one.estimated for one in every),
            self.broke_off,
        )


def _sum(amounts: Sequence[Amount | None]) -> Amount | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known[1:], known[0]) if len(known) == len(amounts) else None


class PaidTries:
    """By question, what tries at it took that no later answer has counted in. Safe for several threads."""

    def __init__(self, home: Path | None = None, most_questions: int = MOST_QUESTIONS) -> None:
        """Without a home, or while its disk cannot be written, all is forgotten with the process."""
        self._path = None if home is None else home / FILE
        self._most = most_questions
        self._lock = threading.Lock()
        self._tries: dict[str, list[Taken]] = {}
        if self._path is not None and self._path.exists():
            self._on_disk(self._read)

    def of(self, question: str) -> list[Taken]:
        """The tries at a question, the first one first."""
        with self._lock:
            return list(self._tries.get(question, ()))

    def add(self, question: str, taken: Taken) -> list[Taken]:
        """One more try at a question; gives all of them."""
        with self._lock:
            return list(self._stand(question, [*self._tries.get(question, ()), taken]))

    def settle(self, question: str, taken: Taken | None) -> None:
        """All tries at a question are counted in this answer; None: in one that is safe already."""
        with self._lock:
            if taken is None and question not in self._tries:
                return
            self._stand(question, [] if taken is None else [taken])

    def _stand(self, question: str, tries: list[Taken]) -> list[Taken]:
        gone = [question]
        self._tries.pop(question, None)
        if tries:
            self._tries[question] = tries
        if len(self._tries) > self._most:
            gone.append(oldest := next(iter(self._tries)))
            del self._tries[oldest]

        def write(database: sqlite3.Connection) -> None:
            database.executemany("DELETE FROM tries WHERE question = ?", [(name,) for name in gone])
            rows = [(question, *astuple(taken)) for taken in tries]
            database.executemany("INSERT INTO tries VALUES (?, ?, ?, ?, ?, ?)", rows)

        self._on_disk(write)
        return tries

    def _read(self, database: sqlite3.Connection) -> None:
        for question, prompt, completion, cost, estimated, broke_off in database.execute(
            "SELECT * FROM tries ORDER BY rowid"
        ):
            taken = Taken(prompt, completion, cost, bool(estimated), bool(broke_off))
            self._tries.setdefault(question, []).append(taken)

    def _on_disk(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """In one transaction, where there is a home. A disk at fault costs nobody an answer."""
        if self._path is None:
            return
        try:
            with closing(sqlite3.connect(self._path)) as database, database:
                database.execute(_TABLE)
                work(database)
        except sqlite3.Error as error:
            _log.error(
                "%s cannot be used (%s), so a restart would forget what tries at answers took: free space on "
                "its disk; remove the file if it is damaged",
                self._path,
                error,
            )
