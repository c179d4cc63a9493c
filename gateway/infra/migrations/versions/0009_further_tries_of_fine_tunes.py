"""How often a fine-tuning job was tried again, and when it is next"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("fine_tunes", sa.Column("retries", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("fine_tunes", sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("fine_tunes", "retry_at")
    op.drop_column("fine_tunes", "retries")
