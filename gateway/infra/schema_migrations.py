"""Brings the database to the schema of this version, with Alembic, at every start; one gateway at a time."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from gateway.infra.database import Database

_LOCK = 7_346_000


def migrate(database: Database) -> None:
    """Upgrade to the newest schema; nothing to do when it is there already.

    Gateways that start together on one database wait for the first of them.
    """
    with database.engine.begin() as connection:
        if database.is_shared:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def alembic_config() -> Config:
    """Alembic, pointed at the migrations in this package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
