"""Fine-tuning jobs of language models"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fine_tunes",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("parent_adapter", sa.String(length=100), nullable=True),
        sa.Column("search_id", sa.String(length=40), nullable=True),
        sa.Column("after_cycle", sa.Integer(), nullable=True),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("phase", sa.String(length=40), nullable=False),
        sa.Column("chats", sa.JSON(), nullable=True),
        sa.Column("progress", sa.JSON(), nullable=True),
        sa.Column("is_submitted", sa.Boolean(), nullable=False),
        sa.Column("is_settled", sa.Boolean(), nullable=False),
        sa.Column("events_seen", sa.Integer(), nullable=False),
        sa.Column("waiting_for", sa.String(length=600), nullable=True),
        sa.Column("failure", sa.JSON(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("has_adapter", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fine_tunes")),
        sa.UniqueConstraint("search_id", "after_cycle", name=op.f("uq_fine_tunes_search_id")),
    )
    op.create_index("ix_fine_tunes_tenant_id", "fine_tunes", ["tenant", "id"])
    op.create_index(op.f("ix_fine_tunes_parent_adapter"), "fine_tunes", ["parent_adapter"])
    op.create_index(op.f("ix_fine_tunes_is_settled"), "fine_tunes", ["is_settled"])


def downgrade() -> None:
    op.drop_index(op.f("ix_fine_tunes_is_settled"), "fine_tunes")
    op.drop_index(op.f("ix_fine_tunes_parent_adapter"), "fine_tunes")
    op.drop_index("ix_fine_tunes_tenant_id", "fine_tunes")
    op.drop_table("fine_tunes")
