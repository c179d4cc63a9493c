"""`deltanas keys`, `quota`, `audit` and `tenants` against a gateway that gives prepared answers."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from deltanas.home import Home
from deltanas.services import environment_of
from deltanas.supervisor import BindRefused, ServiceFailed, _require_keys_beyond_loopback

KEY = {
    "id": "key_1", "tenant": "ann", "label": "ci\x1b[2J", "prefix": "dn_AbCdEf", "scopes": ["read", "submit"],
    "in_force": True, "created_at": "2026-01-01T00:00:00Z", "expires_at": None, "last_used_at": None,
    "replaced_by": None, "revoked_at": None,
}  # fmt: skip
NEW = {**KEY, "key": "dn_" + "x" * 43}
QUOTA = {
    "tenant": "ann", "weight": 2.0, "queued": {"used": 7, "limit": 10_000},
    "running": {"used": 1, "limit": None},
    "gpu_seconds_per_day": {"used": 30, "limit": 3600}, "storage_bytes": {"used": None, "limit": None},
    "searches": {"used": 2, "limit": 100},
}  # fmt: skip
ENTRY = {
    "id": 3, "at": "2026-01-01T00:00:00Z", "tenant": "ann", "actor": "key_1",
    "action": "POST /v1/evaluations", "target": "/v1/evaluations/ev_1", "status": 202,
    "request_id": "r", "address": "192.0.2.7",
}  # fmt: skip


def test_a_new_key_is_alone_on_standard_output(gateway, deltanas):
    gateway.answer("POST", "/v1/keys", NEW, status=201)
    ended = deltanas("keys", "create", "--tenant", "ann", "--scope", "read", "--scope", "submit")
    assert (ended.code, ended.out) == (0, NEW["key"] + "\n")
    assert "not shown again" in ended.err
    asked = gateway.heard[-1].json
    assert (asked["tenant"], asked["scopes"]) == ("ann", ["read", "submit"])


def test_keys_are_listed_without_what_opens_the_door(gateway, deltanas):
    gateway.answer("GET", "/v1/keys", {"items": [KEY], "next_cursor": None})
    ended = deltanas("keys", "list")
    assert ended.code == 0
    for part in ("key_1", "ann", "dn_AbCdEf…", "read submit", "never"):
        assert part in ended.out
    assert "\x1b" not in ended.out


def test_rotating_and_revoking_say_what_becomes_of_the_old_key(gateway, deltanas):
    gateway.answer("POST", "/v1/keys/key_1:rotate", NEW, status=201)
    gateway.answer("DELETE", "/v1/keys/key_1", {**KEY, "in_force": False})
    rotated = deltanas("keys", "rotate", "key_1", "--overlap-hours", 2)
    assert rotated.out.strip() == NEW["key"]
    assert "2 hours" in rotated.err
    assert gateway.heard[-1].json["overlap_hours"] == 2.0
    assert "opens nothing" in deltanas("keys", "revoke", "key_1").err


def test_what_is_used_is_shown_beside_what_is_allowed(gateway, deltanas):
    gateway.answer("GET", "/v1/quota", QUOTA)
    gateway.answer("GET", "/v1/tenants", {"items": [QUOTA], "next_cursor": None})
    assert json.loads(deltanas("quota", "--json").out) == QUOTA
    shown = deltanas("quota").out
    for part in ("ann", "10,000", "none", "3,600"):
        assert part in shown
    assert "7 of 10,000" in deltanas("tenants", "list").out


def test_limits_are_set_and_given_back(gateway, deltanas):
    gateway.answer("PATCH", "/v1/tenants/ann", QUOTA)
    ended = deltanas(
        "tenants", "set-quota", "ann", "--queued", "500", "--running", "default", "--weight", "2.5"
    )
    assert ended.code == 0
    assert gateway.heard[-1].json == {"queued": 500, "running": None, "weight": 2.5}


@pytest.mark.parametrize("words", [(), ("--queued", "many")])
def test_limits_that_make_no_sense_are_bad_usage(gateway, deltanas, words):
    assert deltanas("tenants", "set-quota", "ann", *words).code == 2


def test_the_audit_log_is_shown(gateway, deltanas):
    gateway.answer("GET", "/v1/audit", {"items": [ENTRY], "next_cursor": None})
    ended = deltanas("audit", "--limit", 5)
    for part in ("key_1", "POST /v1/evaluations", "202", "192.0.2.7"):
        assert part in ended.out


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_is_served_without_keys(tmp_path, host):
    _require_keys_beyond_loopback(Home(tmp_path), host)


@pytest.mark.slow
def test_a_database_that_cannot_be_read_is_not_taken_for_one_without_keys(tmp_path):
    (tmp_path / "gateway.sqlite3").write_bytes(b"no database" * 500)
    with pytest.raises(ServiceFailed, match="cannot be read"):
        _require_keys_beyond_loopback(Home(tmp_path), "0.0.0.0")


@pytest.mark.slow
def test_any_other_address_is_served_once_a_key_is_in_force(tmp_path):
    home = Home(tmp_path)
    for host in ("0.0.0.0", "::", "192.0.2.7"):
        with pytest.raises(BindRefused, match="deltanas keys create"):
            _require_keys_beyond_loopback(home, host)
    argv = [sys.executable, "-m", "gateway.key_desk", "create-operator"]
    key = subprocess.check_output(argv, env=environment_of("gateway", tmp_path), text=True)
    assert key.startswith("dn_")
    _require_keys_beyond_loopback(home, "0.0.0.0")
    with closing(sqlite3.connect(tmp_path / "gateway.sqlite3")) as database:
        (made,) = database.execute("SELECT actor, action, target, status FROM audit_entries").fetchall()
        (key_id,) = database.execute("SELECT id FROM api_keys").fetchone()
    assert made == ("local", "gateway.key_desk create-operator", f"/v1/keys/{key_id}", 201)
