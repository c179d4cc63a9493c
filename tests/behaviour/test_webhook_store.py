"""The outbox and the leases of webhooks: enqueued with what happened, delivered by one gateway at a time."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from contracts.fine_tuning import FineTuneState
from contracts.names import SearchState
from gateway.domain.evaluation import EvaluationRequest
from gateway.domain.fine_tuning import FineTuneRequest
from gateway.domain.webhooks import FAILING_FOR, DeliveryState, TryOutcome
from gateway.infra import webhook_leases, webhook_log
from gateway.infra.database import Database, utc_now
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.events import append_event
from gateway.infra.fine_tunes import add_fine_tune, end_fine_tune
from gateway.infra.search_tables import SearchRow
from gateway.infra.webhook_endpoints import MAX_ENDPOINTS, TooManyEndpoints, WebhookEndpoints
from gateway.infra.webhook_leases import LEASE, MAX_OF_HOST, MAX_OF_TENANT, WebhookLeases
from gateway.infra.webhook_log import WebhookLog
from gateway.infra.webhook_outbox import expect_callback
from gateway.infra.webhook_tables import WebhookCallbackRow, WebhookDeliveryRow, WebhookEndpointRow

TAKEN = TryOutcome(204, None, "It answered 204.", 0.1)
REFUSED = TryOutcome(500, None, "It answered 500.", 0.1)
GONE = TryOutcome(410, None, "It answered 410.", 0.1)


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


class Desk:
    """What a test asks for, in few words."""

    def __init__(self, database):
        self.database = database
        self.endpoints = WebhookEndpoints(database)
        self.leases = WebhookLeases(database)
        self.log = WebhookLog(database)
        self.evaluations = EvaluationStore(database)

    def register(self, tenant="oak", url="https://hooks.example.org/", event_types=()):
        with self.database.write() as session:
            return self.endpoints.create(session, tenant, url, "", event_types)[0].id

    def evaluate(self, tenant="oak", seed=0, callback_url=None, **fields):
        request = EvaluationRequest("class Net: pass", "digits", seeds=(seed,))
        with self.database.write() as session:
            made = self.evaluations.submit(session, request, tenant=tenant, **fields)
            if callback_url:
                expect_callback(session, tenant, made, callback_url)
        return made

    def cancel(self, evaluation_id):
        with self.database.write() as session:
            self.evaluations.cancel(session, evaluation_id)

    def rows(self, **wanted):
        with self.database.read() as session:
            query = select(WebhookDeliveryRow).filter_by(**wanted).order_by(WebhookDeliveryRow.id)
            return list(session.scalars(query))

    def set_all(self, kind, **fields):
        with self.database.write() as session:
            for row in session.scalars(select(kind)):
                for name, value in fields.items():
                    setattr(row, name, value)


@pytest.fixture
def desk(database):
    return Desk(database)


def test_what_is_undone_is_not_told(desk):
    desk.register()
    evaluation = desk.evaluate()
    with suppress(RuntimeError), desk.database.write() as session:
        desk.evaluations.cancel(session, evaluation)
        raise RuntimeError("the power fails")
    assert desk.rows() == []
    desk.cancel(evaluation)
    (row,) = desk.rows()
    assert (row.tenant, row.event_type, row.subject_id, row.state) == (
        "oak",
        "evaluation.cancelled",
        evaluation,
        "pending",
    )


def test_a_tenants_endpoints_are_told_and_no_other_tenants(desk):
    own = {desk.register(url=f"https://hooks{n}.example.org/") for n in range(2)}
    desk.register(tenant="elm")
    desk.cancel(desk.evaluate())
    rows = desk.rows()
    assert {row.endpoint_id for row in rows} == own
    assert {row.tenant for row in rows} == {"oak"}
    assert len({row.message_id for row in rows}) == 1, "one event, one id"


def test_what_a_search_asks_for_is_told_of_by_the_search(desk):
    desk.register()
    desk.cancel(desk.evaluate(origin_key="se_1-c001-s000"))
    request = FineTuneRequest("m", None, {}, None, None)
    with desk.database.write() as session:
        end_fine_tune(session, add_fine_tune(session, "oak", request, 1), FineTuneState.CANCELLED)
    assert desk.rows() == []
    with desk.database.write() as session:
        end_fine_tune(session, add_fine_tune(session, "oak", request), FineTuneState.CANCELLED)
    assert [row.event_type for row in desk.rows()] == ["fine_tune.cancelled"]


def test_a_search_tells_of_its_cycles_its_pauses_and_its_end(desk):
    desk.register(event_types=["search.*"])
    fields = {"tenant": "oak", "name": "n", "request": {}, "split_key": "k", "created_at": utc_now()}
    with desk.database.write() as session:
        session.add(SearchRow(id="se_1", state=SearchState.RUNNING, cycle=0, **fields))
        session.flush()
        expect_callback(session, "oak", "se_1", "https://callback.example.org/")
        for kind, data in (
            ("cycle_started", {"cycle": 0}),
            ("cycle_finished", {"cycle": 0, "best_accuracy": 0.5}),
            ("state", {"state": "running", "waiting_for": "an agent"}),
            ("state", {"state": "paused", "paused_by": {"code": "key_refused"}}),
            ("state", {"state": "succeeded"}),
            ("finished", {"state": "succeeded", "failure": None}),
        ):
            append_event(session, "search:se_1", kind, data)
    told = ["search.cycle_finished", "search.paused", "search.succeeded"]
    assert [row.event_type for row in desk.rows(host="hooks.example.org")] == told
    assert [row.event_type for row in desk.rows(host="callback.example.org")] == told
    with desk.database.read() as session:
        assert session.get(WebhookCallbackRow, "se_1") is None, "what has ended is expected no more"


def test_a_message_is_one_gateways_at_a_time(desk, database):
    for _ in range(3):
        desk.register(url="https://hooks.example.org/")
    desk.cancel(desk.evaluate())
    other = Database(str(database.engine.url.render_as_string(hide_password=False)))
    claimed, start = [], threading.Barrier(4)

    def claim(leases):
        start.wait()
        claimed.extend(leases.claim(2))

    gateways = [WebhookLeases(one) for one in (database, other, database, other)]
    threads = [threading.Thread(target=claim, args=(leases,)) for leases in gateways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert Counter(one.id for one in claimed) == Counter(row.id for row in desk.rows())


def test_a_lease_that_ran_out_is_claimed_again_and_the_first_holder_writes_nothing(desk):
    desk.register()
    desk.cancel(desk.evaluate())
    (first,) = desk.leases.claim(10)
    assert desk.leases.claim(10) == []
    desk.set_all(WebhookDeliveryRow, lease_expires_at=utc_now() - timedelta(seconds=1))
    (second,) = desk.leases.claim(10)
    assert (second.id, second.message_id, second.payload) == (first.id, first.message_id, first.payload)
    desk.leases.settle(first, GONE)
    assert desk.rows()[0].state == DeliveryState.PENDING
    desk.leases.settle(second, TAKEN)
    (row,) = desk.rows()
    assert (row.state, row.tries, row.due_at) == ("delivered", 1, None)


def test_a_clock_that_was_set_back_strands_no_message(desk):
    desk.register()
    desk.cancel(desk.evaluate())
    assert len(desk.leases.claim(1)) == 1
    far = utc_now() + timedelta(days=300)
    desk.set_all(WebhookDeliveryRow, lease_expires_at=far, due_at=far)
    assert len(desk.leases.claim(1)) == 1


def test_receivers_that_let_the_gateway_wait_cost_their_tenant_alone(desk):
    for number in range(10):
        desk.register("oak", f"https://slow{number}.example.org/")
    for seed in range(5):
        desk.cancel(desk.evaluate("oak", seed))
    assert len(desk.leases.claim(32)) == MAX_OF_TENANT
    assert desk.leases.claim(32) == []
    desk.register("elm")
    for seed in range(10):
        desk.cancel(desk.evaluate("elm", seed))
    assert {one.tenant for one in desk.leases.claim(32)} == {"elm"}


def test_one_host_is_not_flooded_by_all_tenants_together(desk):
    for number in range(MAX_OF_HOST + 3):
        desk.register(f"tenant{number}", "https://popular.example.org/")
        desk.cancel(desk.evaluate(f"tenant{number}"))
    claimed = desk.leases.claim(32)
    assert len(claimed) == MAX_OF_HOST
    assert len({one.tenant for one in claimed}) == MAX_OF_HOST, "turn by turn"
    desk.leases.settle(claimed[0], TAKEN)
    assert len(desk.leases.claim(32)) == 1


def test_where_room_is_scarce_each_tenant_has_one_under_way(desk):
    for tenant in ("oak", "elm"):
        for number in range(3):
            desk.register(tenant, f"https://{tenant}{number}.example.org/")
        desk.cancel(desk.evaluate(tenant))
    assert Counter(one.tenant for one in desk.leases.claim(32, scarce=True)) == {"oak": 1, "elm": 1}
    assert desk.leases.claim(32, scarce=True) == []


def test_a_backlog_of_one_tenant_hides_no_other(desk):
    desk.register("oak", "https://many.example.org/")
    for seed in range(30):
        desk.cancel(desk.evaluate("oak", seed))
    desk.register("elm")
    desk.cancel(desk.evaluate("elm"))
    assert "elm" in {one.tenant for one in desk.leases.claim(2)}


def test_tries_grow_apart_and_end(desk):
    desk.register()
    desk.cancel(desk.evaluate())
    waits = []
    while desk.rows()[0].state == DeliveryState.PENDING:
        desk.set_all(WebhookDeliveryRow, due_at=utc_now())
        (claimed,) = desk.leases.claim(1)
        desk.leases.settle(claimed, REFUSED)
        (row,) = desk.rows()
        if row.due_at:
            waits.append((row.due_at - utc_now()).total_seconds())
    assert (row.state, row.tries, len(row.log)) == ("failed", 10, 10)
    for wait, usual in zip(waits, (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400), strict=True):
        assert usual - 60 <= wait <= usual * 1.2
    assert desk.leases.claim(1) == []


def test_an_endpoint_that_takes_nothing_for_days_is_disabled_and_says_why(desk):
    endpoint = desk.register()
    for seed in range(2):
        desk.cancel(desk.evaluate(seed=seed))
    (first,) = desk.leases.claim(1)
    desk.leases.settle(first, REFUSED)
    assert desk.endpoints.read(endpoint, "oak").enabled
    desk.set_all(WebhookEndpointRow, failing_since=utc_now() - FAILING_FOR)
    (second,) = desk.leases.claim(1)
    desk.leases.settle(second, TryOutcome(None, "timeout", "There was no answer.", 20.0))
    shown = desk.endpoints.read(endpoint, "oak")
    assert (shown.enabled, shown.disabled_reason) == (False, "failing")
    assert "There was no answer." in shown.disabled_message
    assert {row.state for row in desk.rows()} == {"failed"}
    desk.cancel(desk.evaluate(seed=3))
    assert len(desk.rows()) == 2, "who is disabled is told nothing"
    desk.endpoints.change(endpoint, "oak", enabled=True)
    assert desk.log.replay_failed(endpoint, "oak", None) == 2
    assert len(desk.leases.claim(9)) == 2


def test_one_message_that_is_taken_ends_a_time_of_failure(desk):
    endpoint = desk.register()
    desk.cancel(desk.evaluate())
    (claimed,) = desk.leases.claim(1)
    desk.leases.settle(claimed, REFUSED)
    assert desk.endpoints.read(endpoint, "oak").failing_since
    desk.set_all(WebhookDeliveryRow, due_at=utc_now())
    (claimed,) = desk.leases.claim(1)
    desk.leases.settle(claimed, TAKEN)
    assert desk.endpoints.read(endpoint, "oak").failing_since is None


def test_what_ended_long_ago_is_forgotten(desk):
    desk.register()
    for seed in range(2):
        desk.cancel(desk.evaluate(seed=seed))
    (claimed,) = desk.leases.claim(1)
    desk.leases.settle(claimed, TAKEN)
    desk.log.forget_old()
    assert len(desk.rows()) == 2
    with desk.database.write() as session:
        session.get(WebhookDeliveryRow, claimed.id).finished_at = utc_now() - timedelta(days=31)
    desk.log.forget_old()
    assert [row.state for row in desk.rows()] == ["pending"]


def test_what_is_to_be_forgotten_goes_in_steps(desk, monkeypatch):
    monkeypatch.setattr(webhook_log, "FORGOTTEN_AT_A_TIME", 2)
    desk.register()
    for seed in range(5):
        desk.cancel(desk.evaluate(seed=seed))
    desk.set_all(WebhookDeliveryRow, state="delivered", finished_at=utc_now() - timedelta(days=31))
    assert [desk.log.forget_old() for _ in range(3)] == [True, True, False]
    assert desk.rows() == []


def test_seconds_until_the_next_try_are_known(desk):
    assert desk.leases.seconds_until_due() is None
    desk.register()
    desk.cancel(desk.evaluate())
    assert desk.leases.seconds_until_due() == 0
    (claimed,) = desk.leases.claim(1)
    assert desk.leases.seconds_until_due() is None
    desk.leases.settle(claimed, REFUSED)
    assert 0 < desk.leases.seconds_until_due() <= 6
    assert timedelta(seconds=60) < LEASE


def test_of_many_registered_at_once_no_more_are_there_than_may_be(desk):
    begin = threading.Barrier(MAX_ENDPOINTS + 4)

    def register(_):
        begin.wait(10)
        with suppress(TooManyEndpoints):
            desk.register()

    with ThreadPoolExecutor(MAX_ENDPOINTS + 4) as pool:
        list(pool.map(register, range(MAX_ENDPOINTS + 4)))
    assert len(desk.endpoints.all("oak")) == MAX_ENDPOINTS


def test_others_write_while_what_is_due_is_chosen(desk, monkeypatch):
    desk.register()
    desk.cancel(desk.evaluate())
    choose, wrote = webhook_leases._choose, []

    def chosen_slowly(*arguments):
        with desk.database.write() as session:
            session.execute(text("SELECT 1"))
            wrote.append(True)
        return choose(*arguments)

    monkeypatch.setattr(webhook_leases, "_choose", chosen_slowly)
    assert len(desk.leases.claim(9)) == 1
    assert wrote == [True]
