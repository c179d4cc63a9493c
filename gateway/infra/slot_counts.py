"""How many slots agents have free, whatever their attempts take of them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, func, not_, select, text, true
from sqlalchemy.orm import Session

from contracts.dispatch import Resource
from contracts.jobs import RunnerCapabilities
from contracts.names import AttemptState
from gateway.domain.placement import slots_taken
from gateway.infra.database import now_in
from gateway.infra.publication_tables import PublicationRow
from gateway.infra.slot_ledger import offer_stands
from gateway.infra.tables import AttemptRow, EvaluationRow
from gateway.infra.tenant_tables import AttemptOfferRow

_LEASED = AttemptRow.state == AttemptState.LEASED
_WAITS = AttemptRow.state == AttemptState.QUEUED


def free_slots(
    session: Session, hosts: Mapping[str, RunnerCapabilities], *, are_kept_free: bool = True
) -> dict[str, int]:
    """Slots of these agents for which nothing runs, was just offered to it, or waits in its own queue.

    `are_kept_free`: those that it keeps for an attempt are among them.
    """
    own_queues = {resource.queue_of(agent_id): agent_id for resource in Resource for agent_id in hosts}
    free = {agent_id: host.slots for agent_id, host in hosts.items()}
    for place, threads, count in (
        *session.execute(_counted(AttemptRow.agent_id).where(_LEASED, AttemptRow.agent_id.in_(hosts))),
        *session.execute(
            _counted(AttemptOfferRow.agent_id)
            .join(AttemptOfferRow, AttemptOfferRow.attempt_id == AttemptRow.id)
            .where(_WAITS, offer_stands(now_in(session)), AttemptOfferRow.agent_id.in_(hosts))
            .where(not_(AttemptOfferRow.is_kept) if are_kept_free else true())
        ),
        *session.execute(_published().where(PublicationRow.queue.in_(own_queues))),
    ):
        agent_id = own_queues.get(place, place)
        free[agent_id] -= slots_taken(hosts[agent_id], threads) * count
    return free


def waiting_in(session: Session, queue: str, hosts: Mapping[str, RunnerCapabilities]) -> int:
    """How many slots of one of these agents that what waits in their common queue will take."""
    rows = session.execute(_published().where(PublicationRow.queue == queue)).all()
    return sum(
        max((slots_taken(host, threads) for host in hosts.values()), default=1) * count
        for _, threads, count in rows
    )


_WIDER = {
    # Without statistics SQLite would take the index of states here, and read every row.
    "sqlite": text(
        "SELECT 1 FROM evaluations INDEXED BY ix_evaluations_open "
        "WHERE state IN ('queued', 'running') AND threads > :threads LIMIT 1"
    ),
    "postgresql": text(
        "SELECT 1 FROM evaluations WHERE state IN ('queued', 'running') AND threads > :threads LIMIT 1"
    ),
}


def is_any_wider(session: Session, threads: int) -> bool:
    """Whether an evaluation that has not ended asks for more threads than these."""
    return session.scalar(_WIDER[session.get_bind().dialect.name], {"threads": threads}) is not None


def _published() -> Select[Any]:
    return (
        _counted(PublicationRow.queue)
        .join(PublicationRow, PublicationRow.attempt_id == AttemptRow.id)
        .where(_WAITS)
    )


def _counted(place: Any) -> Select[Any]:
    """How many attempts there are at each place, by threads."""
    return (
        select(place, EvaluationRow.threads, func.count())
        .select_from(AttemptRow)
        .join(EvaluationRow, EvaluationRow.id == AttemptRow.evaluation_id)
        .group_by(place, EvaluationRow.threads)
    )
