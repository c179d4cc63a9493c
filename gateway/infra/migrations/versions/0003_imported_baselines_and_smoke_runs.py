"""Imported baselines and smoke runs"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "baseline_imports",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("content_sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("read", sa.Integer(), nullable=False),
        sa.Column("stored", sa.Integer(), nullable=False),
        sa.Column("unchanged", sa.Integer(), nullable=False),
        sa.Column("refused", sa.JSON(), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=True),
        sa.Column("waiting_for", sa.String(length=600), nullable=True),
        sa.Column("failure", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_baseline_imports")),
    )
    op.create_index(op.f("ix_baseline_imports_state"), "baseline_imports", ["state"])
    op.create_index("ix_baseline_imports_tenant_id", "baseline_imports", ["tenant", "id"])

    op.create_table(
        "baseline_sources",
        sa.Column("candidate_id", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("candidate_id", name=op.f("pk_baseline_sources")),
    )
    op.create_table(
        "baselines",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("published", sa.Boolean(), nullable=False),
        sa.Column("import_id", sa.String(length=40), nullable=False),
        sa.Column("origin", sa.String(length=40), nullable=False),
        sa.Column("family", sa.String(length=120), nullable=False),
        sa.Column("contract", sa.String(length=16), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("licence", sa.Text(), nullable=False),
        sa.Column("candidate_id", sa.String(length=64), nullable=False),
        sa.Column("hyperparameters", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_baselines")),
    )
    op.create_index(op.f("ix_baselines_candidate_id"), "baselines", ["candidate_id"])
    op.create_index(op.f("ix_baselines_import_id"), "baselines", ["import_id"])
    op.create_index("ix_baselines_name", "baselines", ["name"])
    op.create_index("ix_baselines_published_name", "baselines", ["published", "name"])

    op.create_table(
        "smoke_runs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("dataset", sa.String(length=64), nullable=False),
        sa.Column("chosen", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("waiting_for", sa.String(length=600), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smoke_runs")),
    )
    op.create_index(op.f("ix_smoke_runs_state"), "smoke_runs", ["state"])
    op.create_index("ix_smoke_runs_tenant_id", "smoke_runs", ["tenant", "id"])

    op.create_table(
        "baseline_results",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("dataset", sa.String(length=64), nullable=False),
        sa.Column("first_epoch_accuracy", sa.Double(), nullable=True),
        sa.Column("best_accuracy", sa.Double(), nullable=False),
        sa.Column("best_epoch", sa.Integer(), nullable=False),
        sa.Column("hyperparameters", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["digest"],
            ["baselines.digest"],
            name=op.f("fk_baseline_results_digest_baselines"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("digest", "dataset", name=op.f("pk_baseline_results")),
    )
    op.create_index(
        "ix_baseline_results_dataset_accuracy", "baseline_results", ["dataset", "first_epoch_accuracy"]
    )

    op.create_table(
        "baseline_smokes",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("dataset", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("failure", sa.JSON(), nullable=True),
        sa.Column("claimed_parameters", sa.BigInteger(), nullable=True),
        sa.Column("environment_digest", sa.String(length=64), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["digest"],
            ["baselines.digest"],
            name=op.f("fk_baseline_smokes_digest_baselines"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("digest", "dataset", name=op.f("pk_baseline_smokes")),
    )
    op.create_table(
        "smoke_items",
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("phase", sa.String(length=40), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("evaluation_id", sa.String(length=40), nullable=True),
        sa.Column("reused", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["smoke_runs.id"], name=op.f("fk_smoke_items_run_id_smoke_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "place", name=op.f("pk_smoke_items")),
    )
    op.create_index(op.f("ix_smoke_items_evaluation_id"), "smoke_items", ["evaluation_id"])
    op.create_index("ix_smoke_items_run_id_state", "smoke_items", ["run_id", "state", "place"])


def downgrade() -> None:
    op.drop_index("ix_smoke_items_run_id_state", "smoke_items")
    op.drop_index(op.f("ix_smoke_items_evaluation_id"), "smoke_items")

    op.drop_table("smoke_items")
    op.drop_table("baseline_smokes")
    op.drop_index("ix_baseline_results_dataset_accuracy", "baseline_results")

    op.drop_table("baseline_results")
    op.drop_index("ix_smoke_runs_tenant_id", "smoke_runs")
    op.drop_index(op.f("ix_smoke_runs_state"), "smoke_runs")

    op.drop_table("smoke_runs")
    op.drop_index("ix_baselines_published_name", "baselines")
    op.drop_index("ix_baselines_name", "baselines")
    op.drop_index(op.f("ix_baselines_import_id"), "baselines")
    op.drop_index(op.f("ix_baselines_candidate_id"), "baselines")

    op.drop_table("baselines")
    op.drop_table("baseline_sources")
    op.drop_index("ix_baseline_imports_tenant_id", "baseline_imports")
    op.drop_index(op.f("ix_baseline_imports_state"), "baseline_imports")

    op.drop_table("baseline_imports")
