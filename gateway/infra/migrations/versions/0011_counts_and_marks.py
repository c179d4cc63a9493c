"""Counters that outlive what they counted, and how far chores have come"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_INDICES = (
    ("ix_evaluations_finished_at", "evaluations", ["finished_at", "id"]),
    ("ix_attempts_finished_at", "attempts", ["finished_at", "id"]),
    (
        "ix_model_calls_spending",
        "model_calls",
        ["role", "prompt_tokens", "completion_tokens", "cost_usd", "seconds"],
    ),
)


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("metric", sa.String(length=60), nullable=False),
        sa.Column("labels", sa.String(length=200), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("metric", "labels", name=op.f("pk_tallies")),
    )
    op.create_table(
        "marks",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("moment", sa.DateTime(timezone=True), nullable=True),
        sa.Column("row_id", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_marks")),
    )
    for name, table, columns in _INDICES:
        op.create_index(op.f(name), table, columns)


def downgrade() -> None:
    for name, table, _ in reversed(_INDICES):
        op.drop_index(op.f(name), table)
    op.drop_table("marks")
    op.drop_table("tallies")
