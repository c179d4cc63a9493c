"""What language models said, and what it took

Each call behind a proposal, its messages once a search; searches that stop at a budget or wait for what a
proposer depends on. On the way down a slot that was skipped becomes one that nobody counts either, and
requests lose the fields that the older version does not know.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SEARCHES = sa.table("searches", sa.column("id", sa.String), sa.column("request", sa.JSON))
_SLOTS = sa.table("slots", sa.column("state", sa.String))
_NEW_FIELDS = {"deployment", "feedback", "model_budget"}


def upgrade() -> None:
    op.add_column("searches", sa.Column("platform_waits", sa.JSON(), nullable=True))
    op.add_column("searches", sa.Column("paused_by", sa.JSON(), nullable=True))
    op.add_column("searches", sa.Column("stopped_by", sa.JSON(), nullable=True))
    op.add_column("slots", sa.Column("form", sa.String(length=16), nullable=True))
    op.create_table(
        "model_calls",
        sa.Column("proposal_id", sa.String(length=60), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("search_id", sa.String(length=40), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("adapter", sa.String(length=200), nullable=True),
        sa.Column("prompt_version", sa.String(length=60), nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("sampling", sa.JSON(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("finish_reason", sa.String(length=60), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cost_usd", sa.Double(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["proposal_id"],
            ["slots.proposal_id"],
            name=op.f("fk_model_calls_proposal_id_slots"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("proposal_id", "place", name=op.f("pk_model_calls")),
    )
    op.create_index("ix_model_calls_search_id_cycle", "model_calls", ["search_id", "cycle"])
    op.create_table(
        "prompt_texts",
        sa.Column("search_id", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"],
            ["searches.id"],
            name=op.f("fk_prompt_texts_search_id_searches"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("search_id", "sha256", name=op.f("pk_prompt_texts")),
    )


def downgrade() -> None:
    op.drop_table("prompt_texts")
    op.drop_index("ix_model_calls_search_id_cycle", "model_calls")
    op.drop_table("model_calls")
    connection = op.get_bind()
    connection.execute(sa.update(_SLOTS).where(_SLOTS.c.state == "skipped").values(state="lost"))
    for search_id, request in connection.execute(sa.select(_SEARCHES.c.id, _SEARCHES.c.request)).all():
        older = {name: value for name, value in (request or {}).items() if name not in _NEW_FIELDS}
        connection.execute(sa.update(_SEARCHES).where(_SEARCHES.c.id == search_id).values(request=older))
    op.drop_column("slots", "form")
    for column in ("stopped_by", "paused_by", "platform_waits"):
        op.drop_column("searches", column)
