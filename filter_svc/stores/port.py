"""What keeps admitted architectures by scope and proposal id. It knows nothing of what its bytes mean.

A store says what is new since a mark, so that whoever holds a scope in memory follows what others admit.
Every method raises IndexBroken where the store cannot be used: one that has forgotten, or that cannot be
asked, would call every copy new.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

ENTRIES_A_PAGE = 500


class IndexBroken(Exception):
    """The index cannot be used; nothing can be said to be novel. The message says what to do."""


class Entry(NamedTuple):
    """What of an architecture is held in memory."""

    proposal_id: str
    label: str
    structure: bytes | None
    outline: bytes


class Record(NamedTuple):
    """An architecture as it is kept."""

    entry: Entry
    shingles: bytes
    source: bytes


@dataclass(frozen=True)
class News:
    """What was put into a scope after a mark, oldest first; at most ENTRIES_A_PAGE."""

    epoch: str
    """Another one after the scope was dropped: then whatever was known of it is void."""
    mark: int
    """To be asked with next time."""
    entries: list[Entry]
    has_more: bool
    count: int | None
    """How many architectures the scope holds, these among them. None: the store is nobody else's."""


class ArchitectureStore(Protocol):
    """Safe to use from one thread at a time."""

    def put(self, scope: str, record: Record) -> None:
        """Keep an architecture; the same id again replaces it. On disk, if the store has one."""
        ...

    def renew(self, scope: str, record: Record) -> None:
        """Keep another outline and other shingles of the same source; nothing if that is another now."""
        ...

    def news(self, scope: str, since: int) -> News:
        """What was put after the mark; 0 is before everything."""
        ...

    def shingles(self, scope: str, proposal_ids: Sequence[str]) -> list[bytes | None]:
        """Of each of these architectures; None of one that is not there."""
        ...

    def find(self, scope: str, proposal_id: str) -> Record | None:
        """One architecture."""
        ...

    def count(self, scope: str) -> int:
        """How many architectures a scope holds; 0 of one that is not there."""
        ...

    def drop(self, scope: str) -> None:
        """Forget a scope."""
        ...

    def check(self) -> None:
        """Whether the store answers."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...
