"""Attempts are given out in fair order between tenants, under their quotas, and quickly however many wait."""

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes import capabilities
from queue_scene import GPU_HOST, HOST, Queue
from sqlalchemy import delete, event, update

from contracts.measurements import Limits
from gateway.infra.attempt_offers import AttemptOffers
from gateway.infra.database import utc_now
from gateway.infra.gpu_seconds import gpu_seconds_today
from gateway.infra.tables import AttemptRow
from gateway.infra.tenant_tables import AttemptOfferRow, TenantShareRow, TenantUsageRow


@pytest.fixture
def queue(scene):
    # One connection to the database of the test's gateway, whose own agents stay silent.
    return Queue(scene.services.database)


def test_one_tenants_many_do_not_delay_anothers_one_by_more_than_a_slot(queue):
    queue.submit("greedy", 300)
    queue.run(5, {})
    queue.submit("modest", 1)
    assert "modest" in queue.run(2, {})


def test_slots_go_by_weight_in_seconds_not_in_numbers(queue):
    queue.quotas.change("heavy", {"weight": 3.0})
    for tenant in ("heavy", "light"):
        queue.submit(tenant, 60)
    order = queue.run(40, {"heavy": 30.0, "light": 10.0})
    used = {tenant: order.count(tenant) * seconds for tenant, seconds in (("heavy", 30), ("light", 10))}
    assert 2.0 <= used["heavy"] / used["light"] <= 4.5


def test_who_used_slots_that_nobody_wanted_is_not_starved_by_the_next_tenant(queue):
    queue.submit("ann", 40)
    assert queue.next(8) == ["ann"] * 8
    queue.last(3600)
    queue.submit("bob", 40)
    order = queue.run(12, {"ann": 60.0, "bob": 60.0})
    assert "ann" in order[:4]
    assert order.count("ann") >= 4


def test_what_runs_on_after_nobody_wanted_its_slots_is_not_held_against_its_tenant_either(queue):
    queue.submit("ann", 40)
    queue.next(8)
    with queue.database.write() as session:
        session.execute(update(AttemptRow).values(started_at=utc_now() - timedelta(hours=5)))
    queue.submit("bob", 40)
    assert "ann" in queue.run(4, {"ann": 60.0, "bob": 60.0})


def test_what_others_waited_for_is_held_against_whoever_had_it(queue):
    for tenant in ("ann", "bob"):
        queue.submit(tenant, 40)
    assert queue.run(30, {"ann": 600.0, "bob": 10.0}).count("ann") == 1


def test_a_batch_is_in_the_order_of_single_slots(queue):
    queue.submit("ann", 20)
    queue.submit("bob", 20)
    given = queue.next(10)
    assert (given.count("ann"), given.count("bob")) == (5, 5)


def test_priority_counts_within_a_tenant_and_never_between_two(queue):
    queue.submit("ann", 5, priority=10)
    queue.submit("bob", 5, priority=-10)
    assert sorted(queue.next(4)) == ["ann", "ann", "bob", "bob"]


def test_no_attempt_is_offered_twice_by_whichever_gateway(queue):
    queue.submit("ann", 6)
    other = AttemptOffers(queue.database, queue.quotas)
    first = queue.offers.next_batch(HOST, 3, 60)
    second = other.next_batch(HOST, 10, 60)
    assert len({*first, *second}) == 6
    assert queue.offers.next_batch(HOST, 1, 60) == []


def test_an_offer_that_nobody_took_up_is_made_again_and_costs_nothing(queue):
    queue.submit("ann", 1)
    (attempt_id,) = queue.offers.next_batch(HOST, 1, 60)
    with queue.database.write() as session:
        session.get_one(AttemptOfferRow, attempt_id).offered_until = utc_now() - timedelta(seconds=1)
    assert queue.offers.next_batch(HOST, 1, 60) == [attempt_id]
    (share,) = queue.rows(TenantShareRow)
    assert share.virtual_seconds == pytest.approx(60.0)


def test_a_clock_that_was_set_back_keeps_no_offer_for_ever(queue):
    queue.submit("ann", 1)
    (attempt_id,) = queue.offers.next_batch(HOST, 1, 60)
    with queue.database.write() as session:
        session.get_one(AttemptOfferRow, attempt_id).offered_until = utc_now() + timedelta(hours=5)
    assert queue.offers.next_batch(HOST, 1, 60) == [attempt_id]


def test_no_more_run_than_a_tenants_quota_allows(queue):
    queue.quotas.change("ann", {"running": 2})
    queue.submit("ann", 5)
    queue.submit("bob", 1)
    assert sorted(queue.next(10)) == ["ann", "ann", "bob"]
    running = queue.running
    assert queue.next(10) == []
    queue.running = running
    queue.last(5)
    assert queue.next(10) == ["ann", "ann"]


def test_what_runs_without_an_offer_counts_all_the_same(queue):
    queue.quotas.change("ann", {"running": 1})
    queue.submit("ann", 3)
    (attempt_id,) = queue.offers.next_batch(HOST, 1, 60)
    queue.claims.claim(attempt_id, "agent-1")
    with queue.database.write() as session:
        session.execute(delete(AttemptOfferRow))
    assert queue.offers.next_batch(HOST, 5, 60) == []


def test_gpu_seconds_are_booked_and_end_with_the_days_budget(queue):
    queue.quotas.change("ann", {"gpu_seconds_per_day": 100})
    queue.submit("ann", 3, device="cuda:0")
    queue.submit("ann", 1)
    assert queue.next(1, host=capabilities(devices=("cuda:0",), slots=9)) == ["ann"]
    queue.last(120)
    queue.offers.settle()
    with queue.database.read() as session:
        assert gpu_seconds_today(session, "ann", utc_now()).used == pytest.approx(120, abs=5)
    assert queue.next(5, host=GPU_HOST) == ["ann"]
    assert [claimed.spec.device for claimed in queue.running] == ["cpu"]


def test_attempts_in_flight_reserve_what_they_may_take_of_a_days_gpu_seconds(queue):
    queue.quotas.change("ann", {"gpu_seconds_per_day": 100})
    queue.submit("ann", 9, device="cuda:0", limits=Limits(wall_seconds=40.0))
    # The third begins with what is left, 20 seconds, and may take 40.
    assert queue.next(9, host=GPU_HOST) == ["ann"] * 3
    with queue.database.read() as session:
        assert gpu_seconds_today(session, "ann", utc_now()).reserved == pytest.approx(120, abs=5)
    running = queue.running
    assert queue.next(9, host=GPU_HOST) == []
    for claimed in running[:2]:
        queue.end(claimed, 10)
    # 20 are used and 40 reserved: 40 are left.
    assert queue.next(9, host=GPU_HOST) == ["ann"]


def test_what_was_just_offered_reserves_as_well_and_what_ran_reserves_less(queue):
    queue.quotas.change("ann", {"gpu_seconds_per_day": 100})
    queue.submit("ann", 9, device="cuda:0", limits=Limits(wall_seconds=100.0))
    (offered,) = queue.offers.next_batch(GPU_HOST, 9, 60)
    assert queue.offers.next_batch(GPU_HOST, 9, 60) == []
    queue.claims.claim(offered, "agent-1")
    with queue.database.write() as session:
        session.get_one(AttemptRow, offered).started_at = utc_now() - timedelta(seconds=60)
    with queue.database.read() as session:
        today = gpu_seconds_today(session, "ann", utc_now())
    if utc_now().hour or utc_now().minute:
        assert today.used == pytest.approx(60, abs=5)
    assert today.reserved == pytest.approx(40, abs=5)
    assert queue.offers.next_batch(GPU_HOST, 9, 60) == []


def test_a_slot_that_was_held_over_midnight_is_booked_on_each_day(queue):
    queue.submit("ann", 1, device="cuda:0")
    queue.next(1, host=GPU_HOST)
    queue.last(26 * 3600)
    queue.offers.settle()
    used = {row.day: row.slot_seconds for row in queue.rows(TenantUsageRow)}
    now = utc_now()
    since_midnight = (now - now.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
    assert used.get(f"{now:%Y-%m-%d}", 0.0) == pytest.approx(since_midnight, abs=10)
    assert sum(used.values()) == pytest.approx(26 * 3600, abs=10)
    assert max(used.values()) <= 86_400


def test_a_gpu_gets_what_it_has_memory_for(queue):
    gib = 2**30
    queue.submit("ann", 1, device="cuda", minimum_gpu_memory_bytes=48 * gib)
    queue.submit("bob", 1, device="cuda", minimum_gpu_memory_bytes=24 * gib)
    queue.submit("cyd", 1, device="cuda")
    silent = capabilities(slots=9, devices=("cuda", "cuda:0"))
    small = replace(silent, gpu_memory_bytes=(24 * gib,))
    large = replace(silent, gpu_memory_bytes=(24 * gib, 80 * gib))
    assert queue.next(9, host=capabilities(slots=9, gpu_memory_bytes=(80 * gib,))) == []
    assert queue.next(9, host=silent) == ["cyd"]
    assert queue.next(9, host=small) == ["bob"]
    assert queue.next(9, host=large) == ["ann"]
    assert queue.running[0].spec.minimum_gpu_memory_bytes == 48 * gib


def test_a_host_gets_what_it_has_threads_for(queue):
    queue.submit("ann", 1, threads=4)
    assert queue.next(9, host=capabilities(slots=3)) == []
    assert queue.next(9, host=capabilities(slots=2, threads_per_slot=2)) == ["ann"]


def test_a_host_with_both_serves_its_cpu_and_its_gpu_in_turn(queue):
    queue.submit("ann", 5, device="cuda:0")
    queue.submit("bob", 5)
    order = []
    for _ in range(4):
        order += queue.next(1, host=GPU_HOST)
    assert sorted(order) == ["ann", "ann", "bob", "bob"]


def test_every_end_is_booked_once(queue):
    queue.submit("ann", 2)
    queue.next(2)
    queue.last(50)
    for _ in range(3):
        queue.offers.settle()
    assert queue.rows(AttemptOfferRow) == []
    (used,) = queue.rows(TenantUsageRow)
    assert used.slot_seconds == pytest.approx(100, abs=10)
    (share,) = queue.rows(TenantShareRow)
    assert share.virtual_seconds == pytest.approx(100, abs=10)


def test_thousands_that_wait_are_looked_up_in_the_index_and_never_read(queue):
    queue.submit("greedy", 300)
    plans = []
    engine = queue.database.engine
    on_sqlite = engine.dialect.name == "sqlite"

    def explain(_connection, cursor, statement, parameters, *_rest):
        if not (statement.startswith("SELECT") and "evaluations" in statement):
            return
        if not on_sqlite:
            # Of 300 rows it would read all. What is asked is whether the index can serve when it matters.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {'QUERY PLAN' if on_sqlite else ''} {statement}", parameters)
        plans.append((statement, " / ".join(row[-1] for row in cursor.fetchall())))

    event.listen(engine, "before_cursor_execute", explain)
    try:
        queue.offers.next_batch(HOST, 1, 60)
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    waiting = [plan for statement, plan in plans if "priority DESC" in statement]
    tenants = [plan for statement, plan in plans if "min(" in statement]
    assert waiting
    assert tenants
    for plan in waiting + tenants:
        assert "ix_evaluations_open" in plan
    for plan in waiting:
        if on_sqlite:
            assert "COVERING INDEX ix_evaluations_open" in plan
            # Ordered by the index: only attempts of one evaluation are left to sort.
            assert "USE TEMP B-TREE FOR ORDER BY" not in plan
        else:
            assert "Index Only Scan using ix_evaluations_open" in plan
