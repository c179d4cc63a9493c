"""Whether others waited for the slots that an attempt was given

Of what is given out while this version comes it is said that they did, as it was reckoned before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "attempt_offers", sa.Column("is_contended", sa.Boolean(), server_default=sa.true(), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("attempt_offers", "is_contended")
