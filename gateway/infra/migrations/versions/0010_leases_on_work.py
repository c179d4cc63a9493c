"""Leases on work of which one gateway does each piece; names of networks sort alike on every database"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "work_leases",
        sa.Column("work", sa.String(length=80), nullable=False),
        sa.Column("holder", sa.String(length=80), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("work", name=op.f("pk_work_leases")),
    )
    op.create_index(op.f("ix_work_leases_holder"), "work_leases", ["holder"])
    _sort_names_by("C")


def downgrade() -> None:
    _sort_names_by("default")
    op.drop_index(op.f("ix_work_leases_holder"), "work_leases")
    op.drop_table("work_leases")


def _sort_names_by(collation: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("baselines", "name", type_=sa.String(length=120, collation=collation))
