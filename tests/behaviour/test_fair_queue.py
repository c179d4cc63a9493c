"""One tenant's ten thousand do not hold up another's one, whatever database the queue is in."""

from datetime import timedelta

import pytest
from fakes import capabilities, outcome
from sqlalchemy import text

from contracts.jobs import AgentHeartbeat
from gateway.domain.evaluation import EvaluationRequest
from gateway.domain.quotas import Quota
from gateway.infra.agent_directory import record_heartbeat
from gateway.infra.attempt_offers import AttemptOffers
from gateway.infra.attempt_queue import AttemptQueue
from gateway.infra.database import Base, Database, now_in
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.quotas import QuotaStore
from gateway.infra.tables import AttemptRow

MANY = 10_000
SLOTS = 4
HOST = capabilities(slots=SLOTS)
SECONDS_EACH = 30.0
AMPLE = Quota(1.0, queued=10**6, running=None, gpu_seconds_per_day=None, storage_bytes=None, searches=100)


class Farm:
    """A queue, and one host whose slots are all at work."""

    def __init__(self, url):
        self.database = Database(url)
        self.store = EvaluationStore(self.database)
        self._offers = AttemptOffers(self.database, QuotaStore(self.database, AMPLE))
        self._claims = AttemptQueue(self.database, lease_seconds=600)
        self._running = []
        with self.database.write() as session:
            record_heartbeat(session, "agent-1", AgentHeartbeat(HOST))

    def submit(self, tenant, **fields):
        request = EvaluationRequest(source="class Net: ...", dataset="digits", reuse=False, **fields)
        with self.database.write() as session:
            return self.store.submit(session, request, tenant=tenant)

    def multiply(self, evaluation_id, count):
        """So many more of the same, put beside it row by row: submitting them would take minutes."""
        with self.database.write() as session:
            for table, name in (("evaluations", "id"), ("attempts", "evaluation_id")):
                columns = [column.name for column in Base.metadata.tables[table].columns]
                drawn = {"id", "evaluation_id"}
                values = [f"{one} || '-' || CAST(n.i AS TEXT)" if one in drawn else one for one in columns]
                session.execute(
                    text(
                        "WITH RECURSIVE n(i) AS (SELECT 10000 UNION ALL SELECT i + 1 FROM n WHERE i < :last) "
                        f"INSERT INTO {table} ({', '.join(columns)}) "
                        f"SELECT {', '.join(values)} FROM {table}, n WHERE {name} = :origin"
                    ),
                    {"last": 10_000 + count - 1, "origin": evaluation_id},
                )

    def fill(self):
        """Give out what there are free slots for; gives whose they are."""
        free = SLOTS - len(self._running)
        claimed = [self._claims.claim(one, "agent-1") for one in self._offers.next_batch(HOST, free, 60)]
        self._running += claimed
        return [self.store.read(one.spec.evaluation_id).tenant for one in claimed]

    def end_one(self):
        """The attempt that has run for longest has taken its time, and ends."""
        claimed = self._running.pop(0)
        with self.database.write() as session:
            row = session.get_one(AttemptRow, claimed.spec.attempt_id)
            row.started_at = now_in(session) - timedelta(seconds=SECONDS_EACH)
        self._claims.report(claimed.spec.attempt_id, claimed.token, outcome(claimed.spec))


@pytest.fixture
def farm(database_url):
    farm = Farm(database_url)
    yield farm
    farm.database.close()


@pytest.mark.full
@pytest.mark.slow
def test_one_among_ten_thousand_of_another_tenant_waits_for_one_slot_at_most(farm):
    farm.multiply(farm.submit("greedy", priority=100), MANY)
    assert farm.store.count_open("greedy") == MANY + 1
    assert farm.fill() == ["greedy"] * SLOTS
    for _ in range(3):
        farm.end_one()
        assert farm.fill() == ["greedy"]
    farm.submit("modest", priority=-100)
    order = []
    for _ in range(2):
        farm.end_one()
        order += farm.fill()
    assert "modest" in order
    # Its place in its own queue says nothing of the others' ten thousand.
    assert farm.store.read(farm.submit("modest")).queue_position == 1


@pytest.mark.full
@pytest.mark.slow
def test_the_places_in_a_queue_of_ten_thousand_are_those_in_which_it_is_served(farm):
    farm.multiply(farm.submit("greedy"), MANY)
    urgent, idle = farm.submit("greedy", priority=1), farm.submit("greedy", priority=-1)
    assert farm.store.read(urgent).queue_position == 1
    assert farm.store.read(idle).queue_position == MANY + 3
    page = farm.store.page("greedy", limit=200)
    places = {record.id: record.queue_position for record in page.items}
    assert places[idle] == MANY + 3
    assert farm.fill()[0] == "greedy"
    assert farm.store.read(urgent).queue_position is None
