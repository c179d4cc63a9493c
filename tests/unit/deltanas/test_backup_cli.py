"""The command line of the operator: backup, restore, and the removal of a tenant."""

import json
import sqlite3

import pytest

from deltanas.cli import backup as backup_commands


@pytest.fixture
def home(tmp_path):
    """A state folder with the smallest database that is one."""
    folder = tmp_path / "home"
    folder.mkdir(exist_ok=True)
    with sqlite3.connect(folder / "gateway.sqlite3") as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('0010')")
    database.close()
    return folder


def test_a_home_is_saved_and_restored_elsewhere(deltanas, home, tmp_path, monkeypatch):
    saved = deltanas("backup", str(tmp_path / "b.tar.gz"), "--json")
    assert (saved.code, saved.json["files"], saved.json["schema"]) == (0, 1, "0010")
    monkeypatch.setenv("DELTANAS_HOME", str(tmp_path / "elsewhere"))
    assert deltanas("restore", str(tmp_path / "b.tar.gz"), "--json").json == saved.json
    assert (tmp_path / "elsewhere" / "gateway.sqlite3").is_file()
    again = deltanas("restore", str(tmp_path / "b.tar.gz"))
    assert again.code == 2
    assert "empty folder" in again.err


def test_what_is_no_backup_is_refused_in_words(deltanas, tmp_path):
    (tmp_path / "file").write_text("no")
    refused = deltanas("restore", str(tmp_path / "file"), "--json")
    assert (refused.code, refused.json["code"]) == (2, "ArchiveRefused")
    assert refused.json["remedy"]


def test_a_database_elsewhere_has_its_own_way(deltanas, home, tmp_path, monkeypatch):
    monkeypatch.setenv("DELTANAS_DATABASE_URL", "postgresql+psycopg://farm:hunter22@db/deltanas")
    refused = deltanas("backup", str(tmp_path / "b.tar.gz"))
    assert refused.code == 2
    assert "pg_dump" in refused.err
    assert "hunter22" not in refused.err
    assert deltanas("backup", str(tmp_path / "b.tar.gz"), "--files-only", "--json").json["files"] == 0


def test_a_run_that_breaks_off_is_the_platforms_failure(deltanas, tmp_path, monkeypatch):
    monkeypatch.setattr(backup_commands.sys, "executable", "/bin/false")
    assert deltanas("backup", str(tmp_path / "b.tar.gz")).code == 3


def test_a_tenant_is_removed_only_when_that_is_meant(deltanas, gateway):
    gateway.answer(
        "POST", "/v1/tenants/blue:remove", {"tenant": "blue", "dry_run": True, "rows": {"searches": 3}}
    )
    told = deltanas("tenants", "delete", "blue")
    assert told.code == 0
    assert "searches" in told.out
    assert "--yes" in told.err
    deltanas("tenants", "delete", "blue", "--yes", "--json")
    sent = [json.loads(heard.body) for heard in gateway.heard if heard.path.endswith(":remove")]
    assert sent == [{"dry_run": True}, {"dry_run": False}]
