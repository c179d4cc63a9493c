"""What waits in the broker, as the database knows it: how much room agents have, and what was sent to whom.

A publication is written down before its message is sent. So a gateway that dies in between sends it in its
next life, and one that dies just after sends it twice, which a claim then sorts out. A publication that
nobody claimed in time is forgotten: its attempt waits again, and is published anew in its turn.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session

from contracts.dispatch import Resource
from contracts.jobs import RunnerCapabilities
from contracts.names import AttemptState
from gateway.domain.placement import Requirements, can_run
from gateway.infra.agent_directory import agents_at_the_broker, listener
from gateway.infra.database import Database, now_in
from gateway.infra.publication_tables import PublicationRow
from gateway.infra.slot_counts import free_slots, is_any_wider, waiting_in
from gateway.infra.tables import AttemptRow
from gateway.infra.waiting_attempts import REQUIREMENTS

AGAIN = timedelta(seconds=1)
"""What was written down and not sent for so long was left behind by a gateway that died, or by a broker."""


class BrokerUnavailable(Exception):
    """The broker cannot be reached, or does not do what it is asked."""


@dataclass(frozen=True)
class Order:
    """One message: which attempt, and the queue it goes to."""

    attempt_id: str
    queue: str


@dataclass(frozen=True)
class Host:
    """An agent at the broker. `free`: slots for which nothing runs, nor waits in its own queue."""

    agent_id: str
    resource: Resource
    capabilities: RunnerCapabilities
    free: int


@dataclass(frozen=True)
class Room:
    """How many slots the agents of one resource can fill now, over all of them."""

    hosts: tuple[Host, ...]
    free: int


class Publications:
    """The outbox of the dispatch. Thread-safe."""

    def __init__(self, database: Database, unclaimed_seconds: float) -> None:
        """What nobody claimed within `unclaimed_seconds` is forgotten."""
        self._database = database
        self._unclaimed = timedelta(seconds=unclaimed_seconds)

    def tidy(self) -> None:
        """Forget what was claimed or has ended, and what nobody claimed in time."""
        with self._database.read() as session:
            over = self._is_over(now_in(session))
            if session.scalar(select(PublicationRow.attempt_id).where(over).limit(1)) is None:
                return
        with self._database.write() as session:
            session.execute(delete(PublicationRow).where(self._is_over(now_in(session))))

    def rooms(self) -> dict[Resource, Room]:
        """How many slots may be published for now, for each resource."""
        rooms = {}
        with self._database.read() as session:
            agents = agents_at_the_broker(session)
            for resource in Resource:
                hosts = {name: host for name, (lends, host) in agents.items() if lends is resource}
                free = free_slots(session, hosts)
                waiting = waiting_in(session, resource.value, hosts)
                rooms[resource] = Room(
                    tuple(Host(name, resource, host, free[name]) for name, host in hosts.items()),
                    sum(max(0, count) for count in free.values()) - waiting,
                )
        return rooms

    def is_all_narrow(self, hosts: Iterable[RunnerCapabilities]) -> bool:
        """Whether no attempt takes several slots of such a host.

        Else the agents' queues are told apart: one whose slots are held by a wide attempt, or kept for one,
        still listens, and would take what there is no slot for.
        """
        least = min((host.threads_per_slot for host in hosts), default=1)
        with self._database.read() as session:
            return not is_any_wider(session, least)

    def requirements(self, attempt_ids: Sequence[str]) -> dict[str, Requirements]:
        """What each of these attempts asks of its host."""
        with self._database.read() as session:
            rows = session.execute(_REQUIREMENTS.where(AttemptRow.id.in_(attempt_ids)))
            return {row.id: _wanted(row) for row in rows}

    def write_down(self, orders: Iterable[Order]) -> None:
        """Before they are sent. Those published already are not written down again."""
        with self._database.write() as session:
            wanted = {order.attempt_id: order.queue for order in orders}
            known = set(
                session.scalars(
                    select(PublicationRow.attempt_id).where(PublicationRow.attempt_id.in_(wanted))
                )
            )
            now = now_in(session)
            for attempt_id in wanted.keys() - known:
                session.add(PublicationRow(attempt_id=attempt_id, queue=wanted[attempt_id], made_at=now))

    def left_behind(self) -> list[Order]:
        """What was written down a while ago and never sent."""
        with self._database.read() as session:
            rows = session.scalars(
                select(PublicationRow)
                .where(PublicationRow.sent_at.is_(None), PublicationRow.made_at < now_in(session) - AGAIN)
                .order_by(PublicationRow.made_at, PublicationRow.attempt_id)
            )
            return [Order(row.attempt_id, row.queue) for row in rows]

    def _is_over(self, now: datetime) -> ColumnElement[bool]:
        return or_(
            PublicationRow.made_at < now - self._unclaimed,
            PublicationRow.made_at > now + self._unclaimed,  # the clock was set back
            PublicationRow.attempt_id.not_in(select(AttemptRow.id).where(_WAITS)),
        )

    def mark_sent(self, orders: Sequence[Order]) -> None:
        """The broker has them."""
        with self._database.write() as session:
            ids = [order.attempt_id for order in orders]
            session.execute(
                update(PublicationRow)
                .where(PublicationRow.attempt_id.in_(ids))
                .values(sent_at=now_in(session))
            )


_WAITS = AttemptRow.state == AttemptState.QUEUED
_REQUIREMENTS = select(AttemptRow.id, *REQUIREMENTS).join(AttemptRow.evaluation)


def claim_refusal(session: Session, attempt_id: str, agent_id: str) -> str | None:
    """Why an agent may not claim what it heard of in the broker, where anybody may write; None: it may try.

    What the gateway did not publish to this agent is not next in the fair order, or not for its host. An
    agent that asks the gateway itself was told there.
    """
    listens = listener(session, agent_id)
    if listens is None:
        return None
    resource, host = listens
    queue = session.scalar(select(PublicationRow.queue).where(PublicationRow.attempt_id == attempt_id))
    if queue not in {resource.value, resource.queue_of(agent_id)}:
        return "The attempt is not published to this agent."
    row = session.execute(_REQUIREMENTS.where(AttemptRow.id == attempt_id)).one_or_none()
    if row is None or not can_run(host, _wanted(row)):
        return "This agent's host cannot run the attempt."
    return None


def _wanted(row: Any) -> Requirements:
    """What the attempt of a row of `_REQUIREMENTS` asks of its host."""
    return Requirements(*row[1:])
