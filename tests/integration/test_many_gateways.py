"""Two gateways on one PostgreSQL: a search is driven by one of them at a time, either answers for both."""

import os
import platform
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from gateway_pair import GatewayPair
from search_family import Family
from sqlalchemy import func, select

from gateway.infra.tables import EvaluationRow

pytestmark = [pytest.mark.slow, pytest.mark.full, pytest.mark.timeout(1800)]

SEARCH = {"cycles": 2, "candidates_per_cycle": 10, "seed": 5, "final_seeds": 2, "elites": 4}
BODY = {"source": "import torch\n\n\nclass Net(torch.nn.Module):\n    pass\n", "dataset": "digits"}
PATIENCE_SECONDS = 600


@pytest.fixture(scope="module")
def pair(tmp_path_factory, postgres):
    name = postgres.new_database()
    pair = GatewayPair(tmp_path_factory.mktemp("pair"), postgres.url(name))
    try:
        yield pair
    finally:
        pair.close()
        postgres.drop(name)


@pytest.fixture
def both(pair):
    """One gateway, and the other."""
    return [gateway.http for gateway in pair.gateways]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> list[tuple]:
    """The same search on SQLite, with one conductor that nothing befalls."""
    family = Family(tmp_path_factory.mktemp("undisturbed"))
    try:
        search_id = family.search(**SEARCH)
        assert family.finished(search_id, PATIENCE_SECONDS)["state"] == "succeeded"
        return family.story(search_id)
    finally:
        family.close()


def wait_for_slots(pair, search_id, least):
    pair.family.wait_for(
        lambda: pair.slots_done(search_id) >= least or pair.is_over(search_id), PATIENCE_SECONDS
    )
    assert not pair.is_over(search_id), "it was over before anything could befall it"


def test_a_search_whose_conductors_die_stand_still_and_lose_the_database_is_as_if_nothing_had_been(
    pair, postgres, undisturbed
):
    search_id = pair.family.search(**SEARCH)
    first = pair.wait_for_conductor(search_id)
    wait_for_slots(pair, search_id, 4)
    first.kill()
    second = pair.wait_for_conductor(search_id, besides=first)
    first.start()
    wait_for_slots(pair, search_id, 8)
    first.wait_until_ready()
    second.signal(signal.SIGSTOP)
    third = pair.wait_for_conductor(search_id, besides=second)
    wait_for_slots(pair, search_id, 12)
    # It goes on where it stood, with a lease that is another one's by now.
    second.signal(signal.SIGCONT)
    wait_for_slots(pair, search_id, 15)
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{pair.database.engine.url.database}'"
        f" AND application_name <> 'deltanas {platform.node()} {os.getpid()}' AND pid <> pg_backend_pid()"
    )
    document = pair.family.finished(search_id, PATIENCE_SECONDS)
    assert document["state"] == "succeeded", document["failure"]
    assert third is first
    assert pair.family.story(search_id) == undisturbed
    kinds = Counter(pair.kinds(search_id))
    assert (kinds["cycle_started"], kinds["cycle_finished"], kinds["finished"]) == (3, 3, 1)
    with pair.database.read() as session:
        twice = (
            select(EvaluationRow.origin_key)
            .where(EvaluationRow.search_id == search_id)
            .group_by(EvaluationRow.origin_key)
            .having(func.count() > 1)
        )
        assert session.scalars(twice).all() == []
    for gateway in pair.gateways:
        assert gateway.process.poll() is None
        assert gateway.http.get(f"/v1/searches/{search_id}").json()["state"] == "succeeded"


def test_what_was_submitted_at_one_gateway_is_read_listed_and_cancelled_at_the_other(pair, both):
    with pair.family.farm_at_rest():
        for here, there in (both, reversed(both)):
            evaluation = here.post("/v1/evaluations", json=BODY | {"seed": 1}).json()["id"]
            assert there.get(f"/v1/evaluations/{evaluation}").json()["state"] == "queued"
            listed = there.get("/v1/evaluations", params={"state": "queued"}).json()["items"]
            assert [item["id"] for item in listed] == [evaluation]
            assert there.delete(f"/v1/evaluations/{evaluation}").json()["state"] == "cancelled"
            assert here.get(f"/v1/evaluations/{evaluation}").json()["state"] == "cancelled"


def test_a_search_that_one_gateway_drives_is_paused_resumed_and_cancelled_at_the_other(pair):
    with pair.family.farm_at_rest():
        search_id = pair.family.search(**SEARCH)
        driver = pair.wait_for_conductor(search_id)
        other = next(gateway.http for gateway in pair.gateways if gateway is not driver)
        for verb, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
            answer = other.post(f"/v1/searches/{search_id}:{verb}")
            assert answer.status_code in {200, 202}, answer.text
            assert driver.http.get(f"/v1/searches/{search_id}").json()["state"] in {state, "queued"}
        assert driver.http.get(f"/v1/searches/{search_id}").json()["state"] == "cancelled"


def test_an_idempotency_key_holds_at_both_gateways_one_after_the_other_and_at_once(pair, both):
    one, other = both

    def submit(gateway, key, **fields):
        return gateway.post("/v1/evaluations", json=BODY | fields, headers={"Idempotency-Key": key})

    with pair.family.farm_at_rest(), ThreadPoolExecutor(8) as pool:
        first = submit(one, "in turn", seed=11)
        again = submit(other, "in turn", seed=11)
        assert (first.status_code, again.status_code) == (202, 202), again.text
        assert first.json()["id"] == again.json()["id"]
        assert submit(other, "in turn", seed=12).status_code == 422
        before = _evaluations(pair)
        for turn in range(5):
            asked = [pool.submit(submit, both[n % 2], f"at once {turn}", seed=20 + turn) for n in range(8)]
            answers = [one.result() for one in asked]
            assert {answer.status_code for answer in answers} == {202}, [a.text for a in answers]
            assert len({answer.json()["id"] for answer in answers}) == 1
        assert _evaluations(pair) == before + 5


def _evaluations(pair):
    with pair.database.read() as session:
        return session.scalar(select(func.count()).select_from(EvaluationRow))


@pytest.mark.parametrize("where", [0, 1])
def test_who_follows_at_one_gateway_hears_what_is_done_at_the_other(pair, both, where):
    here, there = both[where], both[1 - where]
    with pair.family.farm_at_rest():
        evaluation = here.post("/v1/evaluations", json=BODY | {"seed": 40 + where}).json()["id"]
        follows = threading.Event()

        def follow():
            kinds = []
            with there.stream("GET", f"/v1/evaluations/{evaluation}/events") as stream:
                for line in stream.iter_lines():
                    if line.startswith("event:"):
                        kinds.append(line.partition(":")[2].strip())
                        follows.set()
            return kinds

        with ThreadPoolExecutor(2) as pool:
            followed = pool.submit(follow)
            waited = pool.submit(there.get, f"/v1/evaluations/{evaluation}", params={"wait": 30})
            assert follows.wait(PATIENCE_SECONDS)
            assert here.delete(f"/v1/evaluations/{evaluation}").json()["state"] == "cancelled"
            assert followed.result(PATIENCE_SECONDS) == ["queued", "finished"]
            assert waited.result(PATIENCE_SECONDS).json()["state"] == "cancelled"


def test_a_stream_goes_on_at_the_other_gateway_where_it_broke_off_when_the_first_is_killed(pair, both):
    victim, (_, other) = pair.gateways[0], both
    with pair.family.farm_at_rest():
        evaluation = other.post("/v1/evaluations", json=BODY | {"seed": 50}).json()["id"]
        last = ""
        with victim.http.stream("GET", f"/v1/evaluations/{evaluation}/events") as stream:
            for line in stream.iter_lines():
                if line.startswith("id:"):
                    last = line.partition(":")[2].strip()
                    break
            victim.kill()
        other.delete(f"/v1/evaluations/{evaluation}")
        heard = other.get(f"/v1/evaluations/{evaluation}/events", headers={"Last-Event-ID": last}).text
        assert "event: finished" in heard
        assert "event: queued" not in heard
    victim.start()
    victim.wait_until_ready()
