"""The farm as the database shows it at one moment, in a few bounded queries. Knows no metric format."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from contracts.names import AttemptState, SearchState
from gateway.domain.webhooks import DeliveryState
from gateway.infra.agent_directory import ALIVE_FOR, live_agents
from gateway.infra.database import now_in
from gateway.infra.fine_tune_attempt_tables import FineTuneAttemptRow, TrainingAgentRow
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.search_tables import CycleRow, ModelCallRow, SearchRow, SlotRow
from gateway.infra.slot_counts import free_slots
from gateway.infra.tables import AttemptRow, EvaluationRow
from gateway.infra.tallies import Totals, device_kind, totals
from gateway.infra.webhook_tables import WebhookDeliveryRow

MOST_AGENTS = 200
MOST_TENANTS = 100
MOST_OPEN_SEARCHES = 1_000
OTHER = "other"
_OPEN_SEARCHES = tuple(state.value for state in SearchState if not state.is_terminal)
WAITING = "waiting"
_BLOCKED_BY = frozenset(
    {
        "endpoint_unreachable",
        "endpoint_failed",
        "rate_limited",
        "model_unknown",
        "key_refused",
        "key_missing",
        "model_not_loadable",
        "model_failed",
        "out_of_memory",
        "adapter_unknown",
        "adapter_mismatch",
        "storage_full",
    }
)

Pool = tuple[str, str]
"""Kind of attempt, kind of device."""


@dataclass(frozen=True)
class AgentState:
    """One live host."""

    slots: int
    free_slots: int
    gpus: int
    lent_gpus: int
    """GPUs that an attempt has."""
    warm_sandboxes: int
    can_run: bool
    """A sandbox backend has passed its probe."""


@dataclass(frozen=True)
class LentTraining:
    """Fine-tunes that hosts of agents train."""

    queued: int
    oldest_seconds: float
    """For how long the oldest of these waits."""
    leased: int
    hosts: int
    """Live agents whose hosts train."""


@dataclass(frozen=True)
class ModelTotals:
    """What language models took, in all."""

    calls_by_role: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    seconds: float


@dataclass(frozen=True)
class Snapshot:
    """All that the page of metrics says of the farm."""

    queued: Mapping[Pool, int]
    oldest_seconds: Mapping[Pool, float]
    leased: Mapping[Pool, int]
    queued_by_tenant: Mapping[str, int]
    """Empty unless it was asked for."""
    agents: Mapping[str, AgentState]
    ended: Totals
    searches: Mapping[str, int]
    closed_cycles: int
    open_slots: Mapping[str, int]
    """By state, of searches that have not ended."""
    held_up: Mapping[str, int]
    """Searches that wait for a service or an endpoint, or are paused until somebody changes something."""
    fine_tunes: Mapping[str, int]
    lent_training: LentTraining
    deliveries: Mapping[str, int]
    """Of webhooks, by state."""
    overdue_seconds: float
    """For how long a delivery is due that nobody has tried yet."""


def take_snapshot(session: Session, *, by_tenant: bool) -> Snapshot:
    """Look at everything but the models' spending."""
    queued, oldest = _queue(session)
    open_searches = list(
        session.scalars(
            select(SearchRow.id).where(SearchRow.state.in_(_OPEN_SEARCHES)).limit(MOST_OPEN_SEARCHES)
        )
    )
    return Snapshot(
        queued=queued,
        oldest_seconds=oldest,
        leased=_leased(session),
        queued_by_tenant=_queued_by_tenant(session) if by_tenant else {},
        agents=_agents(session),
        ended=totals(session),
        searches=_by_state(session, SearchRow.state),
        closed_cycles=_closed_cycles(session),
        open_slots=_open_slots(session, open_searches),
        held_up=_held_up(session),
        fine_tunes=_by_state(session, FineTuneRow.state),
        lent_training=_lent_training(session),
        deliveries=_by_state(session, WebhookDeliveryRow.state),
        overdue_seconds=_overdue_seconds(session),
    )


def model_totals(session: Session) -> ModelTotals:
    """What models took. Reads an index of all calls: ask for it once a minute, not at every look."""
    call = ModelCallRow
    rows: Sequence[Any] = session.execute(
        select(
            call.role,
            func.count(),
            func.coalesce(func.sum(call.prompt_tokens), 0),
            func.coalesce(func.sum(call.completion_tokens), 0),
            func.coalesce(func.sum(call.cost_usd), 0.0),
            func.coalesce(func.sum(call.seconds), 0.0),
        ).group_by(call.role)
    ).all()
    return ModelTotals(
        calls_by_role={row[0]: int(row[1]) for row in rows},
        prompt_tokens=sum(int(row[2]) for row in rows),
        completion_tokens=sum(int(row[3]) for row in rows),
        cost_usd=sum(float(row[4]) for row in rows),
        seconds=sum(float(row[5]) for row in rows),
    )


def _queue(session: Session) -> tuple[dict[Pool, int], dict[Pool, float]]:
    rows = session.execute(
        select(EvaluationRow.kind, EvaluationRow.device, func.count(), func.min(AttemptRow.created_at))
        .join(AttemptRow.evaluation)
        .where(AttemptRow.state == AttemptState.QUEUED)
        .group_by(EvaluationRow.kind, EvaluationRow.device)
    )
    queued: Counter[Pool] = Counter()
    oldest: dict[Pool, float] = {}
    now = now_in(session)
    for kind, device, count, first in rows:
        pool = (kind, device_kind(device))
        queued[pool] += count
        oldest[pool] = max(oldest.get(pool, 0.0), _age(now, first))
    return queued, oldest


def _age(now: datetime, moment: datetime) -> float:
    return max(0.0, (now - moment).total_seconds())


def _leased(session: Session) -> dict[Pool, int]:
    rows = session.execute(
        select(EvaluationRow.kind, EvaluationRow.device, func.count())
        .join(AttemptRow.evaluation)
        .where(AttemptRow.state == AttemptState.LEASED)
        .group_by(EvaluationRow.kind, EvaluationRow.device)
    )
    return _summed(((kind, device_kind(device)), count) for kind, device, count in rows)


def _queued_by_tenant(session: Session) -> dict[str, int]:
    rows = session.execute(
        select(EvaluationRow.tenant, func.count().label("queued"))
        .join(AttemptRow.evaluation)
        .where(AttemptRow.state == AttemptState.QUEUED)
        .group_by(EvaluationRow.tenant)
        .order_by(func.count().desc(), EvaluationRow.tenant)
    )
    return _summed(
        (tenant if place < MOST_TENANTS else OTHER, count) for place, (tenant, count) in enumerate(rows)
    )


def _agents(session: Session) -> dict[str, AgentState]:
    live = dict(list(live_agents(session).items())[:MOST_AGENTS])
    free = free_slots(session, live)
    return {
        agent_id: AgentState(
            slots=host.slots,
            free_slots=max(0, free[agent_id]),
            gpus=sum(device.startswith("cuda:") for device in host.devices),
            lent_gpus=host.lent_gpus,
            warm_sandboxes=host.warm_sandboxes,
            can_run=host.tier is not None,
        )
        for agent_id, host in live.items()
    }


def _overdue_seconds(session: Session) -> float:
    row = WebhookDeliveryRow
    first = session.scalar(select(func.min(row.due_at)).where(row.state == DeliveryState.PENDING))
    return 0.0 if first is None else _age(now_in(session), first)


def _lent_training(session: Session) -> LentTraining:
    attempt, now = FineTuneAttemptRow, now_in(session)
    first = session.scalar(select(func.min(attempt.created_at)).where(attempt.state == AttemptState.QUEUED))
    counts = _by_state(session, attempt.state)
    alive = select(func.count()).where(TrainingAgentRow.seen_at >= now - ALIVE_FOR)
    return LentTraining(
        queued=counts.get(AttemptState.QUEUED, 0),
        oldest_seconds=0.0 if first is None else _age(now, first),
        leased=counts.get(AttemptState.LEASED, 0),
        hosts=session.scalar(alive) or 0,
    )


def _by_state(session: Session, column: Any) -> dict[str, int]:
    rows = session.execute(select(column, func.count()).group_by(column))
    return {row[0]: row[1] for row in rows}


def _closed_cycles(session: Session) -> int:
    return session.scalar(select(func.count()).where(CycleRow.closed_at.is_not(None))) or 0


def _open_slots(session: Session, search_ids: list[str]) -> dict[str, int]:
    rows = session.execute(
        select(SlotRow.state, func.count()).where(SlotRow.search_id.in_(search_ids)).group_by(SlotRow.state)
    )
    return {row[0]: row[1] for row in rows}


def _held_up(session: Session) -> dict[str, int]:
    rows = session.execute(
        select(SearchRow.waiting_for, SearchRow.paused_by).where(SearchRow.state.in_(_OPEN_SEARCHES))
    )
    held_up = (row for row in rows if row.waiting_for or row.paused_by)
    return _summed((WAITING if row.waiting_for else _code(row.paused_by), 1) for row in held_up)


def _code(paused_by: Mapping[str, str]) -> str:
    code = paused_by.get("code", "")
    return code if code in _BLOCKED_BY else OTHER


def _summed(pairs: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    summed: Counter[Any] = Counter()
    for key, count in pairs:
        summed[key] += count
    return dict(summed)
