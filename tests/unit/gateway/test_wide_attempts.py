"""An attempt with more threads than a slot has takes several slots: it holds, pays for and gets them."""

from datetime import timedelta

import pytest
from fakes import capabilities
from queue_scene import Queue
from sqlalchemy import select

from gateway.infra.database import utc_now
from gateway.infra.tables import EvaluationRow
from gateway.infra.tenant_tables import AttemptOfferRow, TenantShareRow, TenantUsageRow


@pytest.fixture
def queue(scene):
    queue = Queue(scene.services.database)
    queue.hear("agent-1", capabilities(slots=0))  # it drains
    queue.hear("two", capabilities(slots=2))
    return queue


def whose(given) -> str | None:
    return None if given is None else given[0]


def one_slot_kept_for_ann(queue, submitted_by_bob: int):
    """Bob has run on both slots, and one of his attempts still does: ann's needs both. Gives what runs."""
    queue.submit("bob", submitted_by_bob)
    ended, running = queue.ask("two")[1], queue.ask("two")[1]
    queue.submit("ann", 1, threads=2)
    queue.end(ended, 10)
    assert queue.ask("two") is None
    return running


def test_it_holds_all_its_slots_until_it_ends(queue):
    queue.submit("ann", 1, threads=2)
    queue.submit("bob", 3)
    whose_first, wide = queue.ask("two")
    assert whose_first == "ann"
    assert queue.ask("two") is None
    queue.end(wide, 10)
    assert [whose(queue.ask("two")) for _ in range(3)] == ["bob", "bob", None]


def test_slots_that_become_free_are_kept_for_it_when_it_is_next(queue):
    running = one_slot_kept_for_ann(queue, 50)
    queue.end(running, 10)
    assert whose(queue.ask("two")) == "ann"


def test_it_does_not_starve_beside_the_narrow_attempts_of_its_own_tenant(queue):
    queue.submit("ann", 2)
    queue.submit("ann", 1, threads=2)
    queue.submit("ann", 50)
    running = [queue.ask("two")[1], queue.ask("two")[1]]
    queue.end(running[0], 10)
    assert queue.ask("two") is None
    queue.end(running[1], 10)
    _, wide = queue.ask("two")
    assert wide.spec.threads == 2


def test_nothing_is_kept_where_it_can_never_fit(queue):
    queue.hear("one", capabilities(slots=1))
    queue.submit("bob", 50)
    running = [queue.ask("two"), queue.ask("two")]
    assert all(running)
    queue.submit("ann", 1, threads=2)
    for _ in range(3):
        given, claimed = queue.ask("one")
        assert given == "bob"
        queue.end(claimed, 10)


def test_an_attempt_that_fits_nowhere_holds_nobody_up(queue):
    queue.submit("ann", 1, threads=3)
    queue.submit("bob", 2)
    assert [whose(queue.ask("two")) for _ in range(2)] == ["bob", "bob"]


def test_one_agent_keeps_slots_for_it_and_the_others_go_on(queue):
    queue.hear("vast", capabilities(slots=4))
    queue.submit("bob", 50)
    running = {
        agent: [queue.ask(agent)[1] for _ in range(count)] for agent, count in (("two", 2), ("vast", 4))
    }
    queue.submit("ann", 1, threads=2)
    queue.submit("ann", 1)
    queue.end(running["two"].pop(), 10)
    assert queue.ask("two") is None
    for _ in range(3):
        # A tenant's narrow attempts do not wait for its wide one either.
        queue.end(running["vast"].pop(), 10)
        given = queue.ask("vast")
        assert given is not None
        assert given[1].spec.threads == 1
    queue.end(running["two"].pop(), 10)
    assert queue.ask("two")[1].spec.threads == 2


def test_what_is_behind_it_gets_no_slot_that_is_left_over(queue):
    queue.submit("bob", 3)
    queue.submit("bob", 1, threads=2, priority=-1)
    queue.submit("bob", 3, priority=-2)
    assert whose(queue.ask("two")) == "bob"
    given = queue.offers.next_batch(capabilities(slots=3), 3, 60, "two")
    assert len(given) == 2


def test_what_is_kept_lapses_with_its_agent_and_costs_nothing(queue):
    one_slot_kept_for_ann(queue, 2)
    (share,) = (row for row in queue.rows(TenantShareRow) if row.tenant == "ann")
    charged = share.virtual_seconds
    queue.hear("spare", capabilities(slots=2))
    assert queue.ask("spare") is None
    with queue.database.write() as session:
        for offer in session.scalars(select(AttemptOfferRow).where(AttemptOfferRow.is_kept)):
            offer.offered_until = utc_now() - timedelta(seconds=1)
    assert whose(queue.ask("spare")) == "ann"
    (share,) = (row for row in queue.rows(TenantShareRow) if row.tenant == "ann")
    assert share.virtual_seconds == pytest.approx(charged)


def test_a_host_that_has_shrunk_keeps_nothing_for_it_any_more(queue):
    running = one_slot_kept_for_ann(queue, 9)
    queue.end(running, 10)
    queue.hear("two", capabilities(slots=1))
    assert whose(queue.ask("two")) == "bob"


def test_a_host_with_larger_slots_than_before_takes_it_at_once(queue):
    one_slot_kept_for_ann(queue, 2)
    queue.hear("two", capabilities(slots=2, threads_per_slot=2))
    assert whose(queue.ask("two")) == "ann"


def test_slots_are_kept_for_no_longer_than_it_waits(queue):
    one_slot_kept_for_ann(queue, 9)
    with queue.database.write() as session:
        (evaluation,) = session.scalars(select(EvaluationRow).where(EvaluationRow.tenant == "ann"))
        queue.evaluations.cancel(session, evaluation.id)
    assert whose(queue.ask("two")) == "bob"


def test_it_goes_to_whichever_agent_has_room_for_it_now(queue):
    queue.hear("vast", capabilities(slots=4))
    queue.submit("bob", 1)
    queue.ask("two")
    queue.submit("ann", 1, threads=2)
    queue.submit("bob", 1)
    assert whose(queue.ask("two")) == "bob"
    assert whose(queue.ask("vast")) == "ann"


def test_what_was_just_offered_to_an_agent_takes_its_slots(queue):
    """Every slot of an agent asks for itself, and two of them may ask before either has claimed."""
    queue.submit("ann", 1, threads=2)
    queue.submit("bob", 1)
    assert queue.tenant(queue.offers.next_for("two")) == "ann"
    assert queue.offers.next_for("two") is None


def test_a_host_with_larger_slots_has_more_room_for_it(queue):
    queue.hear("two", capabilities(slots=2, threads_per_slot=4))
    queue.submit("ann", 3, threads=4)
    assert [whose(queue.ask("two")) for _ in range(3)] == ["ann", "ann", None]


def test_a_batch_is_as_large_as_the_slots_that_it_fills(queue):
    queue.submit("ann", 5, threads=2)
    assert queue.next(5, host=capabilities(slots=5)) == ["ann", "ann"]


def test_a_cpu_attempt_is_not_starved_by_those_for_the_gpu_of_its_host(queue):
    queue.hear("two", capabilities(slots=2, devices=("cpu", "cuda:0")))
    queue.hear("cores", capabilities(slots=1))
    queue.submit("bob", 50, device="cuda:0")
    running = [queue.ask("two")[1], queue.ask("two")[1]]
    queue.submit("ann", 1, threads=2)
    queue.submit("cat", 50)
    for _ in range(4):
        # What another host gets says nothing of whose turn it is on this one.
        queue.end(queue.ask("cores")[1], 10)
        queue.end(running.pop(0), 10)
        given = queue.ask("two")
        if given is not None:
            running.append(given[1])
        if not running or running[-1].spec.threads == 2:
            break
    else:
        pytest.fail("it never got its slots")


def test_its_tenant_pays_for_every_slot_that_it_holds(queue):
    queue.submit("ann", 1, threads=2)
    queue.end(queue.ask("two")[1], 50)
    queue.offers.settle()
    (share,) = queue.rows(TenantShareRow)
    (used,) = queue.rows(TenantUsageRow)
    assert share.virtual_seconds == pytest.approx(100, abs=10)
    assert used.slot_seconds == pytest.approx(100, abs=10)
    assert share.usual_seconds < 60


def test_it_is_charged_for_every_slot_while_it_runs(queue):
    queue.submit("ann", 1, threads=2)
    queue.ask("two")
    (share,) = queue.rows(TenantShareRow)
    assert share.virtual_seconds == pytest.approx(120)
