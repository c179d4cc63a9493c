"""How many GPUs a fine-tune's attempt holds, which count among its tenant's GPU seconds

Of attempts that were begun before, it is what their host says now.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_ATTEMPTS = sa.table("fine_tune_attempts", sa.column("agent_id", sa.String), sa.column("gpus", sa.Integer))
_AGENTS = sa.table("training_agents", sa.column("id", sa.String), sa.column("host", sa.JSON))


def upgrade() -> None:
    op.add_column("fine_tune_attempts", sa.Column("gpus", sa.Integer(), server_default="0", nullable=False))
    connection = op.get_bind()
    for agent_id, host in connection.execute(sa.select(_AGENTS.c.id, _AGENTS.c.host)).all():
        gpus = sa.update(_ATTEMPTS).where(_ATTEMPTS.c.agent_id == agent_id).values(gpus=host.get("gpus", 0))
        connection.execute(gpus)


def downgrade() -> None:
    op.drop_column("fine_tune_attempts", "gpus")
