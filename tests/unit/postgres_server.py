"""A real PostgreSQL of the tests' own, and databases in it.

It sorts text by the rules of a language, as most installations do: what leans on the order of bytes shows.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cached_property
from itertools import count
from pathlib import Path

import psycopg

from gateway.infra.database import Database
from gateway.infra.schema_migrations import migrate

PACKAGES = Path("/usr/lib/postgresql")
START_SECONDS = 600
"""A machine may be busy with others."""
_TEMPLATE = "migrated"


def binaries() -> Path | None:
    """Where Debian and Ubuntu keep the newest version installed, or None."""
    found = [folder / "bin" for folder in PACKAGES.glob("*") if (folder / "bin" / "postgres").exists()]
    return max(found, key=lambda folder: float(folder.parent.name), default=None)


class PostgresServer:
    """One cluster in a folder of its own, on a unix socket. It ends with the process that started it."""

    def __init__(self, *, durable: bool = False, options: tuple[str, ...] = ()) -> None:
        """Makes the cluster; `start` starts it.

        `durable`: it waits for the disk at each commit. `options`: further settings, as `name=value`.
        """
        found = binaries()
        assert found is not None, "PostgreSQL is not installed: deploy/system-packages.sh postgresql"
        self._binaries = found
        self._durable = durable
        self._options = options
        self._databases = count(1)
        # Not below the test's own folders: those are closed to the account that the server runs under.
        self.folder = Path(tempfile.mkdtemp(prefix="dn-postgres-"))
        self.process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        self._run(
            "initdb", "--pgdata", self._data, "--username", "postgres", "--auth", "trust", "--no-sync",
            "--encoding", "UTF8", "--locale", "C.UTF-8", "--locale-provider", "icu", "--icu-locale", "en-US",
        )  # fmt: skip

    @cached_property
    def _account(self) -> pwd.struct_passwd:
        """PostgreSQL refuses to run as root."""
        try:
            return pwd.getpwnam("postgres")
        except KeyError:
            return pwd.getpwnam("nobody")

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _as_nobody_special(self, program: str, *arguments: str) -> list[str]:
        command = ["setpriv", "--pdeathsig", "QUIT"]
        if os.geteuid() == 0:
            account = self._account
            # Its shared memory is no trace of a specimen that another part of the tests runs meanwhile.
            command = ["unshare", "--ipc", *command]
            command += [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        return [*command, str(self._binaries / program), *arguments]

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            self._as_nobody_special(program, *arguments),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it, or start it again after `kill`: it then recovers what was committed."""
        settings = [
            "listen_addresses=",
            f"unix_socket_directories={self.folder}",
            "max_connections=300",
            "shared_buffers=32MB",
            *self._options,
        ]
        if not self._durable:
            settings += ["fsync=off", "full_page_writes=off"]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            self._as_nobody_special(
                "postgres", "-D", self._data, *(word for setting in settings for word in ("-c", setting))
            ),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Until it lets people in."""
        give_up = time.monotonic() + START_SECONDS
        while True:
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                assert time.monotonic() < give_up, (self.folder / "log").read_text()
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """As a power cut of the server's host would end it, but for what the kernel has not written yet."""
        self._end(signal.SIGKILL)
        # Its children notice, and leave the shared memory alone.
        time.sleep(0.1)

    def stop(self) -> None:
        """End it at once, in order. Idempotent."""
        self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=10)
        self.process = None

    def close(self) -> None:
        """End it and remove its folder."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- databases -----------------------------------------------------------------------------

    def url(self, name: str) -> str:
        """SQLAlchemy's URL of a database."""
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"

    def connect(self, name: str = "postgres") -> "psycopg.Connection[tuple]":
        """A connection of the superuser, which commits by itself."""
        return psycopg.connect(f"host={self.folder} dbname={name} user=postgres", autocommit=True)

    def execute(self, statement: str, name: str = "postgres") -> list[tuple]:
        """Run a statement as the superuser; gives its rows, if it has any."""
        with self.connect(name) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def empty_database(self) -> str:
        """A new database without any table; gives its name."""
        name = f"test_{next(self._databases)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def new_database(self, template: str | None = None) -> str:
        """A new database with the newest schema, or a copy of another one; gives its name."""
        name = f"test_{next(self._databases)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template or self._migrated}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @cached_property
    def _migrated(self) -> str:
        """Alembic takes its time, once for all tests."""
        self.execute(f"CREATE DATABASE {_TEMPLATE}")
        database = Database(self.url(_TEMPLATE))
        migrate(database)
        database.close()
        return _TEMPLATE
