"""Tables of searches, cycles, slots, model calls and finals. Evaluations have theirs in `tables`."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, false, func
from sqlalchemy.orm import Mapped, mapped_column

from gateway.infra.database import Base, UtcTime


class SearchRow(Base):
    """One search: what was asked, how far it is, how it ended."""

    __tablename__ = "searches"
    __table_args__ = (Index("ix_searches_tenant_id", "tenant", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(120))
    state: Mapped[str] = mapped_column(String(16), index=True)
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    classes: Mapped[int | None]
    split_key: Mapped[str] = mapped_column(String(64))
    cycle: Mapped[int] = mapped_column(default=0)
    waiting_for: Mapped[str | None] = mapped_column(String(600))
    platform_waits: Mapped[dict[str, int] | None] = mapped_column(JSON)
    """How often it waited for what its proposer depends on, by code."""
    paused_by: Mapped[dict[str, str] | None] = mapped_column(JSON)
    stopped_by: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    failure: Mapped[str | None] = mapped_column(Text)
    final: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    control_of: Mapped[str | None] = mapped_column(String(40), index=True)
    """The search whose control arm this is; it may be gone."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)


class CycleRow(Base):
    """One opened cycle of a search."""

    __tablename__ = "cycles"

    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True)
    opened_at: Mapped[datetime] = mapped_column(UtcTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    adapter: Mapped[str | None] = mapped_column(String(100))
    """What its proposals are made with."""
    alarm: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Of collapsing proposals, which was acted upon when it had closed."""
    diversity: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Of its sources, as it closed; None while it is open, and where nobody counted it."""


class SlotRow(Base):
    """One slot. Its place (search, cycle, slot) is unique, so no slot can be counted twice."""

    __tablename__ = "slots"
    __table_args__ = (UniqueConstraint("search_id", "cycle", "slot"),)

    proposal_id: Mapped[str] = mapped_column(String(60), primary_key=True)
    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"))
    cycle: Mapped[int]
    slot: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(120))
    root_id: Mapped[str] = mapped_column(String(60))
    family: Mapped[str] = mapped_column(String(120))
    parent_id: Mapped[str | None] = mapped_column(String(60))
    parent_name: Mapped[str | None] = mapped_column(String(120))
    hyperparameters: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    summary: Mapped[str] = mapped_column(Text, default="")
    proposer: Mapped[str | None] = mapped_column(String(80))
    raw_proposal: Mapped[str | None] = mapped_column(Text, deferred=True)
    form: Mapped[str | None] = mapped_column(String(16))
    delta_code: Mapped[str | None] = mapped_column(String(40))
    """`applied`, or why there is no source."""
    delta_confidence: Mapped[float | None]
    delta_counts: Mapped[dict[str, dict[str, int]] | None] = mapped_column(JSON)
    """Of hunks by status and reason, and of repairs by kind."""
    delta_report: Mapped[dict[str, Any] | None] = mapped_column(JSON, deferred=True)
    delta: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str | None] = mapped_column(Text, deferred=True)
    candidate_id: Mapped[str | None] = mapped_column(String(64))
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    failure_reason: Mapped[str | None] = mapped_column(String(40))
    duplicate_of: Mapped[str | None] = mapped_column(String(60))
    likeness: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """What it is a copy of, without the penalty, by which elites are ordered."""
    penalty: Mapped[float | None]
    """The share of its accuracy that selection does not see."""
    difference: Mapped[list[str] | None] = mapped_column(JSON, deferred=True)
    """Lines of a diff from the nearest architecture to this one: untrusted."""
    trace_evaluation_id: Mapped[str | None] = mapped_column(String(40), index=True)
    traced: Mapped[bool | None]
    """Whether its computation graph was compared; None where nobody asked for it."""
    structure_key: Mapped[str | None] = mapped_column(String(64))
    """Equal where two graphs compute the same."""
    evaluation_id: Mapped[str | None] = mapped_column(String(40), index=True)
    admitted: Mapped[bool] = mapped_column(default=False)
    is_in_tenant_index: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether the filter was told of it for searches of its tenant that compare with all others."""
    accuracy: Mapped[float | None]
    accuracy_standard_error: Mapped[float | None]
    audit_accuracy: Mapped[float | None]
    cpu_seconds: Mapped[float | None]
    peak_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    claimed_parameters: Mapped[int | None] = mapped_column(BigInteger)
    plausible: Mapped[bool | None]
    estimate: Mapped[float | None]
    """From all its runs, as the last cycle closed, where the search trains contenders again."""
    elite: Mapped[bool] = mapped_column(default=False)
    step_errors: Mapped[int] = mapped_column(default=0)


class RerunRow(Base):
    """One further run of a candidate with a fresh seed. Its key lets nobody ask for the same run twice."""

    __tablename__ = "reruns"
    __table_args__ = (Index("ix_reruns_search_id_state", "search_id", "state"),)

    proposal_id: Mapped[str] = mapped_column(
        ForeignKey("slots.proposal_id", ondelete="CASCADE"), primary_key=True
    )
    purpose: Mapped[str] = mapped_column(String(16), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[str] = mapped_column(String(40))
    cycle: Mapped[int]
    """With which it was asked for."""
    seed: Mapped[int]
    epochs: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    evaluation_id: Mapped[str | None] = mapped_column(String(40))
    """None while its tenant's queue has no room for it."""
    accuracy: Mapped[float | None]
    failure_reason: Mapped[str | None] = mapped_column(String(40))
    cpu_seconds: Mapped[float | None]


SELECTION_SCORE = func.coalesce(SlotRow.estimate, SlotRow.accuracy) * (1 - func.coalesce(SlotRow.penalty, 0))
"""As `Slot.selection_score`, for an order in SQL."""


class ModelCallRow(Base):
    """One answer of a language model on the way to a slot's proposal, with all it takes to ask again."""

    __tablename__ = "model_calls"
    __table_args__ = (Index("ix_model_calls_search_id_cycle", "search_id", "cycle"),)

    proposal_id: Mapped[str] = mapped_column(
        ForeignKey("slots.proposal_id", ondelete="CASCADE"), primary_key=True
    )
    place: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[str] = mapped_column(String(40))
    cycle: Mapped[int]
    role: Mapped[str] = mapped_column(String(20))
    model: Mapped[str] = mapped_column(String(200))
    adapter: Mapped[str | None] = mapped_column(String(200))
    prompt_version: Mapped[str] = mapped_column(String(60))
    messages: Mapped[list[list[str]]] = mapped_column(JSON)
    """Pairs of a role and the SHA-256 of a text in `prompt_texts`: many calls share theirs."""
    sampling: Mapped[dict[str, Any]] = mapped_column(JSON)
    answer: Mapped[str] = mapped_column(Text, deferred=True)
    finish_reason: Mapped[str] = mapped_column(String(60))
    prompt_tokens: Mapped[int | None] = mapped_column(BigInteger)
    completion_tokens: Mapped[int | None] = mapped_column(BigInteger)
    cost_usd: Mapped[float | None]
    seconds: Mapped[float]


class PromptTextRow(Base):
    """The text of a message that was sent to a model, once in a search."""

    __tablename__ = "prompt_texts"

    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    text: Mapped[str] = mapped_column(Text)


class FinalRow(Base):
    """One re-measurement of a finalist on a fresh seed."""

    __tablename__ = "finals"

    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True)
    proposal_id: Mapped[str] = mapped_column(String(60), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    seed: Mapped[int]
    evaluation_id: Mapped[str] = mapped_column(String(40), index=True)
