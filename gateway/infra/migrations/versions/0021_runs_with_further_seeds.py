"""Further runs of candidates with fresh seeds, and what selection makes of them

On the way down the further runs go, and a search that asked for some goes on with one run each.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_SEARCHES = sa.table("searches", sa.column("id", sa.String), sa.column("request", sa.JSON))


def upgrade() -> None:
    op.create_table(
        "reruns",
        sa.Column("proposal_id", sa.String(length=60), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("search_id", sa.String(length=40), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("evaluation_id", sa.String(length=40), nullable=True),
        sa.Column("accuracy", sa.Double(), nullable=True),
        sa.Column("failure_reason", sa.String(length=40), nullable=True),
        sa.Column("cpu_seconds", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["proposal_id"],
            ["slots.proposal_id"],
            name=op.f("fk_reruns_proposal_id_slots"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("proposal_id", "purpose", "place", name=op.f("pk_reruns")),
    )
    op.create_index("ix_reruns_search_id_state", "reruns", ["search_id", "state"])
    op.add_column("searches", sa.Column("control_of", sa.String(length=40), nullable=True))
    op.create_index(op.f("ix_searches_control_of"), "searches", ["control_of"])
    op.add_column("cycles", sa.Column("alarm", sa.JSON(), nullable=True))
    op.add_column("slots", sa.Column("estimate", sa.Double(), nullable=True))


def downgrade() -> None:
    connection = op.get_bind()
    for row in connection.execute(sa.select(_SEARCHES.c.id, _SEARCHES.c.request)).all():
        request = dict(row.request or {})
        for name in ("replicates", "audit_sample", "breeds"):
            request.pop(name, None)
        if request.get("fine_tune"):
            request["fine_tune"] = {
                name: value for name, value in request["fine_tune"].items() if name != "alarms"
            }
        connection.execute(sa.update(_SEARCHES).where(_SEARCHES.c.id == row.id).values(request=request))
    op.drop_column("slots", "estimate")
    op.drop_column("cycles", "alarm")
    op.drop_index(op.f("ix_searches_control_of"), table_name="searches")
    op.drop_column("searches", "control_of")
    op.drop_index("ix_reruns_search_id_state", table_name="reruns")
    op.drop_table("reruns")
