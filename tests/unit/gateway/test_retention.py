"""What has had its time is forgotten, in small steps, and nothing else is."""

from datetime import timedelta

import pytest
from search_scene import Scene, accept, new_database, request
from sqlalchemy import delete, func, select, update

from gateway.domain.retention import Retention
from gateway.infra import database as infra_database
from gateway.infra import removal
from gateway.infra import retention as forgetting
from gateway.infra.database import Database, utc_now
from gateway.infra.events import EventRow, append_event
from gateway.infra.retention import Forgetting
from gateway.infra.search_tables import ModelCallRow, PromptTextRow, SearchRow, SlotRow
from gateway.infra.tables import AttemptRow, EvaluationRow


@pytest.fixture
def ended(tmp_path, monkeypatch):
    """A search that has ended, asked models, and left logs; steps are small."""
    for module in (forgetting, removal):
        monkeypatch.setattr(module, "STEP_ROWS", 3)
    monkeypatch.setattr(forgetting, "BREATH_SECONDS", 0.0)
    database = new_database(tmp_path)
    scene = Scene(database, accept(database, request()))
    scene.finish()
    with database.write() as session:
        session.execute(update(AttemptRow).values(log="loss 0.1"))
    yield scene
    database.close()


def count(scene, row, *conditions):
    with scene.database.read() as session:
        return session.scalar(select(func.count()).select_from(row).where(*conditions))


def grow_old(scene, days):
    """Everything that ended, or was told, did so this long ago."""
    moment = utc_now() - timedelta(days=days)
    with scene.database.write() as session:
        for column in (EvaluationRow.finished_at, AttemptRow.finished_at, SearchRow.finished_at):
            session.execute(update(column.class_).values(finished_at=moment))
        session.execute(update(EventRow).values(created_at=moment))


def forget(scene, rules, stop_after=10**6):
    """One round; gives which scopes the filter was told to forget."""
    scopes, steps = [], iter(range(10**7))
    Forgetting(scene.database, rules, scopes.append, [].append).run(lambda: next(steps) >= stop_after)
    return scopes


def test_by_default_no_result_and_no_word_of_a_model_is_ever_forgotten(ended):
    grow_old(ended, 10_000)
    before = [count(ended, row) for row in (EvaluationRow, SearchRow, SlotRow, ModelCallRow)]
    forget(ended, Retention())
    assert [count(ended, row) for row in (EvaluationRow, SearchRow, SlotRow, ModelCallRow)] == before
    assert count(ended, AttemptRow, AttemptRow.log != "") == 0
    assert count(ended, EventRow) == 0


def test_a_gateway_whose_clock_is_ahead_forgets_nothing_before_its_time(postgres_url, monkeypatch):
    database = Database(postgres_url)
    with database.write() as session:
        append_event(session, "search:se_1", "note", {})
    for module in (forgetting, infra_database):
        monkeypatch.setattr(module, "utc_now", lambda: utc_now() + timedelta(days=100), raising=False)
    Forgetting(database, Retention(events=90), [].append, [].append).run(lambda: False)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(EventRow)) == 1
    database.close()


def test_what_is_young_stays(ended):
    grow_old(ended, 5)
    events = count(ended, EventRow)
    forget(ended, Retention(attempt_logs=6, events=6, model_texts=6, evaluations=6, searches=6))
    assert count(ended, EventRow) == events
    assert count(ended, AttemptRow, AttemptRow.log == "") == 0
    assert count(ended, SearchRow) == 1


def test_a_round_that_was_cut_off_goes_on_where_it_stopped(ended):
    grow_old(ended, 100)
    logs = count(ended, AttemptRow, AttemptRow.log != "")
    forget(ended, Retention(events=None), stop_after=1)
    assert count(ended, AttemptRow, AttemptRow.log != "") == logs - 3
    forget(ended, Retention(events=None))
    assert count(ended, AttemptRow, AttemptRow.log != "") == 0


def test_words_of_models_go_and_what_they_cost_stays(ended):
    with ended.database.write() as session:
        slot = session.scalars(select(SlotRow).where(SlotRow.cycle == 1)).first()
        session.execute(delete(ModelCallRow))
        session.add(
            ModelCallRow(
                proposal_id=slot.proposal_id, place=0, search_id=slot.search_id, cycle=1, role="proposal",
                model="m", prompt_version="v", messages=[["user", "d"]], sampling={}, answer="my answer",
                finish_reason="stop", prompt_tokens=7, completion_tokens=5, cost_usd=0.5, seconds=1.0,
            )
        )  # fmt: skip
        session.merge(PromptTextRow(search_id=slot.search_id, sha256="d", text="my prompt"))
    grow_old(ended, 10)
    forget(ended, Retention(attempt_logs=None, events=None, model_texts=9))
    with ended.database.read() as session:
        call = session.scalars(select(ModelCallRow)).one()
        assert (call.answer, call.messages, call.prompt_tokens, call.cost_usd) == ("", [], 7, 0.5)
    assert count(ended, PromptTextRow) == 0
    assert count(ended, SlotRow, SlotRow.delta.is_not(None)) > 0


def test_an_ended_search_goes_with_all_that_hangs_on_it(ended):
    other = accept(ended.database, request(seed=8))
    grow_old(ended, 10)
    scopes = forget(ended, Retention(attempt_logs=None, events=None, searches=9))
    assert scopes == [f"search:{ended.search_id}", "tenant:local"]
    with ended.database.read() as session:
        assert session.scalars(select(SearchRow.id)).all() == [other]
        assert session.scalars(select(SlotRow.search_id).distinct()).all() == [other]
    for row in (EvaluationRow, AttemptRow, ModelCallRow, PromptTextRow):
        assert count(ended, row) == 0
    assert count(ended, EventRow, EventRow.topic == f"search:{ended.search_id}") == 0


def test_evaluations_of_a_search_stay_as_long_as_the_search(ended):
    grow_old(ended, 10)
    forget(ended, Retention(attempt_logs=None, events=None, evaluations=9))
    assert count(ended, EvaluationRow) > 0
