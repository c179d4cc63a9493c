"""The store that ends with its process. Its owner can be filled again by whoever admitted."""

from collections.abc import Sequence
from itertools import islice

from filter_svc.stores.port import ENTRIES_A_PAGE, News, Record


class MemoryStore:
    """Scopes in memory."""

    def __init__(self) -> None:
        self._scopes: dict[str, dict[str, tuple[int, Record]]] = {}
        """By scope and id; the number says which was put when. The order is that of the numbers."""
        self._put = 0

    def put(self, scope: str, record: Record) -> None:
        """Keep an architecture; the same id again replaces it."""
        kept = self._scopes.setdefault(scope, {})
        kept.pop(record.entry.proposal_id, None)
        self._put += 1
        kept[record.entry.proposal_id] = (self._put, record)

    def renew(self, scope: str, record: Record) -> None:
        """Keep another outline and other shingles of the same source."""
        kept = self._scopes.get(scope, {})
        number, before = kept.get(record.entry.proposal_id, (0, None))
        if before is not None and before.source == record.source:
            kept[record.entry.proposal_id] = (number, record)

    def news(self, scope: str, since: int) -> News:
        """What was put after the mark."""
        kept = self._scopes.get(scope, {})
        # The newest stand last: whoever follows looks at these alone.
        newer: list[tuple[int, Record]] = []
        for numbered in reversed(kept.values()):
            if numbered[0] <= since:
                break
            newer.append(numbered)
        page = list(islice(reversed(newer), ENTRIES_A_PAGE))
        mark = page[-1][0] if page else since
        entries = [record.entry for _, record in page]
        return News("", mark, entries, len(newer) > len(page), None)

    def shingles(self, scope: str, proposal_ids: Sequence[str]) -> list[bytes | None]:
        """Of each of these architectures."""
        found = [self.find(scope, proposal_id) for proposal_id in proposal_ids]
        return [None if record is None else record.shingles for record in found]

    def find(self, scope: str, proposal_id: str) -> Record | None:
        """One architecture."""
        numbered = self._scopes.get(scope, {}).get(proposal_id)
        return None if numbered is None else numbered[1]

    def count(self, scope: str) -> int:
        """How many architectures a scope holds."""
        return len(self._scopes.get(scope, {}))

    def drop(self, scope: str) -> None:
        """Forget a scope."""
        self._scopes.pop(scope, None)

    def check(self) -> None:
        """It always answers."""

    def close(self) -> None:
        """Forget everything."""
        self._scopes.clear()
