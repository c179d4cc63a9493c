"""What became of deltas, and evaluations that only smoke-test

Slots know who proposed, how the delta was understood, and why it was refused. What older slots tell of it
is written down for them. Columns are added and dropped one by one, never by copying a table: on SQLite the
old copy's end would take along all rows that refer to it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SEARCHES = sa.table("searches", sa.column("id", sa.String), sa.column("request", sa.JSON))
_SLOTS = sa.table(
    "slots",
    sa.column("proposal_id", sa.String),
    sa.column("search_id", sa.String),
    sa.column("cycle", sa.Integer),
    sa.column("state", sa.String),
    sa.column("source", sa.Text),
    sa.column("failure", sa.JSON),
    sa.column("proposer", sa.String),
    sa.column("delta_code", sa.String),
)


def upgrade() -> None:
    op.add_column(
        "evaluations", sa.Column("kind", sa.String(length=16), server_default="evaluate", nullable=False)
    )
    op.add_column("evaluations", sa.Column("smoke", sa.JSON(), nullable=True))
    op.add_column("attempts", sa.Column("smoke", sa.JSON(), nullable=True))
    op.add_column("slots", sa.Column("proposer", sa.String(length=80), nullable=True))
    op.add_column("slots", sa.Column("delta_code", sa.String(length=40), nullable=True))
    op.add_column("slots", sa.Column("delta_confidence", sa.Double(), nullable=True))
    op.add_column("slots", sa.Column("delta_counts", sa.JSON(), nullable=True))
    op.add_column("slots", sa.Column("delta_report", sa.JSON(), nullable=True))
    _describe_older_slots(op.get_bind())


def _describe_older_slots(connection: sa.Connection) -> None:
    """Their proposer was the search's; their code is the failure's, or `applied` where there is a source."""
    for search_id, request in connection.execute(sa.select(_SEARCHES.c.id, _SEARCHES.c.request)).all():
        proposed = sa.and_(
            _SLOTS.c.search_id == search_id, _SLOTS.c.cycle > 0, _SLOTS.c.state.not_in(("pending", "lost"))
        )
        kind = str(((request or {}).get("proposer") or {}).get("kind") or "unknown")[:80]
        connection.execute(sa.update(_SLOTS).where(proposed).values(proposer=kind))
        applied = sa.and_(proposed, _SLOTS.c.source.is_not(None))
        connection.execute(sa.update(_SLOTS).where(applied).values(delta_code="applied"))
        refused = sa.and_(proposed, _SLOTS.c.state == "refused")
        for name, failure in connection.execute(
            sa.select(_SLOTS.c.proposal_id, _SLOTS.c.failure).where(refused)
        ).all():
            code = str((failure or {}).get("code") or (failure or {}).get("reason") or "unknown")[:40]
            connection.execute(sa.update(_SLOTS).where(_SLOTS.c.proposal_id == name).values(delta_code=code))


def downgrade() -> None:
    for column in ("delta_report", "delta_counts", "delta_confidence", "delta_code", "proposer"):
        op.drop_column("slots", column)
    op.drop_column("attempts", "smoke")
    op.drop_column("evaluations", "smoke")
    op.drop_column("evaluations", "kind")
