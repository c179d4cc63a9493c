"""How much GPU memory an evaluation asks for"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

IS_OPEN = sa.text("state IN ('queued', 'running')")
ORDER = ["tenant", sa.text("priority DESC"), "id"]


def upgrade() -> None:
    op.drop_index("ix_evaluations_open", "evaluations")
    op.add_column(
        "evaluations", sa.Column("gpu_memory_bytes", sa.BigInteger(), server_default="0", nullable=False)
    )
    _index_open_ones("device", "tier_strength", "gpu_memory_bytes", "dataset", "state")


def downgrade() -> None:
    op.drop_index("ix_evaluations_open", "evaluations")
    op.drop_column("evaluations", "gpu_memory_bytes")
    _index_open_ones("device", "tier_strength", "dataset", "state")


def _index_open_ones(*suits: str) -> None:
    op.create_index(
        "ix_evaluations_open",
        "evaluations",
        [*ORDER, *suits],
        sqlite_where=IS_OPEN,
        postgresql_where=IS_OPEN,
    )
