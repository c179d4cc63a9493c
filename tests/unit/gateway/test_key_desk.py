"""The farm's first key is in the audit log, or it is not made."""

import sys

import pytest
from fresh_databases import sqlite_url

from gateway import key_desk
from gateway.infra.api_keys import ApiKeyStore
from gateway.infra.audit_log import AuditLog
from gateway.infra.database import Database, StorageUnavailable


@pytest.fixture
def database(tmp_path, monkeypatch):
    url = sqlite_url(tmp_path)
    monkeypatch.setenv("DELTANAS_HOME", str(tmp_path))
    monkeypatch.setenv("DELTANAS_DATABASE_URL", url)
    monkeypatch.setenv("DELTANAS_SERVICE_TOKEN", "family-token")
    monkeypatch.setattr(sys, "argv", ["key_desk", "create-operator"])
    opened = Database(url)
    yield opened
    opened.close()


def test_the_first_key_is_in_the_audit_log(database, capsys):
    key_desk.main()
    made = ApiKeyStore(database).find(capsys.readouterr().out.strip())
    ((_, entry),), _ = AuditLog(database).page(None, 10, None, None)
    assert (entry.tenant, entry.actor, entry.status) == (made.tenant, "local", 201)
    assert entry.target == f"/v1/keys/{made.id}"
    assert "create-operator" in entry.action


def test_no_key_is_made_that_the_audit_log_does_not_tell_of(database, capsys, monkeypatch):
    def away(_session, _entry):
        raise StorageUnavailable("the disk is full")

    monkeypatch.setattr(key_desk, "write_entry", away)
    with pytest.raises(SystemExit) as ended:
        key_desk.main()
    assert ended.value.code == key_desk.FAILED
    assert capsys.readouterr().out == ""
    assert not ApiKeyStore(database).any_in_force()
