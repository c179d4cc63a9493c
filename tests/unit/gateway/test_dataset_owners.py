"""Whose a data set is, from before its first byte on: it takes its room, and is never everybody's."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from gateway.infra.database import Database
from gateway.infra.dataset_owners import DatasetNameTaken, DatasetOwners
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable
from gateway.infra.tenant_storage import measure_storage

OCTETS = {"content-type": "application/octet-stream"}


@pytest.fixture
def bearers(scene):
    """Headers of two tenants, of whom ann may store a thousand bytes."""
    scene.http.patch("/v1/tenants/ann", json={"storage_bytes": 1000})
    made = {}
    for tenant in ("ann", "bob"):
        key = scene.http.post("/v1/keys", json={"tenant": tenant, "scopes": ["admin"]}).json()
        made[tenant] = {"authorization": f"Bearer {key['key']}"}
    return made


def send(scene, headers, name, content):
    return scene.http.post("/v1/datasets", params={"name": name}, content=content, headers=headers | OCTETS)


def test_data_sets_count_as_soon_as_they_are_there(scene, bearers):
    assert send(scene, bearers["ann"], "first", b"x" * 600).status_code == 201
    refused = send(scene, bearers["ann"], "second", b"x" * 600)
    assert (refused.status_code, refused.json()["code"]) == (403, "storage_full")
    assert scene.http.get("/v1/quota", headers=bearers["ann"]).json()["storage_bytes"]["used"] == 600
    measure_storage(scene.services.database)
    assert send(scene, bearers["ann"], "second", b"x" * 400).status_code == 201
    assert send(scene, bearers["bob"], "third", b"x" * 2000).status_code == 201


def test_what_does_not_say_how_much_it_is_ends_where_the_room_ends(scene, bearers):
    chunks = (b"x" * 300 for _ in range(100))
    refused = send(scene, bearers["ann"], "endless", chunks)
    assert (refused.status_code, refused.json()["code"]) == (403, "storage_full")
    assert scene.http.get("/v1/quota", headers=bearers["ann"]).json()["storage_bytes"]["used"] == 0
    assert send(scene, bearers["bob"], "endless", b"x").status_code == 201


@pytest.mark.parametrize(
    ("trouble", "status_of_bob"),
    [
        (ServiceRefused("runner", 422, {"code": "dataset_invalid", "detail": "no images"}), 201),
        (ServiceUnavailable("runner", "no answer"), 409),
    ],
)
def test_a_name_is_free_again_only_where_nothing_can_have_come_of_it(
    scene, bearers, monkeypatch, trouble, status_of_bob
):
    async def fails(_name, content):
        async for _ in content:
            pass
        raise trouble

    with monkeypatch.context() as patched:
        patched.setattr(scene.runner, "upload_dataset", fails)
        assert send(scene, bearers["ann"], "maybe", b"x" * 10).status_code == trouble_status(trouble)
    hidden = scene.services.datasets.owners.hidden_from("bob")
    assert ("maybe" in hidden) is (status_of_bob == 409)
    assert send(scene, bearers["bob"], "maybe", b"x").status_code == status_of_bob


def trouble_status(trouble) -> int:
    return 422 if isinstance(trouble, ServiceRefused) else 503


def test_an_upload_that_fails_leaves_the_name_to_a_later_one(scene):
    owners: DatasetOwners = scene.services.datasets.owners
    with scene.services.database.write() as session:
        first = owners.reserve(session, "mine", "ann", 1)
        assert owners.reserve(session, "mine", "ann", 1) is None
    owners.release("mine", first)
    assert "mine" in owners.hidden_from("bob")


def test_of_two_tenants_that_want_a_name_at_once_one_gets_it(database_url):
    database = Database(database_url)
    owners, begin = DatasetOwners(database), Barrier(6)

    def reserve(number: int) -> bool:
        begin.wait(10)
        try:
            with database.write() as session:
                owners.reserve(session, "flowers", f"tenant-{number}", 1)
        except DatasetNameTaken:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(reserve, range(6))) == 1
    database.close()
