"""What waits in the broker, and which agents hear of attempts there

On the way down nothing is lost: what waits in the broker waits in the queue, too. An attempt that was given
back becomes one that was withdrawn, which means the same to the older version: it is tried again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_ATTEMPTS = sa.table("attempts", sa.column("state", sa.String))


def upgrade() -> None:
    op.add_column("agents", sa.Column("queue", sa.String(length=64), server_default="", nullable=False))
    op.create_table(
        "attempt_publications",
        sa.Column("attempt_id", sa.String(length=40), nullable=False),
        sa.Column("queue", sa.String(length=120), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["attempt_id"],
            ["attempts.id"],
            name=op.f("fk_attempt_publications_attempt_id_attempts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_attempt_publications")),
    )
    op.create_index(op.f("ix_attempt_publications_made_at"), "attempt_publications", ["made_at"])


def downgrade() -> None:
    released = _ATTEMPTS.c.state == "released"
    op.get_bind().execute(sa.update(_ATTEMPTS).where(released).values(state="cancelled"))
    op.drop_index(op.f("ix_attempt_publications_made_at"), table_name="attempt_publications")
    op.drop_table("attempt_publications")
    op.drop_column("agents", "queue")
