"""Every migration goes up and down again with rows in every table, on each database that is supported."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.infra.database import Base, Database
from gateway.infra.schema_migrations import alembic_config, migrate

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WRITTEN = {("searches", "request"): {"proposer": {"kind": "mutation", "options": {}}, "name": "old"}}
"""What migrations read; anything will do for the rest."""
REVISIONS = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()][
    ::-1
]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path) -> Iterator[Database]:
    """Without any table."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/empty.sqlite3"
    else:
        server = request.getfixturevalue("postgres")
        url = server.url(server.empty_database())
    database = Database(url)
    yield database
    database.close()


def go(direction, database: Database, revision: str) -> None:
    with database.engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        direction(config, revision)


def tables_of(connection: sa.Connection) -> list[sa.Table]:
    metadata = sa.MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]


def fill(database: Database) -> None:
    """A row in every table that has none."""
    with database.engine.begin() as connection:
        for table in tables_of(connection):
            if connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0:
                connection.execute(
                    table.insert().values({c.name: value(connection, c) for c in table.columns})
                )


def value(connection: sa.Connection, column: sa.Column) -> object:
    """Something that a column takes."""
    key = next(iter(column.foreign_keys), None)
    if key is not None:
        return connection.scalar(sa.select(key.column))
    written = WRITTEN.get((column.table.name, column.name))
    if written is not None:
        return written
    if isinstance(column.type, sa.JSON):
        return {}
    if isinstance(column.type, sa.Boolean):
        return False
    if isinstance(column.type, sa.DateTime):
        return MOMENT
    if isinstance(column.type, sa.Integer | sa.Float | sa.Numeric):
        return 1
    return "x"


def counts(database: Database) -> dict[str, int]:
    with database.engine.connect() as connection:
        return {
            table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in tables_of(connection)
        }


def assert_newest(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_from_nothing_to_the_newest_schema_in_one_go(database):
    migrate(database)
    assert_newest(database)


def test_every_step_up_and_down_keeps_every_row_of_the_tables_that_stay(database):
    for revision in REVISIONS:
        before = counts(database)
        go(command.upgrade, database, revision)
        after = counts(database)
        assert {name: after[name] for name in before if name in after} == {
            name: before[name] for name in before if name in after
        }, f"on the way up to {revision}"
        fill(database)
    assert_newest(database)
    assert set(counts(database).values()) == {1}, counts(database)
    for revision in [*REVISIONS[-2::-1], "base"]:
        go(command.downgrade, database, revision)
        assert set(counts(database).values()) <= {1}, f"on the way down to {revision}"
    assert counts(database) == {}
    migrate(database)
    assert_newest(database)


def test_gateways_that_start_together_bring_up_one_schema(postgres):

    url = postgres.url(postgres.empty_database())
    databases = [Database(url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(migrate, databases))
    assert_newest(databases[0])
    for database in databases:
        database.close()
