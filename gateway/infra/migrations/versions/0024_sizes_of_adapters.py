"""How large the adapter of a fine-tune is, which counts as stored by its tenant"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("fine_tunes", sa.Column("adapter_bytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("fine_tunes", "adapter_bytes")
