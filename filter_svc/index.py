"""The novelty index: every admitted architecture by scope and proposal id, kept in a store.

A scope is read into memory when first asked for, and follows the store from then on: what another
filter has admitted to a shared store is known with the next question. A few scopes stay in memory, as
outlines alone; shingles are fetched for those that are compared exactly. The source is kept beside its
fingerprint, so that a new hash scheme's can be made from it. A store that cannot be asked raises,
always: an index that has forgotten would call every copy new.
"""

import threading
import zlib
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filter_svc.canonical import NotScreenable
from filter_svc.encoding import (
    OtherScheme,
    Unreadable,
    outline_bytes,
    outline_from,
    shingle_bytes,
    shingles_from,
)
from filter_svc.fingerprints import Fingerprint, Hashes, Outline, fingerprint
from filter_svc.neighbourhood import Compared, Neighbourhood
from filter_svc.stores.file import FileStore
from filter_svc.stores.memory import MemoryStore
from filter_svc.stores.port import ArchitectureStore, Entry, IndexBroken, Record

__all__ = ["NEAREST", "Admitted", "IndexBroken", "NoveltyIndex", "open_store"]

SCOPES_IN_MEMORY = 16
NEAREST = 5
"""So many neighbours are named."""
TRIES = 3
"""So often a scope is read again that others empty meanwhile."""


def open_store(location: str, home: Path) -> ArchitectureStore:
    """`memory:`, the URL of a Redis, or the path of a file; empty: `filter/index.db` in `home`.

    Raises IndexBroken.
    """
    if location == "memory:":
        return MemoryStore()
    if "://" in location:
        from filter_svc.stores.shared import SharedStore

        return SharedStore(location)
    return FileStore(home / (location or "filter/index.db"))


@dataclass(frozen=True)
class Admitted:
    """An architecture as it was admitted."""

    proposal_id: str
    label: str
    source: str
    structure: bytes | None
    """Equal where two architectures compute the same; None where nobody has looked."""


@dataclass
class _Followed:
    """A scope in memory, up to a mark of the store."""

    neighbourhood: Neighbourhood = field(default_factory=Neighbourhood)
    epoch: str | None = None
    mark: int = 0


class _Gone(Exception):
    """An architecture of the scope is not in the store any more."""


class NoveltyIndex:
    """All scopes. Safe to use from several threads."""

    def __init__(self, store: ArchitectureStore) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._scopes: OrderedDict[str, _Followed] = OrderedDict()

    def close(self) -> None:
        """Let go of the store."""
        with self._lock:
            self._store.close()

    def admit(
        self, scope: str, proposal_id: str, source: str, label: str = "", structure: bytes | None = None
    ) -> None:
        """Add an architecture; the same id again replaces it. Raises NotScreenable, IndexBroken."""
        made = fingerprint(source)
        entry = Entry(proposal_id, label, structure, outline_bytes(made))
        record = Record(entry, shingle_bytes(made), zlib.compress(source.encode()))
        with self._guarded():
            self._store.put(scope, record)

    def compare(
        self,
        scope: str,
        made: Fingerprint,
        threshold: float,
        exclude: str,
        among: Collection[str] | None = None,
    ) -> list[Compared]:
        """The NEAREST of the scope, or all `among` some of it, without the proposal itself; nearest first.

        Of the whole scope, those that reach the threshold are exactly those that comparing with every one
        would find; the others are those that look nearest. Raises IndexBroken.
        """

        def fetch(proposal_ids: Sequence[str]) -> list[Hashes]:
            return self._shingles(scope, proposal_ids)

        with self._guarded():
            for _ in range(TRIES):
                here = self._followed(scope)
                try:
                    if among is None:
                        return here.nearest(made, threshold, exclude, NEAREST, fetch)
                    return here.among(made, among, exclude, fetch)
                except _Gone:
                    self._scopes.pop(scope, None)
        raise IndexBroken(f"{scope} is emptied again and again while it is compared with; try again later")

    def find(self, scope: str, proposal_id: str) -> Admitted | None:
        """An architecture of the scope, or None where it has none of that id. Raises IndexBroken."""
        with self._guarded():
            record = self._store.find(scope, proposal_id)
        if record is None:
            return None
        return Admitted(proposal_id, record.entry.label, _text(scope, record), record.entry.structure)

    def with_structure(self, scope: str, structure: bytes) -> tuple[str, ...]:
        """The ids of the scope's architectures that have this structure, sorted. Raises IndexBroken."""
        with self._guarded():
            return self._followed(scope).with_structure(structure)

    def count(self, scope: str) -> int:
        """How many architectures a scope holds. Raises IndexBroken."""
        with self._guarded():
            return self._store.count(scope)

    def drop(self, scope: str) -> None:
        """Forget a scope. Raises IndexBroken."""
        with self._guarded():
            self._scopes.pop(scope, None)
            self._store.drop(scope)

    def check(self) -> None:
        """Whether the store answers. Raises IndexBroken."""
        with self._guarded():
            self._store.check()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except IndexBroken:
                self._scopes.clear()
                raise

    def _followed(self, scope: str) -> Neighbourhood:
        """The scope as the store has it now."""
        for _ in range(TRIES):
            followed = self._scopes.pop(scope, None) or _Followed()
            if self._catch_up(scope, followed):
                self._scopes[scope] = followed
                if len(self._scopes) > SCOPES_IN_MEMORY:
                    self._scopes.popitem(last=False)
                return followed.neighbourhood
        raise IndexBroken(f"{scope} is emptied again and again while it is read; try again later")

    def _catch_up(self, scope: str, followed: _Followed) -> bool:
        """False where the scope was emptied meanwhile, or has lost something: it has to be read anew."""
        has_more = True
        while has_more:
            news = self._store.news(scope, followed.mark)
            if followed.epoch not in (None, news.epoch):
                return False
            followed.epoch = news.epoch
            for entry in news.entries:
                try:
                    outline = self._outline(scope, entry)
                except _Gone:
                    return False
                followed.neighbourhood.put(entry.proposal_id, entry.label, entry.structure, outline)
            followed.mark, has_more = news.mark, news.has_more
        return news.count is None or news.count == len(followed.neighbourhood)

    def _outline(self, scope: str, entry: Entry) -> Outline:
        try:
            return outline_from(entry.outline)
        except OtherScheme:
            made = self._made_again(scope, entry.proposal_id)
            return Outline(made.digest, len(made.shingles), made.sketch)
        except Unreadable as error:
            raise _damaged(scope, entry.proposal_id, error) from error

    def _shingles(self, scope: str, proposal_ids: Sequence[str]) -> list[Hashes]:
        found: list[Hashes] = []
        for proposal_id, kept in zip(proposal_ids, self._store.shingles(scope, proposal_ids), strict=True):
            if kept is None:
                raise _Gone
            try:
                found.append(shingles_from(kept))
            except OtherScheme:
                found.append(self._made_again(scope, proposal_id).shingles)
            except Unreadable as error:
                raise _damaged(scope, proposal_id, error) from error
        return found

    def _made_again(self, scope: str, proposal_id: str) -> Fingerprint:
        """Of a source that was fingerprinted by another scheme."""
        record = self._store.find(scope, proposal_id)
        if record is None:
            raise _Gone
        try:
            made = fingerprint(_text(scope, record))
        except NotScreenable as error:
            raise _damaged(scope, proposal_id, error) from error
        entry = record.entry._replace(outline=outline_bytes(made))
        self._store.renew(scope, Record(entry, shingle_bytes(made), record.source))
        return made


def _text(scope: str, record: Record) -> str:
    try:
        return zlib.decompress(record.source).decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise _damaged(scope, record.entry.proposal_id, error) from error


def _damaged(scope: str, proposal_id: str, error: Exception) -> IndexBroken:
    return IndexBroken(
        f"what the index keeps of {proposal_id} in {scope} cannot be read ({error}); DELETE the scope and "
        "let it be filled again"
    )
