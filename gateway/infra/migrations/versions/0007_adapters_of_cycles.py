"""Which adapter a cycle's proposals were made with

On the way down requests lose the fields that the older version does not know.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SEARCHES = sa.table("searches", sa.column("id", sa.String), sa.column("request", sa.JSON))
_NEW_FIELDS = {"fine_tune", "adapter"}


def upgrade() -> None:
    op.add_column("cycles", sa.Column("adapter", sa.String(length=100), nullable=True))


def downgrade() -> None:
    connection = op.get_bind()
    for search_id, request in connection.execute(sa.select(_SEARCHES.c.id, _SEARCHES.c.request)).all():
        older = {name: value for name, value in (request or {}).items() if name not in _NEW_FIELDS}
        connection.execute(sa.update(_SEARCHES).where(_SEARCHES.c.id == search_id).values(request=older))
    op.drop_column("cycles", "adapter")
