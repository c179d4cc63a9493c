"""Tables of imported baselines, their imports, and the smoke runs that make them usable.

An imported network is there for all tenants and is never changed: another version of it is another row,
and the one that is `published` is the one that people see. An import publishes all its rows at once.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.infra.database import Base, UtcTime


class BaselineImportRow(Base):
    """One file that was sent to be imported."""

    __tablename__ = "baseline_imports"
    __table_args__ = (Index("ix_baseline_imports_tenant_id", "tenant", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    origin: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(16), index=True)
    content_sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int | None]
    read: Mapped[int] = mapped_column(default=0)
    stored: Mapped[int] = mapped_column(default=0)
    unchanged: Mapped[int] = mapped_column(default=0)
    refused: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    summary: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    waiting_for: Mapped[str | None] = mapped_column(String(600))
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)


class BaselineSourceRow(Base):
    """One source, however many networks have it. Apart from the rest, so that lists stay quick."""

    __tablename__ = "baseline_sources"

    candidate_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    source: Mapped[str] = mapped_column(Text)


class BaselineRow(Base):
    """One version of an imported network. `digest` is of its name and all its content."""

    __tablename__ = "baselines"
    __table_args__ = (
        Index("ix_baselines_published_name", "published", "name"),
        Index("ix_baselines_name", "name"),
    )

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    # Lists and the choice of pairs go by it: alike on every database, whatever language that sorts by.
    name: Mapped[str] = mapped_column(String(120).with_variant(String(120, collation="C"), "postgresql"))
    published: Mapped[bool]
    import_id: Mapped[str] = mapped_column(String(40), index=True)
    origin: Mapped[str] = mapped_column(String(40))
    family: Mapped[str] = mapped_column(String(120))
    contract: Mapped[str] = mapped_column(String(16))
    description: Mapped[str] = mapped_column(Text)
    licence: Mapped[str] = mapped_column(Text)
    candidate_id: Mapped[str] = mapped_column(String(64), index=True)
    hyperparameters: Mapped[dict[str, Any]] = mapped_column(JSON)


class BaselineResultRow(Base):
    """What others measured of a version of a network on one dataset."""

    __tablename__ = "baseline_results"
    __table_args__ = (Index("ix_baseline_results_dataset_accuracy", "dataset", "first_epoch_accuracy"),)

    digest: Mapped[str] = mapped_column(ForeignKey("baselines.digest", ondelete="CASCADE"), primary_key=True)
    dataset: Mapped[str] = mapped_column(String(64), primary_key=True)
    first_epoch_accuracy: Mapped[float | None]
    best_accuracy: Mapped[float]
    best_epoch: Mapped[int]
    hyperparameters: Mapped[dict[str, Any]] = mapped_column(JSON)


class BaselineSmokeRow(Base):
    """How a version of a network last did in a smoke evaluation on a dataset, and in which environment."""

    __tablename__ = "baseline_smokes"

    digest: Mapped[str] = mapped_column(ForeignKey("baselines.digest", ondelete="CASCADE"), primary_key=True)
    dataset: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    claimed_parameters: Mapped[int | None] = mapped_column(BigInteger)
    environment_digest: Mapped[str] = mapped_column(String(64))
    finished_at: Mapped[datetime] = mapped_column(UtcTime)


class SmokeRunRow(Base):
    """One smoke run over many networks."""

    __tablename__ = "smoke_runs"
    __table_args__ = (Index("ix_smoke_runs_tenant_id", "tenant", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    dataset: Mapped[str] = mapped_column(String(64))
    chosen: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16), index=True)
    waiting_for: Mapped[str | None] = mapped_column(String(600))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)


class SmokeItemRow(Base):
    """One network of a run, in the version that was published when the run began. `place` is its turn."""

    __tablename__ = "smoke_items"
    __table_args__ = (Index("ix_smoke_items_run_id_state", "run_id", "state", "place"),)

    run_id: Mapped[str] = mapped_column(ForeignKey("smoke_runs.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(40))
    phase: Mapped[str | None] = mapped_column(String(40))
    message: Mapped[str | None] = mapped_column(Text)
    evaluation_id: Mapped[str | None] = mapped_column(String(40), index=True)
    reused: Mapped[bool] = mapped_column(default=False)
