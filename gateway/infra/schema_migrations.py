"""Brings the database to the schema of this version, with Alembic, at every start and under the home lock."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from gateway.infra.database import Database


def migrate(database: Database) -> None:
    """Upgrade to the newest schema; nothing to do when it is there already."""
    with database.engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def alembic_config() -> Config:
    """Alembic, pointed at the migrations in this package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
