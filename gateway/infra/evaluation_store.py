"""Evaluations on disk: accept, read, list, cancel. Attempts are handed out by `attempt_queue`."""

from contextlib import nullcontext
from dataclasses import dataclass

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload, undefer

from contracts.names import AttemptKind, EvaluationState, IsolationTier, ScoredOn, SearchState
from contracts.source_rules import candidate_id
from gateway.domain.api_keys import LOCAL_TENANT
from gateway.domain.evaluation import EvaluationRecord, EvaluationRequest
from gateway.domain.placement import Obstacle, obstacle
from gateway.infra.agent_directory import live_agents
from gateway.infra.database import Database, now_in
from gateway.infra.evaluation_rows import evaluation_record, request_document, requirements, reuse_key
from gateway.infra.evaluation_transitions import (
    enqueue_attempt,
    evaluation_topic,
    finish,
    locked_evaluation,
)
from gateway.infra.events import append_event
from gateway.infra.identifiers import new_id
from gateway.infra.journalled_keys import split_key as own_split_key
from gateway.infra.search_tables import SearchRow
from gateway.infra.tables import AttemptRow, EvaluationRow, EvaluationTagRow
from gateway.infra.tenant_tables import IS_OPEN


class EvaluationUnknown(Exception):
    """There is no such evaluation, or it is another tenant's."""


@dataclass(frozen=True)
class Page:
    """Some records, newest first, and where the next page starts."""

    items: tuple[EvaluationRecord, ...]
    next_cursor: str | None


_BY_OPEN = "INDEXED BY ix_evaluations_open"
"""Without statistics SQLite would take the index of all of a tenant's evaluations."""


class EvaluationStore:
    """Thread-safe. What takes a `session` joins the caller's writing transaction; the rest opens its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(
        self,
        session: Session,
        request: EvaluationRequest,
        *,
        tenant: str = LOCAL_TENANT,
        origin_key: str | None = None,
        search_id: str | None = None,
        split_key: str | None = None,
    ) -> str:
        """Accept an evaluation and give its id: on disk when the caller's transaction is.

        The same `origin_key` always gives the same evaluation. Within a search pass its id and its
        journalled `split_key`: `accuracy` is then on the selection half and `audit_accuracy` on the
        other. Otherwise the request has a split of its own, which is scored as a whole.
        """
        known = self._by_origin(session, origin_key)
        if known is not None:
            return known
        scored_on = ScoredOn.ALL if search_id is None else ScoredOn.SELECTION_HALF
        row = _new_row(session, request, tenant, split_key, scored_on)
        row.origin_key, row.search_id = origin_key, search_id
        try:
            # Only one of an origin may be there already; the others need no way back.
            with nullcontext() if origin_key is None else session.begin_nested():
                session.add(row)
                session.flush()
        except IntegrityError:
            known = self._by_origin(session, origin_key)
            if known is None:
                raise
            return known
        self._start(session, row, request)
        return row.id

    def submitted(self, session: Session, evaluation_id: str) -> EvaluationRecord:
        """What `submit` has made in this transaction, as it stands, without reading all of it again."""
        row = session.get_one(EvaluationRow, evaluation_id)
        return _records(session, row.tenant, [row])[0]

    def read(self, evaluation_id: str, *, tenant: str | None = None) -> EvaluationRecord:
        """One evaluation, of any tenant unless one is named. Raises EvaluationUnknown."""
        with self._database.read() as session:
            return self.read_in(session, evaluation_id, tenant=tenant)

    def read_in(self, session: Session, evaluation_id: str, *, tenant: str | None = None) -> EvaluationRecord:
        """The same, in the caller's transaction."""
        row = session.scalar(_whole().where(EvaluationRow.id == evaluation_id))
        if row is None or (tenant is not None and row.tenant != tenant):
            raise EvaluationUnknown(evaluation_id)
        return _records(session, row.tenant, [row])[0]

    def page(
        self,
        tenant: str,
        *,
        limit: int = 50,
        cursor: str | None = None,
        state: EvaluationState | None = None,
        tag: str | None = None,
        kind: AttemptKind | None = None,
    ) -> Page:
        """A tenant's evaluations, newest first. `cursor` is the `next_cursor` of the page before."""
        chosen = select(EvaluationRow.id).where(EvaluationRow.tenant == tenant)
        if cursor is not None:
            chosen = chosen.where(EvaluationRow.id < cursor)
        if state is not None:
            chosen = chosen.where(EvaluationRow.state == state)
        if state is not None and not state.is_terminal:
            # Else all that ever ended would be read where few are open.
            chosen = chosen.where(IS_OPEN).with_hint(EvaluationRow, _BY_OPEN, "sqlite")
        if kind is not None:
            chosen = chosen.where(EvaluationRow.kind == kind)
        if tag is not None:
            chosen = chosen.where(EvaluationRow.tags.any(EvaluationTagRow.tag == tag))
        with self._database.read() as session:
            ids = list(session.scalars(chosen.order_by(EvaluationRow.id.desc()).limit(limit + 1)))
            whole = _whole().where(EvaluationRow.id.in_(ids[:limit])).order_by(EvaluationRow.id.desc())
            records = _records(session, tenant, list(session.scalars(whole)))
        return Page(records, ids[limit - 1] if len(ids) > limit else None)

    def count_open(self, tenant: str) -> int:
        """How many of a tenant's evaluations have not ended."""
        is_open = EvaluationRow.state.in_([EvaluationState.QUEUED, EvaluationState.RUNNING])
        with self._database.read() as session:
            return (
                session.scalar(
                    select(func.count())
                    .select_from(EvaluationRow)
                    .where(EvaluationRow.tenant == tenant, is_open)
                )
                or 0
            )

    def cancel(self, session: Session, evaluation_id: str, *, tenant: str | None = None) -> EvaluationState:
        """End an evaluation unless it has ended; gives its state, whichever won. Raises EvaluationUnknown."""
        row = locked_evaluation(session, evaluation_id)
        if row is None or (tenant is not None and row.tenant != tenant):
            raise EvaluationUnknown(evaluation_id)
        if not EvaluationState(row.state).is_terminal:
            finish(session, row, EvaluationState.CANCELLED)
        return EvaluationState(row.state)

    def logs(self, evaluation_id: str, *, tenant: str | None = None) -> list[tuple[str, int, str]]:
        """(attempt id, seed, log) of each attempt, oldest first. Raises EvaluationUnknown."""
        with self._database.read() as session:
            owner = session.scalar(select(EvaluationRow.tenant).where(EvaluationRow.id == evaluation_id))
            if owner is None or (tenant is not None and owner != tenant):
                raise EvaluationUnknown(evaluation_id)
            rows = session.execute(
                select(AttemptRow.id, AttemptRow.seed, AttemptRow.log)
                .where(AttemptRow.evaluation_id == evaluation_id)
                .order_by(AttemptRow.fence)
            )
            return [(row.id, row.seed, row.log) for row in rows]

    def _by_origin(self, session: Session, origin_key: str | None) -> str | None:
        if origin_key is None:
            return None
        return session.scalar(select(EvaluationRow.id).where(EvaluationRow.origin_key == origin_key))

    def _start(self, session: Session, row: EvaluationRow, request: EvaluationRequest) -> None:
        append_event(session, evaluation_topic(row.id), "queued", {"state": EvaluationState.QUEUED})
        earlier = _same_result(session, row) if request.reuse else None
        if earlier is None:
            for seed in request.seeds:
                enqueue_attempt(session, row, seed)
            return
        row.reused_from = earlier.reused_from or earlier.id
        row.measurement, row.smoke, row.isolation = earlier.measurement, earlier.smoke, earlier.isolation
        row.trace, row.graph = earlier.trace, earlier.graph if earlier.trace else None
        row.provenance, row.flags = earlier.provenance, list(earlier.flags)
        row.started_at = now_in(session)
        finish(session, row, EvaluationState.SUCCEEDED)


def _new_row(
    session: Session, request: EvaluationRequest, tenant: str, split_key: str | None, scored_on: ScoredOn
) -> EvaluationRow:
    candidate = candidate_id(request.source)
    computation = reuse_key(request, candidate, "", scored_on)
    key = split_key or own_split_key(session, tenant, request.dataset, computation)
    return EvaluationRow(
        id=new_id("ev"),
        tenant=tenant,
        kind=request.kind,
        state=EvaluationState.QUEUED,
        candidate_id=candidate,
        source=request.source,
        request=request_document(request),
        dataset=request.dataset,
        device=request.device,
        tier_strength=request.minimum_tier.strength,
        gpu_memory_bytes=request.minimum_gpu_memory_bytes,
        threads=request.threads,
        priority=request.priority,
        scored_on=scored_on,
        split_key=key,
        reuse_key=reuse_key(request, candidate, key, scored_on),
        flags=[],
        attempts=[],
        tags=[EvaluationTagRow(tag=tag) for tag in sorted(set(request.tags))],
        created_at=now_in(session),
    )


def _same_result(session: Session, row: EvaluationRow) -> EvaluationRow | None:
    """An earlier success of the same computation, on data and an environment that live agents still have."""
    agents = live_agents(session).values()
    environments = {agent.environment_digest for agent in agents}
    contents = {d.content_hash for agent in agents for d in agent.datasets if d.name == row.dataset}
    earlier = session.scalars(
        select(EvaluationRow)
        .where(
            EvaluationRow.tenant == row.tenant,
            EvaluationRow.reuse_key == row.reuse_key,
            EvaluationRow.state == EvaluationState.SUCCEEDED,
        )
        .order_by(EvaluationRow.id.desc())
        .limit(20)
    )
    for found in earlier:
        provenance, isolation = found.provenance or {}, found.isolation or {}
        if (
            provenance.get("environment_digest") in environments
            and provenance.get("dataset_hash") in contents
            and IsolationTier(isolation["tier"]).strength >= row.tier_strength
        ):
            return found
    return None


def _whole() -> Select[EvaluationRow]:
    return select(EvaluationRow).options(
        undefer(EvaluationRow.source), selectinload(EvaluationRow.attempts), selectinload(EvaluationRow.tags)
    )


def _records(session: Session, tenant: str, rows: list[EvaluationRow]) -> tuple[EvaluationRecord, ...]:
    """These evaluations of a tenant, with what stands beside their rows."""
    waiting = [row for row in rows if row.state == EvaluationState.QUEUED]
    positions = _queue_positions(session, tenant, waiting) if waiting else {}
    obstacles = _obstacles(session, rows)
    sealed = _sealed(session, rows)
    return tuple(
        evaluation_record(row, positions.get(row.id), obstacles.get(row.id), row.id in sealed) for row in rows
    )


def _obstacles(session: Session, rows: list[EvaluationRow]) -> dict[str, Obstacle]:
    """What keeps those from running that wait for an agent that is not there."""
    waiting = [row for row in rows if row.state == EvaluationState.QUEUED]
    hosts = live_agents(session).values() if waiting else ()
    found = {row.id: obstacle(hosts, requirements(row)) for row in waiting}
    return {evaluation_id: named for evaluation_id, named in found.items() if named is not None}


def _sealed(session: Session, rows: list[EvaluationRow]) -> set[str]:
    """The evaluations among them whose search has not ended."""
    searches = {row.search_id for row in rows if row.search_id is not None}
    if not searches:
        return set()
    ended = [state for state in SearchState if state.is_terminal]
    open_now = searches - set(
        session.scalars(select(SearchRow.id).where(SearchRow.id.in_(searches), SearchRow.state.in_(ended)))
    )
    return {row.id for row in rows if row.search_id in open_now}


def _queue_positions(session: Session, tenant: str, waiting: list[EvaluationRow]) -> dict[str, int]:
    """1-based places of these queued ones among a tenant's queued evaluations."""
    # Word for word the index's condition: without it all that ever ended would be read.
    queued = (EvaluationRow.tenant == tenant, IS_OPEN, EvaluationRow.state == EvaluationState.QUEUED)
    if len(waiting) == 1:
        (own,) = waiting
        priority = EvaluationRow.priority
        before = or_(priority > own.priority, and_(priority == own.priority, EvaluationRow.id <= own.id))
        return {own.id: session.scalar(select(func.count(EvaluationRow.id)).where(*queued, before)) or 0}
    order = func.row_number().over(order_by=(EvaluationRow.priority.desc(), EvaluationRow.id))
    places = select(EvaluationRow.id, order.label("position")).where(*queued).subquery()
    wanted = select(places.c.id, places.c.position).where(places.c.id.in_([row.id for row in waiting]))
    return {row.id: row.position for row in session.execute(wanted)}
