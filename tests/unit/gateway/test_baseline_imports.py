"""Imports of reference networks: on disk when accepted, seen all at once or not at all, repeatable."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from baseline_scene import OCTETS, Reader, imported, importer, lines, names, network, upload
from sqlalchemy import func, select

from contracts.jobs import NetworkImportLine
from gateway.config import Settings
from gateway.infra import baseline_spool
from gateway.infra.baseline_import_journal import ImportJournal
from gateway.infra.baseline_imports import (
    MAX_OPEN_IMPORTS,
    BaselineImportStore,
    ImportUnknown,
    TooManyImports,
)
from gateway.infra.baseline_spool import SpooledFile
from gateway.infra.baseline_tables import BaselineResultRow, BaselineRow, BaselineSourceRow
from gateway.infra.database import Database, StorageUnavailable
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable
from gateway.loop import baseline_import
from gateway.loop.baseline_import import Stopped
from gateway.routes import baseline_imports as routes
from gateway.routes.problems import RequestProblem

CUT_OFF = ServiceUnavailable("generator", "hung up")


@pytest.fixture(autouse=True)
def _quick_and_clean(scene, monkeypatch):
    scene.services.baseline_spool.discard_all_but([])
    monkeypatch.setattr(baseline_import, "FIRST_DELAY_SECONDS", 0.0)


def spooled(scene) -> list[str]:
    folder = scene.services.settings.home / baseline_spool.FOLDER
    return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []


def stored_rows(scene) -> list[int]:
    with scene.services.database.read() as session:
        tables = (BaselineRow, BaselineSourceRow, BaselineResultRow)
        return [session.scalar(select(func.count()).select_from(table)) for table in tables]


def test_an_accepted_file_is_on_disk_and_its_networks_are_seen_when_all_are_in(scene):
    accepted = upload(scene, b"the wheel")
    assert accepted.status_code == 202
    location = accepted.headers["location"]
    assert spooled(scene) == [location.rpartition("/")[2]]
    assert (scene.http.get(location).json()["state"], names(scene)) == ("queued", [])
    seen_before_the_end = []

    def watched():
        yield from lines(network("a"), network("b"))[:-1]
        seen_before_the_end.append(names(scene))
        yield lines()[-1]

    reader = Reader(watched())
    assert importer(scene, reader).import_next()
    assert reader.files == [b"the wheel"]
    assert seen_before_the_end == [[]]
    ended = scene.http.get(location, params={"wait": 5}).json()
    assert ended["state"] == "succeeded"
    expected = {"total": 2, "read": 2, "stored": 2, "unchanged": 0, "refused": {}, "waiting_for": None}
    assert ended["progress"] == expected
    wheel = ended["summary"]["wheel"]
    assert (wheel["package"], wheel["version"], wheel["licence"]) == ("nn-dataset", "2.1.2", "MIT")
    assert names(scene) == ["lemur/a", "lemur/b"]
    assert spooled(scene) == []


def test_a_second_import_of_the_same_networks_changes_nothing(scene):
    networks = [network("a", accuracies={"mnist": 0.5}), network("b")]
    imported(scene, *networks)
    before = (scene.http.get("/v1/baselines").json(), stored_rows(scene))
    again = imported(scene, *networks)
    assert (again["progress"]["stored"], again["progress"]["unchanged"]) == (0, 2)
    assert (scene.http.get("/v1/baselines").json(), stored_rows(scene)) == before


def test_the_same_file_sent_twice_at_a_time_is_one_import(scene):
    first, second = upload(scene), upload(scene)
    assert first.headers["location"] == second.headers["location"]
    assert len(spooled(scene)) == 1
    assert upload(scene, b"another").headers["location"] != first.headers["location"]


def test_what_is_refused_is_counted_by_reason(scene):
    progress = imported(scene, network("a"), refused=("syntax_error", "too_large", "too_large"))["progress"]
    assert (progress["read"], progress["stored"]) == (4, 1)
    assert progress["refused"] == {"syntax_error": 1, "too_large": 2}


def test_of_two_networks_with_one_name_the_first_is_taken(scene):
    progress = imported(scene, network("a", family="first"), network("a", family="second"))["progress"]
    assert progress["refused"] == {"name_repeated": 1}
    assert scene.http.get("/v1/baselines/lemur/a").json()["family"] == "first"


def test_a_reading_that_is_cut_off_begins_anew_and_finds_its_own_rows(scene, monkeypatch):
    monkeypatch.setattr(baseline_import, "BATCH", 1)
    whole = lines(network("a"), network("b"), network("c"))
    accepted = upload(scene)
    assert importer(scene, Reader([*whole[:3], CUT_OFF], whole[:4], whole)).import_next()
    ended = scene.http.get(accepted.headers["location"]).json()
    assert (ended["state"], ended["progress"]["stored"]) == ("succeeded", 3)
    assert names(scene) == ["lemur/a", "lemur/b", "lemur/c"]
    assert stored_rows(scene)[0] == 3


def test_an_import_stopped_with_the_gateway_goes_on_at_the_next_start(scene, monkeypatch):
    monkeypatch.setattr(baseline_import, "BATCH", 1)
    whole = lines(network("a"), network("b"))
    accepted = upload(scene)
    stopping = threading.Event()

    def until_stopped():
        yield from whole[:2]
        stopping.set()
        yield whole[2]

    with pytest.raises(Stopped):
        importer(scene, Reader(until_stopped()), stopping).import_next()
    assert names(scene) == []
    assert importer(scene, Reader(whole)).import_next()
    assert scene.http.get(accepted.headers["location"]).json()["progress"]["stored"] == 2
    assert names(scene) == ["lemur/a", "lemur/b"]


@pytest.mark.parametrize("where", ["before the first line", "after some networks"])
def test_a_file_that_cannot_be_read_fails_with_the_readers_words_and_leaves_nothing(
    scene, monkeypatch, where
):
    monkeypatch.setattr(baseline_import, "BATCH", 1)
    problem = {"code": "wheel_refused", "detail": "This is no wheel.", "remedy": "Send another."}
    reading = [ServiceRefused("generator", 422, problem)]
    if where == "after some networks":
        reading = [*lines(network("a"), network("b"))[:3], NetworkImportLine(failed=problem)]
    accepted = upload(scene)
    assert importer(scene, Reader(reading)).import_next()
    ended = scene.http.get(accepted.headers["location"]).json()
    assert ended["state"] == "failed"
    expected = {"code": "wheel_refused", "message": "This is no wheel.", "remedy": "Send another."}
    assert ended["failure"] == expected
    assert stored_rows(scene) == [0, 0, 0]
    assert spooled(scene) == []


def test_a_failed_import_leaves_what_was_there_before(scene, monkeypatch):
    monkeypatch.setattr(baseline_import, "BATCH", 1)
    imported(scene, network("a", family="old"))
    upload(scene)
    broken = [*lines(network("a", family="new"), network("b"))[:3], NetworkImportLine(failed={})]
    importer(scene, Reader(broken)).import_next()
    assert names(scene) == ["lemur/a"]
    assert scene.http.get("/v1/baselines/lemur/a").json()["family"] == "old"


def test_a_newer_version_takes_the_place_of_the_older(scene):
    imported(scene, network("a", family="old"), network("b"))
    progress = imported(scene, network("a", family="new", source="import torch\n"), network("b"))["progress"]
    assert (progress["stored"], progress["unchanged"]) == (1, 1)
    assert names(scene) == ["lemur/a", "lemur/b"]
    found = scene.http.get("/v1/baselines/lemur/a").json()
    assert (found["family"], found["source"]) == ("new", "import torch\n")
    assert stored_rows(scene)[:2] == [2, 2]


def test_a_reader_that_never_ends_its_list_fails_the_import_in_the_end(scene):
    accepted = upload(scene)
    reader = Reader(lines(network("a"))[:-1])
    assert importer(scene, reader).import_next()
    failure = scene.http.get(accepted.headers["location"]).json()["failure"]
    assert failure["code"] == "reader_lost"
    assert "ended before its summary" in failure["message"]
    assert len(reader.files) == baseline_import.TRIES


def test_a_reader_that_is_busy_is_asked_again(scene):
    busy = ServiceRefused("generator", 409, {"code": "import_running"})
    accepted = upload(scene)
    readings = [[busy]] * (baseline_import.TRIES + 3)
    importer(scene, Reader(*readings, lines(network("a")))).import_next()
    assert scene.http.get(accepted.headers["location"]).json()["state"] == "succeeded"


def full(*_):
    """In the place of a step of the journal, while the disk has no room."""
    raise StorageUnavailable("database or disk is full")


def test_a_database_that_stays_full_fails_the_import_and_says_so(scene, monkeypatch):
    accepted = upload(scene)
    with monkeypatch.context() as patched:
        patched.setattr(ImportJournal, "fill", full)
        importer(scene, Reader(lines(network("a")))).import_next()
    failure = scene.http.get(accepted.headers["location"]).json()["failure"]
    assert failure["code"] == "database_unwritable"
    assert "database or disk is full" in failure["message"]
    assert "Free some space" in failure["remedy"]
    assert stored_rows(scene) == [0, 0, 0]


def test_a_gateway_that_breaks_over_an_import_does_not_blame_the_reader(scene, monkeypatch):
    def broken(*_):
        raise ValueError("a column is too short")

    accepted = upload(scene)
    monkeypatch.setattr(ImportJournal, "fill", broken)
    importer(scene, Reader(lines(network("a")))).import_next()
    failure = scene.http.get(accepted.headers["location"]).json()["failure"]
    assert failure["code"] == "import_broken"
    assert "ValueError" in failure["message"]
    assert "the gateway's log" in failure["remedy"]


@pytest.mark.parametrize("gateway", ["that runs on", "that was killed"])
def test_what_a_failed_import_could_not_clear_is_cleared_when_there_is_room(scene, monkeypatch, gateway):
    monkeypatch.setattr(baseline_import, "BATCH", 1)
    upload(scene)
    some = lines(network("a"), network("b"))[:3]
    imports = importer(scene, Reader([*some, NetworkImportLine(failed={})]))
    with monkeypatch.context() as patched:
        patched.setattr(ImportJournal, "clear", full)
        assert imports.import_next()
        with pytest.raises(StorageUnavailable):  # and the conductor tries again
            imports.import_next()
    assert stored_rows(scene)[:2] == [2, 2]
    if gateway == "that was killed":
        imports = importer(scene, Reader([]))
    assert not imports.import_next()
    assert stored_rows(scene) == [0, 0, 0]


def test_what_a_reader_that_stays_busy_is_waited_for_is_written_down_once(scene, monkeypatch):
    accepted = upload(scene)
    journal = ImportJournal(scene.services.database)
    journal.wait_for(accepted.json()["id"], "a reader")
    monkeypatch.setattr(scene.services.database, "write", lambda: pytest.fail("written again"))
    journal.wait_for(accepted.json()["id"], "a reader")


def test_a_lost_file_fails_the_import(scene):
    accepted = upload(scene)
    scene.services.baseline_spool.discard(accepted.headers["location"].rpartition("/")[2])
    assert importer(scene, Reader(lines())).import_next()
    assert scene.http.get(accepted.headers["location"]).json()["failure"]["code"] == "file_lost"


def test_uploads_that_nobody_waits_for_are_removed(scene):
    kept = upload(scene).headers["location"].rpartition("/")[2]
    folder = scene.services.settings.home / baseline_spool.FOLDER
    (folder / "bi_1.part").write_bytes(b"cut off")
    scene.services.baseline_spool.discard_all_but([kept])
    assert spooled(scene) == [kept]


def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(scene, monkeypatch):
    monkeypatch.setattr(baseline_spool, "MAX_FILE_BYTES", 1000)
    refused = scene.http.post(
        "/v1/baselines:import?origin=lemur", content=iter([b"x" * 600] * 2), headers=OCTETS
    )
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    monkeypatch.setattr(routes, "MAX_FILE_BYTES", 1000)
    assert upload(scene, b"x" * 1001).status_code == 413
    assert spooled(scene) == []
    assert scene.http.get("/v1/baselines/imports").json()["items"] == []


def test_a_full_disk_refuses_the_file_and_leaves_nothing(scene, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    refused = upload(scene)
    assert (refused.status_code, refused.json()["code"]) == (507, "disk_full")
    assert "No space left" in refused.json()["detail"]
    assert spooled(scene) == []


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [("?origin=lemur", {"content-type": "text/plain"}, 415), ("?origin=oak", OCTETS, 422), ("", OCTETS, 422)],
)
def test_a_request_that_makes_no_sense_is_refused(scene, query, headers, status):
    answer = scene.http.post(f"/v1/baselines:import{query}", content=b"x", headers=headers)
    assert answer.status_code == status
    assert spooled(scene) == []


def test_no_more_than_a_few_imports_may_be_open(scene):
    for number in range(MAX_OPEN_IMPORTS):
        assert upload(scene, b"%d" % number).status_code == 202
    refused = upload(scene, b"one more")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_imports")
    assert "retry-after" in refused.headers


def test_of_many_accepted_at_once_no_more_are_open_than_may_be(database_url):
    database = Database(database_url)
    store, begin = BaselineImportStore(database), Barrier(8)

    def accept(number: int) -> bool:
        begin.wait(10)
        try:
            with database.write() as session:
                store.create(session, f"bi_{number}", "ann", "lemur", SpooledFile(f"{number}", 1))
        except TooManyImports:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(accept, range(8))) == MAX_OPEN_IMPORTS
    assert not store.has_room()
    database.close()


def test_a_server_that_others_reach_takes_no_imports(scene):
    settings = Settings(gateway_address="http://0.0.0.0:8000", home=scene.services.settings.home)
    with pytest.raises(RequestProblem) as refused:
        routes._require_permission(replace(scene.services, settings=settings))
    assert refused.value.document["code"] == "import_not_allowed"


def test_imports_are_listed_newest_first_and_belong_to_their_tenant(scene):
    first, second = (upload(scene, content).json()["id"] for content in (b"1", b"2"))
    page = scene.http.get("/v1/baselines/imports", params={"limit": 1}).json()
    assert [item["id"] for item in page["items"]] == [second]
    rest = scene.http.get("/v1/baselines/imports", params={"cursor": page["next_cursor"]}).json()
    assert ([item["id"] for item in rest["items"]], rest["next_cursor"]) == ([first], None)
    with pytest.raises(ImportUnknown):
        scene.services.baseline_imports.read(first, "somebody-else")
    unknown = scene.http.get("/v1/baselines/imports/bi_0")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "import_unknown")
