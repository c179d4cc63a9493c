"""Tables of the farm's own books: counters that outlive what they counted, and how far chores have come."""

from datetime import datetime

from sqlalchemy import Float, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from gateway.infra.database import Base, UtcTime
from gateway.infra.search_tables import ModelCallRow
from gateway.infra.tables import AttemptRow, EvaluationRow

EVALUATIONS_BY_END = Index("ix_evaluations_finished_at", EvaluationRow.finished_at, EvaluationRow.id)
ATTEMPTS_BY_END = Index("ix_attempts_finished_at", AttemptRow.finished_at, AttemptRow.id)
MODEL_SPENDING = Index(
    "ix_model_calls_spending",
    ModelCallRow.role,
    ModelCallRow.prompt_tokens,
    ModelCallRow.completion_tokens,
    ModelCallRow.cost_usd,
    ModelCallRow.seconds,
)
"""All that is summed of calls, so that no answer is read for a sum."""


class TallyRow(Base):
    """One counter. It only grows, whatever becomes of the rows that it counted."""

    __tablename__ = "tallies"

    metric: Mapped[str] = mapped_column(String(60), primary_key=True)
    labels: Mapped[str] = mapped_column(String(200), primary_key=True)
    """Values with a space between them; none has one."""
    value: Mapped[float] = mapped_column(Float)


class UncountedRow(Base):
    """An evaluation that has ended and is not in the counters yet: noted in the transaction that ends it."""

    __tablename__ = "uncounted_ends"

    evaluation_id: Mapped[str] = mapped_column(
        ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True
    )


class MarkRow(Base):
    """How far a chore has come that is done in steps, so that whoever goes on knows where."""

    __tablename__ = "marks"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    moment: Mapped[datetime | None] = mapped_column(UtcTime)
    row_id: Mapped[str] = mapped_column(String(80), default="")
