"""Scopes and ends of API keys; quotas, shares, data sets and audit log of tenants"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NEW_OF_KEYS = ("prefix", "scopes", "expires_at", "last_used_at", "replaced_by")
IS_OPEN = sa.text("state IN ('queued', 'running')")


def upgrade() -> None:
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.add_column(sa.Column("prefix", sa.String(length=16), nullable=False, server_default=""))
        # A key from before there were scopes opened everything of its tenant, and goes on doing so.
        batch_op.add_column(
            sa.Column(
                "scopes", sa.String(length=120), nullable=False, server_default="read submit search admin"
            )
        )
        batch_op.add_column(sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("replaced_by", sa.String(length=40), nullable=True))
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.alter_column("prefix", existing_type=sa.String(length=16), server_default=None)
        batch_op.alter_column("scopes", existing_type=sa.String(length=120), server_default=None)
    op.create_table(
        "tenant_quotas",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("weight", sa.Double(), nullable=True),
        sa.Column("queued", sa.Integer(), nullable=True),
        sa.Column("running", sa.Integer(), nullable=True),
        sa.Column("gpu_seconds_per_day", sa.BigInteger(), nullable=True),
        sa.Column("storage_bytes", sa.BigInteger(), nullable=True),
        sa.Column("searches", sa.Integer(), nullable=True),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=True),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_tenant_quotas")),
    )
    op.create_table(
        "tenant_shares",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("pool", sa.String(length=16), nullable=False),
        sa.Column("virtual_seconds", sa.Double(), nullable=False),
        sa.Column("started_at_virtual", sa.Double(), nullable=False),
        sa.Column("usual_seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "pool", name=op.f("pk_tenant_shares")),
    )
    op.create_table(
        "attempt_offers",
        sa.Column("attempt_id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("pool", sa.String(length=16), nullable=False),
        sa.Column("charged_seconds", sa.Double(), nullable=False),
        sa.Column("offered_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_attempt_offers")),
    )
    op.create_table(
        "tenant_usage",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("pool", sa.String(length=16), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("slot_seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "pool", "day", name=op.f("pk_tenant_usage")),
    )
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=40), nullable=False),
        sa.Column("action", sa.String(length=120), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_entries_tenant_id", "audit_entries", ["tenant", "id"])
    op.create_index(op.f("ix_audit_entries_at"), "audit_entries", ["at"])
    op.create_table(
        "dataset_owners",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_dataset_owners")),
    )
    op.create_index(op.f("ix_dataset_owners_tenant"), "dataset_owners", ["tenant"])
    op.create_index(
        "ix_evaluations_open",
        "evaluations",
        ["tenant", sa.text("priority DESC"), "id", "device", "tier_strength", "dataset", "state"],
        sqlite_where=IS_OPEN,
        postgresql_where=IS_OPEN,
    )


def downgrade() -> None:
    op.drop_index("ix_evaluations_open", "evaluations")
    op.drop_index(op.f("ix_dataset_owners_tenant"), "dataset_owners")
    op.drop_table("dataset_owners")
    op.drop_index(op.f("ix_audit_entries_at"), "audit_entries")
    op.drop_index("ix_audit_entries_tenant_id", "audit_entries")
    for table in ("audit_entries", "tenant_usage", "attempt_offers", "tenant_shares", "tenant_quotas"):
        op.drop_table(table)
    # A key that had a scope of today must not open more than it did: an older version asks for none.
    op.execute("DELETE FROM api_keys WHERE scopes <> 'read submit search admin' OR expires_at IS NOT NULL")
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        for name in reversed(NEW_OF_KEYS):
            batch_op.drop_column(name)
