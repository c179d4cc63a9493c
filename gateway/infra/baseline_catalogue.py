"""The imported reference networks on disk, as people look for them. Reads only; imports write them."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from contracts.jobs import BaselineNetwork, ReferenceResult
from gateway.domain.baseline_filter import BaselineFilter
from gateway.domain.baseline_record import CataloguedBaseline, Facet, SmokeStatus
from gateway.domain.baseline_smoke import SmokeState
from gateway.domain.training_pairs import RecordedNetwork
from gateway.infra.baseline_tables import (
    BaselineImportRow,
    BaselineResultRow,
    BaselineRow,
    BaselineSmokeRow,
    BaselineSourceRow,
)
from gateway.infra.database import Database

READ_AT_A_TIME = 500
NO_ACCURACY = -1.0
"""Where nobody recorded a first epoch: below every accuracy, so that it comes last."""


class BaselineCatalogue:
    """Thread-safe. Sees what finished imports have published, nothing else."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def named(self, name: str) -> CataloguedBaseline | None:
        """One network with its source, or None."""
        return self._one(BaselineRow.name == name)

    def version(self, digest: str) -> CataloguedBaseline | None:
        """One version of a network with its source; None when another one took its place."""
        return self._one(BaselineRow.digest == digest)

    def _one(self, condition: ColumnElement[bool]) -> CataloguedBaseline | None:
        with self._database.read() as session:
            row = session.scalar(select(BaselineRow).where(_PUBLISHED, condition))
            if row is None:
                return None
            source = session.get_one(BaselineSourceRow, row.candidate_id).source
            return _read(session, [row], {row.candidate_id: source})[0]

    def page(self, wanted: BaselineFilter, limit: int, after: str | None = None) -> list[CataloguedBaseline]:
        """At most `limit` networks, by name; `after` is the last name of the page before."""
        query = select(BaselineRow).where(_PUBLISHED, *conditions(wanted))
        if after is not None:
            query = query.where(BaselineRow.name > after)
        with self._database.read() as session:
            rows = session.scalars(query.order_by(BaselineRow.name).limit(limit)).all()
            return _read(session, rows, {})

    def page_by_accuracy(
        self, wanted: BaselineFilter, limit: int, after: tuple[float, str] | None = None
    ) -> list[tuple[float, CataloguedBaseline]]:
        """The same, the best first epoch on `wanted.recorded_on` first, then by name; each with its place.

        `after` is the accuracy and the name of the last one of the page before.
        """
        accuracy = func.coalesce(BaselineResultRow.first_epoch_accuracy, NO_ACCURACY)
        query = (
            select(BaselineRow, accuracy)
            .join(
                BaselineResultRow,
                and_(
                    BaselineResultRow.digest == BaselineRow.digest,
                    BaselineResultRow.dataset == wanted.recorded_on,
                ),
            )
            .where(_PUBLISHED, *conditions(wanted))
        )
        if after is not None:
            at, name = after
            query = query.where(or_(accuracy < at, and_(accuracy == at, BaselineRow.name > name)))
        with self._database.read() as session:
            found = session.execute(query.order_by(accuracy.desc(), BaselineRow.name).limit(limit)).all()
            items = _read(session, [row for row, _ in found], {})
        return [(place, item) for (_, place), item in zip(found, items, strict=True)]

    def first_epochs(self, dataset: str) -> Iterator[RecordedNetwork]:
        """Every network with a recorded first epoch on a dataset, by name, read a little at a time.

        One consistent snapshot; end the iteration to end it.
        """
        recorded = (
            select(
                BaselineRow.name,
                BaselineRow.family,
                BaselineRow.candidate_id,
                BaselineRow.licence,
                BaselineRow.import_id,
                BaselineResultRow.first_epoch_accuracy,
                BaselineResultRow.hyperparameters,
            )
            .join(BaselineResultRow, BaselineResultRow.digest == BaselineRow.digest)
            .where(
                _PUBLISHED,
                BaselineResultRow.dataset == dataset,
                BaselineResultRow.first_epoch_accuracy.is_not(None),
            )
            .order_by(BaselineRow.name)
            .execution_options(yield_per=READ_AT_A_TIME)
        )
        with self._database.read() as session:
            for row in session.execute(recorded):
                yield RecordedNetwork(
                    row.name,
                    row.family,
                    row.candidate_id,
                    row.first_epoch_accuracy,
                    json.dumps(row.hyperparameters, sort_keys=True),
                    row.licence,
                    row.import_id,
                )

    def sources(self, candidate_ids: Sequence[str]) -> dict[str, str]:
        """Sources by candidate id, at most some hundreds; what has gone from the catalogue is left out."""
        wanted = select(BaselineSourceRow).where(BaselineSourceRow.candidate_id.in_(candidate_ids))
        with self._database.read() as session:
            return {row.candidate_id: row.source for row in session.scalars(wanted)}

    def wheels(self, import_ids: Iterable[str]) -> list[dict[str, Any]]:
        """The package, version, licence … of the files that these imports have read; each file once."""
        read = select(BaselineImportRow.summary).where(BaselineImportRow.id.in_(import_ids))
        with self._database.read() as session:
            summaries = session.scalars(read.order_by(BaselineImportRow.id)).all()
        found = {wheel["sha256"]: wheel for wheel in (summary["wheel"] for summary in summaries if summary)}
        return list(found.values())

    def facets(self) -> dict[str, list[Facet]]:
        """What there is to filter by: origins, families, contracts and datasets with recorded results."""
        with self._database.read() as session:
            recorded = (
                select(BaselineResultRow.dataset, func.count())
                .join(BaselineRow, BaselineRow.digest == BaselineResultRow.digest)
                .where(_PUBLISHED)
            )
            return {
                "origins": _counted(session, select(BaselineRow.origin, func.count()).where(_PUBLISHED)),
                "families": _counted(session, select(BaselineRow.family, func.count()).where(_PUBLISHED)),
                "contracts": _counted(session, select(BaselineRow.contract, func.count()).where(_PUBLISHED)),
                "datasets": _counted(session, recorded),
            }


_PUBLISHED = BaselineRow.published.is_(True)


def conditions(wanted: BaselineFilter) -> list[ColumnElement[bool]]:
    """The filter over `BaselineRow`, as SQL."""
    found: list[ColumnElement[bool]] = []
    if wanted.origin is not None:
        found.append(BaselineRow.origin == wanted.origin)
    if wanted.family is not None:
        found.append(func.lower(BaselineRow.family) == wanted.family.lower())
    if wanted.contract is not None:
        found.append(BaselineRow.contract == wanted.contract)
    if wanted.name_contains is not None:
        found.append(func.lower(BaselineRow.name).contains(wanted.name_contains.lower(), autoescape=True))
    if wanted.recorded_on is not None:
        found.append(_recorded(wanted))
    if wanted.parameters_at_most is not None:
        found.append(_smoked(BaselineSmokeRow.claimed_parameters <= wanted.parameters_at_most))
    if wanted.usable_on is not None:
        passed = BaselineSmokeRow.state == SmokeState.PASSED
        found.append(_smoked(and_(BaselineSmokeRow.dataset == wanted.usable_on, passed)))
    return found


def _recorded(wanted: BaselineFilter) -> ColumnElement[bool]:
    # Under a name of its own: the order by accuracy joins the same table.
    result = aliased(BaselineResultRow)
    wished = and_(result.digest == BaselineRow.digest, result.dataset == wanted.recorded_on)
    if wanted.accuracy_at_least is not None:
        wished = and_(wished, result.first_epoch_accuracy >= wanted.accuracy_at_least)
    if wanted.accuracy_at_most is not None:
        wished = and_(wished, result.first_epoch_accuracy <= wanted.accuracy_at_most)
    return exists().where(wished)


def _smoked(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(BaselineSmokeRow.digest == BaselineRow.digest, condition)


def _counted(session: Session, query: Select[str, int]) -> list[Facet]:
    column = query.selected_columns[0]
    rows = session.execute(query.group_by(column).order_by(func.count().desc(), column))
    return [Facet(value, networks) for value, networks in rows]


def _read(session: Session, rows: Sequence[BaselineRow], sources: dict[str, str]) -> list[CataloguedBaseline]:
    digests = [row.digest for row in rows]
    results: dict[str, list[ReferenceResult]] = defaultdict(list)
    recorded = select(BaselineResultRow).where(BaselineResultRow.digest.in_(digests))
    for found in session.scalars(recorded.order_by(BaselineResultRow.dataset)):
        results[found.digest].append(_result(found))
    smokes: dict[str, list[SmokeStatus]] = defaultdict(list)
    tried = select(BaselineSmokeRow).where(BaselineSmokeRow.digest.in_(digests))
    for smoke in session.scalars(tried.order_by(BaselineSmokeRow.finished_at.desc())):
        smokes[smoke.digest].append(_status(smoke))
    return [
        CataloguedBaseline(
            _network(row, sources.get(row.candidate_id, ""), results[row.digest]),
            row.digest,
            row.candidate_id,
            tuple(smokes[row.digest]),
        )
        for row in rows
    ]


def _network(row: BaselineRow, source: str, results: Iterable[ReferenceResult]) -> BaselineNetwork:
    return BaselineNetwork(
        name=row.name,
        family=row.family,
        contract=row.contract,
        description=row.description,
        source=source,
        hyperparameters=row.hyperparameters,
        origin=row.origin,
        licence=row.licence,
        results=tuple(results),
    )


def _result(row: BaselineResultRow) -> ReferenceResult:
    return ReferenceResult(
        dataset=row.dataset,
        first_epoch_accuracy=row.first_epoch_accuracy,
        best_accuracy=row.best_accuracy,
        best_epoch=row.best_epoch,
        hyperparameters=row.hyperparameters,
    )


def _status(row: BaselineSmokeRow) -> SmokeStatus:
    return SmokeStatus(
        dataset=row.dataset,
        passed=row.state == SmokeState.PASSED,
        failure=row.failure,
        claimed_parameters=row.claimed_parameters,
        environment_digest=row.environment_digest,
    )
