"""Runs the migrations on the connection that `gateway.infra.schema_migrations` passes in."""

from typing import Literal

from alembic import context

from gateway.infra import (  # noqa: F401 - their tables are the metadata
    ask_tables,
    baseline_tables,
    events,
    fine_tune_attempt_tables,
    fine_tune_tables,
    publication_tables,
    search_tables,
    tables,
    tally_tables,
    tenant_tables,
    work_leases,
)
from gateway.infra.database import Base, UtcTime


def render_item(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Migrations stay readable, and runnable, when this package's own types have moved on."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcTime) else False


connection = context.config.attributes["connection"]
# Batch mode: SQLite alters a table by copying it.
context.configure(
    connection=connection, target_metadata=Base.metadata, render_as_batch=True, render_item=render_item
)
with context.begin_transaction():
    context.run_migrations()
