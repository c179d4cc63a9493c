"""A tenant goes with all that is its own: rows, files, and what other services keep. Nobody else's goes."""

from dataclasses import asdict, replace

import pytest
from fakes import FakeFarm, outcome
from gateway_scene import SOURCE, gateway_in
from search_scene import Scene as LoopScene
from sqlalchemy import insert, select

from gateway.domain.fine_tuning import FineTuneRequest
from gateway.infra.database import Base, utc_now
from gateway.infra.fine_tune_journal import FineTuneJournal
from gateway.infra.fine_tunes import add_fine_tune
from gateway.infra.search_tables import SearchRow
from gateway.infra.tables import EvaluationRow
from gateway.infra.tenant_leftovers import Leftovers
from gateway.infra.tenant_tables import DatasetOwnerRow

MARK = "marker-of-the-tenant-blue"


@pytest.fixture
def scene(tmp_path):
    with gateway_in(tmp_path) as made:
        made.agent.heartbeat()
        yield made


@pytest.fixture
def keys(scene):
    """Of two tenants, who both have an evaluation, a search that has ended and one that goes on."""
    made = {}
    for tenant in ("blue", "green"):
        _, key = scene.services.keys.create(tenant)
        made[tenant] = {"authorization": f"Bearer {key}"}
        fill(scene, made[tenant], MARK if tenant == "blue" else "green")
    return made


def fill(scene, headers, mark):
    scene.submit(headers=headers, source=f"{SOURCE}# {mark}\n", tags=[mark], reuse=False)
    scene.agent.heartbeat()
    claimed = scene.agent.claim_next()
    scene.agent.send(claimed, {**asdict(outcome(claimed.spec)), "log": mark})
    for _ in range(2):
        body = {"dataset": "digits", "cycles": 1, "candidates_per_cycle": 3, "final_seeds": 2, "name": mark}
        answer = scene.http.post("/v1/searches", json=body, headers=headers)
        assert answer.status_code == 202, answer.text
    loop = LoopScene(scene.services.database, answer.json()["id"], scene.generator, scene.filter)
    loop.finish()
    scene.submit(headers=headers | {"idempotency-key": mark}, source=f"{SOURCE}# {mark} 2\n")
    with scene.services.database.write() as session:
        session.add(
            DatasetOwnerRow(name=mark[:60], tenant=mark_tenant(mark), size_bytes=1, created_at=utc_now())
        )


def mark_tenant(mark):
    return "blue" if mark == MARK else mark


def remove(scene, tenant, **body):
    answer = scene.http.post(f"/v1/tenants/{tenant}:remove", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def rows_of(scene, tenant):
    """By table, as the database has them."""
    with scene.services.database.read() as session:
        return {
            table.name: len(session.execute(select(table).where(table.c.tenant == tenant)).all())
            for table in Base.metadata.sorted_tables
            if "tenant" in table.c
        }


def all_bytes(scene):
    """All files, and all rows: a database that is no file holds as much."""
    files = (path.read_bytes() for path in scene.services.settings.home.rglob("*") if path.is_file())
    with scene.services.database.read() as session:
        rows = [session.execute(select(table)).all() for table in Base.metadata.sorted_tables]
    return b"".join(files) + repr(rows).encode()


def test_a_dry_run_tells_what_would_go_and_nothing_goes(scene, keys):
    before = rows_of(scene, "blue")
    told = remove(scene, "blue")
    assert told["dry_run"] is True
    assert told["rows"]["searches"] == 2
    assert told["rows"]["attempts"] >= told["rows"]["evaluations"] > 2
    assert rows_of(scene, "blue") == before


def test_nothing_of_a_tenant_is_left_anywhere(scene, keys):
    assert MARK.encode() in all_bytes(scene)
    green = rows_of(scene, "green")
    scene.runner.removed.clear()
    assert remove(scene, "blue", dry_run=False)["rows"]["searches"] == 2
    assert MARK.encode() not in all_bytes(scene)
    assert not any(rows_of(scene, "blue").values())
    assert rows_of(scene, "green") == green
    assert scene.runner.removed == [MARK[:60]]
    with scene.services.database.read() as session:
        kept = {f"search:{search}" for search in session.scalars(select(SearchRow.id))}
    assert set(scene.filter.scopes) <= kept
    assert remove(scene, "blue")["rows"] == {}


def test_a_removed_tenants_key_opens_nothing_and_others_go_on(scene, keys):
    remove(scene, "blue", dry_run=False)
    assert scene.http.get("/v1/evaluations", headers=keys["blue"]).status_code == 401
    assert len(scene.http.get("/v1/searches", headers=keys["green"]).json()["items"]) == 2
    assert FakeFarm(scene.services.database).work() > 0


def test_a_service_that_is_away_stops_the_removal_which_is_then_taken_up_again(scene, keys, monkeypatch):
    forget, calls = scene.filter.forget, []

    def away(scope):
        calls.append(scope)
        if len(calls) == 2:
            raise OSError("gone")
        forget(scope)

    monkeypatch.setattr(scene.filter, "forget", away)
    assert scene.http.post("/v1/tenants/blue:remove", json={"dry_run": False}).status_code == 500
    assert any(rows_of(scene, "blue").values())
    remove(scene, "blue", dry_run=False)
    assert not any(rows_of(scene, "blue").values())


def test_a_data_set_that_another_host_still_has_becomes_nobodys_and_not_everybodys(scene, keys):
    digits = scene.runner.reports[0]
    scene.agent.heartbeat(datasets=(digits, replace(digits, name=MARK[:60])))
    remove(scene, "blue", dry_run=False)
    for path in ("/v1/datasets", "/v1/capabilities"):
        answer = scene.http.get(path, headers=keys["green"])
        assert "digits" in answer.text
        assert MARK[:60] not in answer.text
    wanted = {"source": SOURCE, "dataset": MARK[:60]}
    refused = scene.http.post("/v1/evaluations", json=wanted, headers=keys["green"])
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_dataset")
    headers = keys["green"] | {"content-type": "application/octet-stream"}
    taken = scene.http.post(f"/v1/datasets?name={MARK[:60]}", content=b"x", headers=headers)
    assert (taken.status_code, taken.json()["code"]) == (409, "dataset_name_taken")


def test_nobody_drives_a_fine_tune_any_more_when_the_generator_forgets_it(scene, keys, monkeypatch):
    with scene.services.database.write() as session:
        job_id = add_fine_tune(session, "blue", FineTuneRequest("m", None, {}, None, None)).id
    journal, driven = FineTuneJournal(scene.services.database), []

    def forget(_leftovers, forgotten):
        driven.extend(job.id for known in (True, False) for job in journal.unsettled(submitted=known))
        assert forgotten == job_id

    monkeypatch.setattr(Leftovers, "forget_fine_tune", forget)
    assert [job.id for job in journal.unsettled(submitted=False)] == [job_id]
    remove(scene, "blue", dry_run=False)
    assert driven == []
    assert not any(rows_of(scene, "blue").values())


def test_only_the_operator_removes(scene, keys):
    refused = scene.http.post("/v1/tenants/blue:remove", json={"dry_run": False}, headers=keys["green"])
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert any(rows_of(scene, "blue").values())


def test_a_table_that_is_added_later_is_emptied_too(scene, keys):
    tables = {table.name for table in Base.metadata.sorted_tables if "tenant" in table.c}
    assert {"api_keys", "audit_entries", "idempotency_keys", "tenant_quotas"} <= tables
    with scene.services.database.write() as session:
        session.execute(
            insert(EvaluationRow).values(
                id="ev_odd", tenant="blue", state="failed", candidate_id="c", source=MARK, request={},
                dataset="d", device="cpu", tier_strength=0, priority=0, scored_on="all", split_key="k",
                reuse_key="r", flags=[], created_at=utc_now(),
            )
        )  # fmt: skip
    remove(scene, "blue", dry_run=False)
    assert not any(rows_of(scene, "blue").values())
