"""Leases of outside agents on slots"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ask_leases",
        sa.Column("task_id", sa.String(length=40), nullable=False),
        sa.Column("search_id", sa.String(length=40), nullable=False),
        sa.Column("proposal_id", sa.String(length=60), nullable=False),
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("lease_seconds", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_digest", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["search_id"],
            ["searches.id"],
            name=op.f("fk_ask_leases_search_id_searches"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_ask_leases")),
    )
    op.create_index("ix_ask_leases_search_id_proposal_id", "ask_leases", ["search_id", "proposal_id"])


def downgrade() -> None:
    op.drop_index("ix_ask_leases_search_id_proposal_id", "ask_leases")
    op.drop_table("ask_leases")
