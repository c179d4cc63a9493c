import pytest
from gateway_scene import SOURCE, gateway_in
from sqlalchemy import event

from gateway.infra.database import StorageUnavailable


@pytest.fixture
def full(scene):
    """The database can grow no further, as on a full disk; gives what makes room again."""
    database = scene.services.database
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    database.engine.dispose()

    def limit(connection, _record):
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(database.engine, "connect", limit)
    yield lambda: (event.remove(database.engine, "connect", limit), database.engine.dispose())
    if event.contains(database.engine, "connect", limit):
        event.remove(database.engine, "connect", limit)
        database.engine.dispose()


def fill(scene):
    """Submit until the disk is full; gives what was accepted, and the first refusal."""
    accepted = []
    for number in range(200):
        source = f"{SOURCE}# {number} {'x' * 20_000}\n"
        answer = scene.http.post("/v1/evaluations", json={"source": source, "dataset": "digits"})
        if answer.status_code != 202:
            return accepted, answer
        accepted.append(answer.json())
    raise AssertionError("the disk never filled")


@pytest.mark.sqlite
def test_a_full_disk_is_told_and_what_was_accepted_is_kept(scene, full):
    accepted, refusal = fill(scene)
    assert (refusal.status_code, refusal.json()["code"]) == (503, "storage_unavailable")
    assert refusal.headers["retry-after"]
    assert "DELTANAS_HOME" in refusal.json()["remedy"]
    assert scene.stored() == len(accepted)
    full()
    scene.submit()
    assert scene.stored() == len(accepted) + 1


def test_a_database_that_may_only_be_read_is_still_read(tmp_path):
    with gateway_in(tmp_path) as scene:
        scene.agent.heartbeat()
        evaluation = scene.submit()
        engine = scene.services.database.engine
        read_only = {"sqlite": "PRAGMA query_only=ON", "postgresql": "SET TRANSACTION READ ONLY"}
        event.listen(engine, "begin", lambda begun: begun.exec_driver_sql(read_only[engine.dialect.name]))
        assert scene.read(evaluation)["state"] == "queued"
        answer = scene.http.delete(f"/v1/evaluations/{evaluation['id']}")
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
        with pytest.raises(StorageUnavailable), scene.services.database.write() as session:
            session.connection().exec_driver_sql("DELETE FROM evaluations")


def test_a_disk_that_is_nearly_full_is_a_reason_not_to_be_ready(scene, monkeypatch):
    assert scene.http.get("/readyz").status_code == 200
    monkeypatch.setattr("gateway.routes.operations.LEAST_FREE_MIB", 10**12)
    answer = scene.http.get("/readyz")
    assert answer.status_code == 503
    assert "MiB free" in answer.json()["reasons"][0]
