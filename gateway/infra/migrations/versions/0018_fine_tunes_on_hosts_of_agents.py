"""Long fine-tunes as attempts that agents of hosts that train claim

On the way down jobs that are lent become jobs that the older version takes for lost, and says so.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("fine_tunes", sa.Column("is_lent", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("fine_tunes", sa.Column("weights_sha256", sa.String(length=64), nullable=True))
    op.create_table(
        "fine_tune_attempts",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("agent_id", sa.String(length=80), nullable=True),
        sa.Column("token_sha256", sa.String(length=64), nullable=True),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("queue", sa.String(length=120), server_default="", nullable=False),
        sa.Column("promised_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("has_begun", sa.Boolean(), nullable=False),
        sa.Column("is_delivered", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["fine_tunes.id"],
            name=op.f("fk_fine_tune_attempts_job_id_fine_tunes"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fine_tune_attempts")),
        sa.UniqueConstraint("job_id", "fence", name=op.f("uq_fine_tune_attempts_job_id")),
    )
    op.create_index("ix_fine_tune_attempts_state_lease", "fine_tune_attempts", ["state", "lease_expires_at"])
    op.create_table(
        "training_agents",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("host", sa.JSON(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_agents")),
    )


def downgrade() -> None:
    op.drop_table("training_agents")
    op.drop_index("ix_fine_tune_attempts_state_lease", table_name="fine_tune_attempts")
    op.drop_table("fine_tune_attempts")
    op.drop_column("fine_tunes", "weights_sha256")
    op.drop_column("fine_tunes", "is_lent")
