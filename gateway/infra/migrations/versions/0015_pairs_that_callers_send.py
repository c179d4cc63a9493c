"""Pairs that callers send to learn from"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fine_tune_pairs",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("dataset", sa.String(length=64), nullable=False),
        sa.Column("baseline_accuracy", sa.Float(), nullable=True),
        sa.Column("baseline_source", sa.Text(), nullable=False),
        sa.Column("target_source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "place", name=op.f("pk_fine_tune_pairs")),
    )
    op.create_index(op.f("ix_fine_tune_pairs_tenant"), "fine_tune_pairs", ["tenant"])


def downgrade() -> None:
    op.drop_table("fine_tune_pairs")
