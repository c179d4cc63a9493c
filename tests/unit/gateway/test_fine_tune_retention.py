"""Ended fine-tunes go after their days; an adapter that somebody has to do with never does."""

from datetime import timedelta

import pytest
from search_scene import accept, request

from contracts.fine_tuning import FineTuneState
from contracts.names import SearchState
from gateway.domain.fine_tuning import FineTuneRequest
from gateway.domain.retention import Retention
from gateway.infra.database import Database, utc_now
from gateway.infra.events import read_events
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.fine_tunes import add_fine_tune, fine_tune_topic
from gateway.infra.retention import Forgetting
from gateway.infra.search_tables import CycleRow, SearchRow


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


def a_job(database, parent=None, *, days=100, search_id=None, **fields) -> str:
    """An ended job with an adapter."""
    with database.write() as session:
        row = add_fine_tune(session, "local", FineTuneRequest("tiny", parent, {}, None, None))
        changes = {
            "state": FineTuneState.SUCCEEDED,
            "is_settled": True,
            "has_adapter": True,
            "finished_at": utc_now() - timedelta(days=days),
            "search_id": search_id,
            "after_cycle": None if search_id is None else 1,
            **fields,
        }
        for name, value in changes.items():
            setattr(row, name, value)
        return row.id


def forget(database, gone=None, days=90) -> list[str]:
    """One round; gives whose adapters went."""
    gone = [] if gone is None else gone
    Forgetting(database, Retention(events=None, fine_tunes=days), [].append, gone.append).run(lambda: False)
    return gone


def kept(database, *ids) -> list[bool]:
    with database.read() as session:
        return [session.get(FineTuneRow, one) is not None for one in ids]


def test_an_old_job_of_nobody_goes_with_its_adapter_and_its_events_and_a_young_one_stays(database):
    old, young = a_job(database), a_job(database, days=10)
    assert forget(database) == [old]
    assert kept(database, old, young) == [False, True]
    assert not read_events(database, fine_tune_topic(old), 0)
    assert read_events(database, fine_tune_topic(young), 0)
    assert forget(database) == []


def test_without_a_number_all_stay(database):
    old = a_job(database)
    assert forget(database, days=None) == []
    assert kept(database, old) == [True]


@pytest.mark.parametrize("fields", [{"state": FineTuneState.RUNNING}, {"is_settled": False}])
def test_what_goes_on_or_is_still_ending_elsewhere_stays(database, fields):
    job = a_job(database, **fields)
    assert forget(database) == []
    assert kept(database, job) == [True]


def test_an_adapter_stays_as_long_as_another_goes_on_from_it(database):
    parent = a_job(database)
    child = a_job(database, parent, days=10)
    open_child = a_job(database, parent, state=FineTuneState.RUNNING, has_adapter=False)
    assert forget(database) == []
    with database.write() as session:
        for one in (child, open_child):
            row = session.get_one(FineTuneRow, one)
            row.state, row.finished_at = FineTuneState.SUCCEEDED, utc_now() - timedelta(days=100)
    gone = forget(database)
    assert sorted(gone) == sorted([parent, child, open_child])
    assert gone.index(child) < gone.index(parent)


@pytest.mark.parametrize("how", ["learnt", "proposes", "begins"])
@pytest.mark.parametrize("state", [SearchState.RUNNING, SearchState.PAUSED, SearchState.SUCCEEDED])
def test_an_adapter_stays_with_the_search_that_uses_it(database, how, state):
    search = accept(database, request())
    job = a_job(database, search_id=search if how == "learnt" else None)
    with database.write() as session:
        row = session.get_one(SearchRow, search)
        row.state = state
        row.request = {**row.request, "adapter": job if how == "begins" else None}
        if how == "proposes":
            session.add(CycleRow(search_id=search, cycle=1, opened_at=utc_now(), adapter=job))
    stays = how != "begins" or state is not SearchState.SUCCEEDED
    assert kept(database, job) == [True]
    assert (forget(database) == []) is stays
    with database.write() as session:
        session.delete(session.get_one(SearchRow, search))
    forget(database)
    assert kept(database, job) == [False]


def test_a_generator_that_is_away_is_asked_again(database):
    job = a_job(database)

    def away(_job_id):
        raise RuntimeError("away")

    with pytest.raises(RuntimeError):
        Forgetting(database, Retention(fine_tunes=90), [].append, away).run(lambda: False)
    assert kept(database, job) == [True]
    assert forget(database) == [job]
    assert kept(database, job) == [False]
