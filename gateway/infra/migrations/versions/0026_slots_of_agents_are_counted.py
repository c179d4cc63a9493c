"""What an agent's slots are taken by is counted from its attempts; its own word of it is kept no more"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("agents", "busy_slots")


def downgrade() -> None:
    op.add_column("agents", sa.Column("busy_slots", sa.Integer(), server_default="0", nullable=False))
