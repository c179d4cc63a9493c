"""Which hosts train, from their agents' heartbeats, and who of them is told of which attempt.

An offer binds nobody: the claim alone does (`fine_tune_attempts`). One that nobody took up in time is made
anew.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from pydantic import TypeAdapter
from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from contracts.dispatch import Resource
from contracts.fine_tune_attempts import TrainingHost
from contracts.fine_tuning import FineTuneState
from contracts.names import AttemptState
from gateway.domain.training_hosts import (
    Listener,
    Training,
    can_train,
    in_turn,
    may_go_on,
    obstacle,
    places,
)
from gateway.infra.agent_directory import ALIVE_FOR, FORGOTTEN_AFTER
from gateway.infra.attempt_offers import OFFER_SECONDS
from gateway.infra.database import Database, now_in
from gateway.infra.fine_tune_attempt_tables import FineTuneAttemptRow, TrainingAgentRow
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.publications import Order

LONGEST_PROMISE = timedelta(hours=1)
"""Longer than this only seems to be left after the clock was set back."""

SHARED = Resource.FINE_TUNE.value

_HOST = TypeAdapter(TrainingHost)
_OPEN = [state.value for state in FineTuneState if not state.is_terminal]


def _without_limit(_session: Session, _tenant: str) -> bool:
    return True


class TrainingHosts:
    """Thread-safe."""

    def __init__(
        self, database: Database, has_gpu_seconds: Callable[[Session, str], bool] = _without_limit
    ) -> None:
        """`has_gpu_seconds` says whether a tenant may use GPUs today."""
        self._database = database
        self._has_gpu_seconds = has_gpu_seconds

    def heard(self, agent_id: str, host: TrainingHost) -> tuple[str, ...]:
        """Keep an agent's word; gives the jobs that it may forget. Agents long gone are forgotten."""
        with self._database.write() as session:
            now = now_in(session)
            session.execute(delete(TrainingAgentRow).where(TrainingAgentRow.seen_at < now - FORGOTTEN_AFTER))
            said = {"host": asdict(host), "seen_at": now}
            insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
            session.execute(
                insert(TrainingAgentRow)
                .values(id=agent_id, **said)
                .on_conflict_do_update(index_elements=["id"], set_=said)
            )
            going_on = set(
                session.scalars(
                    select(FineTuneRow.id).where(
                        FineTuneRow.id.in_(host.borrowed), FineTuneRow.state.in_(_OPEN)
                    )
                )
            )
        return tuple(job_id for job_id in host.borrowed if job_id not in going_on)

    def next_for(self, agent_id: str) -> str | None:
        """An attempt for an agent that asks, kept from others for a moment; None without a free slot."""
        with self._database.read() as session:
            host = _live(session).get(agent_id)
            if host is None or host.slots <= _leased(session)[agent_id]:
                return None
            if not self._waiting(session):
                return None
        with self._database.write() as session:
            now, leased = now_in(session), _leased(session)
            others = [
                other
                for name, other in _live(session).items()
                if name != agent_id and other.slots > leased[name]
            ]
            for training in self._waiting(session):
                is_free = can_train(host, training) and not _is_promised(training, now)
                elsewhere = any(may_go_on(other, training) for other in others)
                if is_free and (may_go_on(host, training) or not elsewhere):
                    _promise(session, training.attempt_id, _own(agent_id), now, OFFER_SECONDS)
                    return training.attempt_id
        return None

    def publish(self, unclaimed_seconds: float, crowded: set[str]) -> list[Order]:
        """What to tell the agents at the broker now, written down; none for a queue that is crowded."""
        with self._database.read() as session:
            if not any(one.free > 0 for one in self._listeners(session)) or not self._waiting(session):
                return []
        with self._database.write() as session:
            now = now_in(session)
            trainings = self._waiting(session)
            listeners = [one for one in self._listeners(session) if _own(one.agent_id) not in crowded]
            shared = _promised_in(session, now)[SHARED]
            room = sum(max(0, one.free) for one in listeners) - shared
            due = [training for training in trainings if not _is_promised(training, now)]
            orders = []
            for attempt_id, agent_id in places(due, listeners, room).items():
                queue = SHARED if agent_id is None else _own(agent_id)
                if queue not in crowded:
                    _promise(session, attempt_id, queue, now, unclaimed_seconds)
                    orders.append(Order(attempt_id, queue))
            return orders

    def queues(self) -> set[str]:
        """The queues of the agents at the broker."""
        with self._database.read() as session:
            own = {_own(listener.agent_id) for listener in self._listeners(session)}
            return {SHARED, *own} if own else set()

    def claim_refusal(self, attempt_id: str, agent_id: str) -> str | None:
        """Why an agent may not claim what it heard of at the broker, where anybody may write; or None."""
        with self._database.read() as session:
            row = session.get(TrainingAgentRow, agent_id)
            if row is None:
                return "The gateway has never heard of this agent."
            host = _HOST.validate_python(row.host)
            attempt = session.get(FineTuneAttemptRow, attempt_id)
            if host.queue and (attempt is None or attempt.queue not in {SHARED, _own(agent_id)}):
                return "The attempt is not published to this agent."
            wanted = next((one for one in self._waiting(session) if one.attempt_id == attempt_id), None)
            if wanted is not None and not can_train(host, wanted):
                return "This agent's host has not the model, or GPUs that the tenant may not use today."
        return None

    def obstacle(self, tenant: str, model: str, weights_sha256: str | None) -> str | None:
        """What keeps a tenant's job of such a model waiting that no host may train now; None if one may."""
        with self._database.read() as session:
            has_gpu_seconds = self._has_gpu_seconds(session, tenant)
            wanted = Training("", tenant, model, weights_sha256, has_gpu_seconds=has_gpu_seconds)
            return obstacle(list(_live(session).values()), wanted)

    def _waiting(self, session: Session) -> Sequence[Training]:
        """Attempts that are due, in the order in which they are given out."""
        rows = session.execute(
            select(
                FineTuneAttemptRow.id,
                FineTuneRow.tenant,
                FineTuneRow.model,
                FineTuneRow.weights_sha256,
                FineTuneRow.id,
                FineTuneAttemptRow.promised_until,
            )
            .join(FineTuneRow, FineTuneRow.id == FineTuneAttemptRow.job_id)
            .where(
                FineTuneAttemptRow.state == AttemptState.QUEUED,
                FineTuneAttemptRow.available_at <= now_in(session),
                FineTuneRow.state.in_(_OPEN),
            )
            .order_by(FineTuneRow.id)
        ).all()
        has_gpu_seconds = {
            tenant: self._has_gpu_seconds(session, tenant) for tenant in {row.tenant for row in rows}
        }
        waiting = [Training(*row, has_gpu_seconds[row.tenant]) for row in rows]
        return in_turn(waiting, _running_by_tenant(session)) if waiting else []

    @staticmethod
    def _listeners(session: Session) -> list[Listener]:
        leased, promised = _leased(session), _promised_in(session, now_in(session))
        return [
            Listener(agent_id, host, host.slots - leased[agent_id] - promised[_own(agent_id)])
            for agent_id, host in _live(session).items()
            if host.queue == SHARED
        ]


def _own(agent_id: str) -> str:
    return Resource.FINE_TUNE.queue_of(agent_id)


def _live(session: Session) -> dict[str, TrainingHost]:
    now = now_in(session)
    lately = TrainingAgentRow.seen_at.between(now - ALIVE_FOR, now + ALIVE_FOR)
    rows = session.scalars(select(TrainingAgentRow).where(lately).order_by(TrainingAgentRow.id))
    return {row.id: _HOST.validate_python(row.host) for row in rows}


def _running_by_tenant(session: Session) -> Counter[str]:
    rows = session.execute(
        select(FineTuneRow.tenant, func.count().label("running"))
        .join(FineTuneAttemptRow, FineTuneRow.id == FineTuneAttemptRow.job_id)
        .where(FineTuneAttemptRow.state == AttemptState.LEASED)
        .group_by(FineTuneRow.tenant)
    )
    return Counter({row.tenant: row.running for row in rows})


def _leased(session: Session) -> Counter[str]:
    rows = session.execute(
        select(FineTuneAttemptRow.agent_id, func.count().label("leased"))
        .where(FineTuneAttemptRow.state == AttemptState.LEASED)
        .group_by(FineTuneAttemptRow.agent_id)
    )
    return Counter({row.agent_id or "": row.leased for row in rows})


def _promised_in(session: Session, now: datetime) -> Counter[str]:
    """How many attempts wait in each queue, as far as nobody let the time for them go by."""
    rows = session.execute(
        select(FineTuneAttemptRow.queue, func.count().label("waiting"))
        .where(
            FineTuneAttemptRow.state == AttemptState.QUEUED,
            FineTuneAttemptRow.promised_until > now,
            FineTuneAttemptRow.promised_until <= now + LONGEST_PROMISE,
        )
        .group_by(FineTuneAttemptRow.queue)
    )
    return Counter({row.queue: row.waiting for row in rows})


def _is_promised(training: Training, now: datetime) -> bool:
    return training.promised_until is not None and now < training.promised_until <= now + LONGEST_PROMISE


def _promise(session: Session, attempt_id: str, queue: str, now: datetime, seconds: float) -> None:
    attempt = session.get_one(FineTuneAttemptRow, attempt_id)
    attempt.queue = queue
    attempt.promised_until = now + timedelta(seconds=seconds)
