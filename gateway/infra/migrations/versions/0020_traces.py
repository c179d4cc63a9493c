"""Traces of candidates, and slots that wait for one

On the way down a slot that waits for its trace becomes one whose delta was applied, and is screened without;
traces themselves go, since the older version knows no such kind.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_SLOTS = sa.table("slots", sa.column("state", sa.String))
_EVALUATIONS = sa.table("evaluations", sa.column("id", sa.String), sa.column("kind", sa.String))


def upgrade() -> None:
    for table in ("evaluations", "attempts"):
        op.add_column(table, sa.Column("trace", sa.JSON(), nullable=True))
        op.add_column(table, sa.Column("graph", sa.Text(), nullable=True))
    op.add_column("slots", sa.Column("trace_evaluation_id", sa.String(length=40), nullable=True))
    op.add_column("slots", sa.Column("traced", sa.Boolean(), nullable=True))
    op.add_column("slots", sa.Column("structure_key", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_slots_trace_evaluation_id"), "slots", ["trace_evaluation_id"])


def downgrade() -> None:
    op.get_bind().execute(sa.update(_SLOTS).where(_SLOTS.c.state == "tracing").values(state="applied"))
    of_traces = sa.select(_EVALUATIONS.c.id).where(_EVALUATIONS.c.kind == "trace")
    for table in ("attempts", "evaluation_tags", "uncounted_ends"):
        rows = sa.table(table, sa.column("evaluation_id", sa.String))
        op.get_bind().execute(sa.delete(rows).where(rows.c.evaluation_id.in_(of_traces)))
    op.get_bind().execute(sa.delete(_EVALUATIONS).where(_EVALUATIONS.c.kind == "trace"))
    op.drop_index(op.f("ix_slots_trace_evaluation_id"), table_name="slots")
    for column in ("structure_key", "traced", "trace_evaluation_id"):
        op.drop_column("slots", column)
    for table in ("attempts", "evaluations"):
        op.drop_column(table, "graph")
        op.drop_column(table, "trace")
