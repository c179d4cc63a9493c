"""How many slots each attempt takes, which agent asked for it, and which keeps slots for it

What is given out while this version comes counts as one slot, as it did.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempt_offers", sa.Column("agent_id", sa.String(length=80), nullable=True))
    op.add_column("attempt_offers", sa.Column("slots", sa.Integer(), server_default="1", nullable=False))
    op.add_column(
        "attempt_offers", sa.Column("is_kept", sa.Boolean(), server_default=sa.false(), nullable=False)
    )


def downgrade() -> None:
    # An older version would take what is kept for what is on its way, until it lapses in some seconds.
    op.drop_column("attempt_offers", "is_kept")
    op.drop_column("attempt_offers", "slots")
    op.drop_column("attempt_offers", "agent_id")
