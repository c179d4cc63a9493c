"""How many threads an evaluation asks for, where its queue can see it"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

IS_OPEN = sa.text("state IN ('queued', 'running')")
ORDER = ["tenant", sa.text("priority DESC"), "id"]
_EVALUATIONS = sa.table("evaluations", sa.column("request", sa.JSON), sa.column("threads", sa.Integer))


def upgrade() -> None:
    op.drop_index("ix_evaluations_open", "evaluations")
    op.add_column("evaluations", sa.Column("threads", sa.Integer(), server_default="1", nullable=False))
    asked = sa.func.coalesce(_EVALUATIONS.c.request["threads"].as_integer(), 1)
    op.get_bind().execute(sa.update(_EVALUATIONS).values(threads=asked))
    _index_open_ones("device", "tier_strength", "gpu_memory_bytes", "threads", "dataset", "state")


def downgrade() -> None:
    op.drop_index("ix_evaluations_open", "evaluations")
    op.drop_column("evaluations", "threads")
    _index_open_ones("device", "tier_strength", "gpu_memory_bytes", "dataset", "state")


def _index_open_ones(*suits: str) -> None:
    op.create_index(
        "ix_evaluations_open",
        "evaluations",
        [*ORDER, *suits],
        sqlite_where=IS_OPEN,
        postgresql_where=IS_OPEN,
    )
