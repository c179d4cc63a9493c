"""Agents that ask and tell at once, and power that fails while they do: every slot has one answer."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from fakes import CrashingDatabase, PowerCut
from fresh_databases import copy_of, hurried, url_in
from search_scene import Scene, new_scene

from contracts.names import EXTERNAL_PROPOSER, SlotState
from contracts.proposals import AnswerForm
from gateway.domain.ask_tell import AgentAnswer
from gateway.domain.search import ProposerChoice
from gateway.infra.ask_journal import KEPT_LAPSED, AskJournal, NothingFree, TaskClosed
from gateway.infra.database import Database, utc_now

AGENTS = 20
TENANT = "local"


@cache
def _opened() -> tuple[str, str]:
    """A search of 12 slots that wait for agents: the database's URL, and the search's id."""
    folder = Path(mkdtemp())
    scene = new_scene(folder, cycles=1, candidates_per_cycle=12, proposer=ProposerChoice(EXTERNAL_PROPOSER))
    assert not scene.run().advance()
    scene.farm.work()
    assert not scene.run().advance()
    scene.database.close()
    return url_in(folder), scene.search_id


@pytest.fixture
def opened(tmp_path) -> Iterator[Scene]:
    """The same for each test: a search of 12 slots that wait for agents."""
    url, search_id = _opened()
    scene = Scene(hurried(Database(copy_of(url, tmp_path))), search_id)
    yield scene
    scene.database.close()


def answer(text: str) -> AgentAnswer:
    return AgentAnswer(AnswerForm.DELTA, text, "")


def lease(
    asks: AskJournal, database: Database, search_id: str, wanted: int = 1, seconds: float = 60
) -> list[str]:
    try:
        with database.write() as session:
            return asks.lease(session, search_id, TENANT, wanted, "", seconds)
    except NothingFree:
        return []


def at_once(work: Callable[[int], object], agents: int = AGENTS) -> list:
    """What each of many threads gives that begin together."""
    start = threading.Barrier(agents)

    def run(number: int) -> object:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(agents) as pool:
        return list(pool.map(run, range(agents)))


def test_of_many_agents_that_ask_at_once_no_two_get_one_slot(opened):
    asks = AskJournal(opened.database)
    given = at_once(lambda _: lease(asks, opened.database, opened.search_id))
    tasks = [task for one in given for task in one]
    slots = [held.proposal_id for held, _ in asks.given(tasks)]
    assert len(tasks) == len(set(slots)) == 12
    assert [len(one) for one in given].count(0) == AGENTS - 12


def test_of_many_answers_of_one_task_one_counts(opened):
    asks = AskJournal(opened.database)
    (task,) = lease(asks, opened.database, opened.search_id)

    def tell(number: int) -> str:
        try:
            asks.tell(opened.search_id, TENANT, task, answer(f"grow {number % 2}"))
        except TaskClosed as error:
            return error.verdict.value
        return f"grow {number % 2}"

    ends = Counter(at_once(tell))
    ((held, slot),) = asks.given([task])
    kept = opened.journal.raw_proposal(slot.proposal_id)
    assert ends == {kept: AGENTS // 2, "already_told": AGENTS // 2}
    assert held.told_digest == answer(kept).digest


def test_when_leases_lapse_while_agents_ask_and_tell_each_slot_gets_one_answer(opened):
    """Every second look at the clock is a day later: all leases lapse between any two steps."""
    late = threading.Lock()
    days = [0]

    def hurrying_clock(_session):
        with late:
            days[0] += 1
            return utc_now() + timedelta(hours=days[0] // 2)

    asks = AskJournal(opened.database, hurrying_clock)
    accepted: list[tuple[str, str]] = []

    def work(number: int) -> None:
        for turn in range(3):
            for task in lease(asks, opened.database, opened.search_id, wanted=2):
                text = f"grow {number * 100 + turn}"
                try:
                    told = asks.tell(opened.search_id, TENANT, task, answer(text))
                except TaskClosed:
                    continue
                accepted.append((told.proposal_id, text))

    at_once(work)
    assert len(accepted) == len({slot for slot, _ in accepted}) == 12
    for slot, text in accepted:
        assert opened.journal.raw_proposal(slot) == text


def test_an_agent_that_asks_and_gives_back_without_end_leaves_a_bounded_trace(opened):
    asks = AskJournal(opened.database)
    given = []
    for _ in range(KEPT_LAPSED + 5):
        given += lease(asks, opened.database, opened.search_id)
        asks.release(opened.search_id, TENANT, given[-1])
    assert len(set(given)) == KEPT_LAPSED + 5
    kept = [held.task_id for held, _ in asks.given(given)]
    assert sorted(kept) == sorted(given[-KEPT_LAPSED - 1 :])


def test_a_clock_that_is_set_back_keeps_no_slot_from_others_and_no_agent_from_its_task(opened):
    ahead = [timedelta(days=1)]
    asks = AskJournal(opened.database, lambda _: utc_now() + ahead[0])
    dead, alive = lease(asks, opened.database, opened.search_id, wanted=2)
    ahead[0] = timedelta()
    renewed = asks.renew(opened.search_id, TENANT, alive)
    assert renewed.expires_at < utc_now() + timedelta(seconds=61)
    others = lease(asks, opened.database, opened.search_id, wanted=12)
    slots = {held.task_id: held.proposal_id for held, _ in asks.given([dead, alive, *others])}
    assert slots[dead] in {slots[other] for other in others}
    assert slots[alive] not in {slots[other] for other in others}


@pytest.mark.parametrize("after_commit", [False, True])
def test_power_that_fails_while_an_answer_is_told_keeps_all_of_it_or_nothing(opened, after_commit):
    url = str(opened.database.engine.url)
    (task,) = lease(AskJournal(opened.database), opened.database, opened.search_id)
    failing = hurried(CrashingDatabase(url, at_write=1, after_commit=after_commit))
    with pytest.raises(PowerCut):
        AskJournal(failing).tell(opened.search_id, TENANT, task, answer("grow 1"))
    failing.close()
    asks = AskJournal(opened.database)
    ((held, slot),) = asks.given([task])
    expected = SlotState.PROPOSED if after_commit else SlotState.PENDING
    assert (slot.state, held.told_at is not None) == (expected, after_commit)
    asks.tell(opened.search_id, TENANT, task, answer("grow 1"))
    ((held, slot),) = asks.given([task])
    assert (slot.state, opened.journal.raw_proposal(slot.proposal_id)) == (SlotState.PROPOSED, "grow 1")


@pytest.mark.parametrize("after_commit", [False, True])
def test_power_that_fails_while_a_task_is_leased_loses_no_slot(opened, after_commit):
    failing = hurried(CrashingDatabase(str(opened.database.engine.url), 1, after_commit))
    with pytest.raises(PowerCut):
        lease(AskJournal(failing), failing, opened.search_id, seconds=60)
    failing.close()
    later = AskJournal(opened.database, lambda _: utc_now() + timedelta(seconds=61))
    assert len(lease(later, opened.database, opened.search_id, wanted=12)) == 12


def test_an_outside_agent_tells_the_same_story_in_whatever_order_it_answers(tmp_path):
    stories = []
    for name, order in (("forwards", 1), ("backwards", -1)):
        scene = new_scene(tmp_path, name, cycles=1, proposer=ProposerChoice(EXTERNAL_PROPOSER))
        asks = AskJournal(scene.database)
        while not scene.run().advance():
            tasks = asks.given(lease(asks, scene.database, scene.search_id, wanted=8))
            for held, slot in tasks[::order]:
                text = f"grow {slot.cycle * 10 + slot.slot}"
                asks.tell(scene.search_id, TENANT, held.task_id, replace(answer(text), summary=text))
            scene.farm.work()
        stories.append(scene.story())
    assert stories[0] == stories[1]
    assert stories[0]["funnel"]["proposed"] == 4
