"""New databases with the newest schema for tests: SQLite, or PostgreSQL under `--database postgresql`."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sqlalchemy import event, make_url

from gateway.infra.database import Database
from gateway.infra.schema_migrations import migrate

if TYPE_CHECKING:
    from postgres_server import PostgresServer

_servers: "list[PostgresServer]" = []
_urls: dict[Path, str] = {}


def use(server: "PostgresServer") -> None:
    """From now on `url_in` makes its databases there."""
    _servers.append(server)


def url_in(folder: Path, name: str = "gateway") -> str:
    """The URL of a folder's database of that name, which is made at the first call."""
    if not _servers:
        return sqlite_url(folder, name)
    place = folder.absolute() / name
    if place not in _urls:
        _urls[place] = _servers[-1].url(_servers[-1].new_database())
    return _urls[place]


def sqlite_url(folder: Path, name: str = "gateway") -> str:
    """The same, always SQLite's."""
    file = folder / f"{name}.sqlite3"
    if not file.exists():
        file.write_bytes(migrated_sqlite())
    return f"sqlite:///{file}"


def copy_of(url: str, folder: Path) -> str:
    """The URL of a copy of a database that nobody has open; a file's copy lies in the folder."""
    if url.startswith("sqlite"):
        file = folder / "copy.sqlite3"
        file.write_bytes(Path(url.removeprefix("sqlite:///")).read_bytes())
        return f"sqlite:///{file}"
    server = _servers[-1]
    return server.url(server.new_database(template=make_url(url).database))


@cache
def migrated_sqlite() -> bytes:
    """A new SQLite database: Alembic takes its time, once for all tests."""
    with TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/new.sqlite3")
        migrate(database)
        database.close()
        return (Path(folder) / "new.sqlite3").read_bytes()


def hurried(database: Database) -> Database:
    """Without waiting for the disk: these tests cut power by themselves, or not at all."""

    @event.listens_for(database.engine, "connect")
    def _configure(connection, _record):
        if database.engine.dialect.name == "sqlite":
            connection.execute("PRAGMA synchronous=OFF")

    return database
