"""Which architectures the corpus holds: what finished imports have published; and which index has them."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select

from gateway.infra.baseline_catalogue import BaselineCatalogue
from gateway.infra.baseline_tables import BaselineRow
from gateway.infra.database import Database, now_in
from gateway.infra.marks import Mark, move_mark, read_mark

_MARK = "novelty:corpus"


class CorpusNetwork(NamedTuple):
    """An architecture of the corpus; of several names of one source the first."""

    candidate_id: str
    name: str


class CorpusRecords:
    """The imported networks of this gateway, the same for all tenants. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._catalogue = BaselineCatalogue(database)

    def imported(self) -> list[CorpusNetwork]:
        """Every published source, once."""
        query = (
            select(BaselineRow.candidate_id, func.min(BaselineRow.name).label("name"))
            .where(BaselineRow.published.is_(True))
            .group_by(BaselineRow.candidate_id)
        )
        with self._database.read() as session:
            return [CorpusNetwork(row.candidate_id, row.name) for row in session.execute(query)]

    def sources(self, candidate_ids: Sequence[str]) -> dict[str, str]:
        """Their sources, at most some hundreds; what has gone since is left out."""
        return self._catalogue.sources(candidate_ids)

    def index_in_use(self) -> str | None:
        """The filter's scope that was last begun to be filled."""
        with self._database.read() as session:
            return read_mark(session, _MARK).row_id or None

    def use_index(self, scope: str) -> None:
        """From now on that one is filled."""
        with self._database.write() as session:
            move_mark(session, _MARK, Mark(now_in(session), scope))
