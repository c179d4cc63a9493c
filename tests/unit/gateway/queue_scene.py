"""Attempts of some tenants in a database, agents that are given them, and how long each has run."""

from datetime import timedelta

from fakes import capabilities, outcome
from gateway_scene import SOURCE
from search_scene import AMPLE
from sqlalchemy import select

from contracts.jobs import AgentHeartbeat, ClaimedAttempt, RunnerCapabilities
from gateway.domain.evaluation import EvaluationRequest
from gateway.infra.agent_directory import record_heartbeat
from gateway.infra.attempt_offers import AttemptOffers
from gateway.infra.attempt_queue import AttemptQueue
from gateway.infra.database import Database, utc_now
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.quotas import QuotaStore
from gateway.infra.tables import AttemptRow, EvaluationRow

HOST = capabilities(slots=100)
GPU_HOST = capabilities(slots=100, devices=("cpu", "cuda:0"))


class Queue:
    """Attempts of some tenants, and an agent that takes them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.quotas = QuotaStore(database, AMPLE)
        self.offers = AttemptOffers(database, self.quotas)
        self.claims = AttemptQueue(database, lease_seconds=60)
        self.evaluations = EvaluationStore(database)
        self.hear("agent-1", HOST)

    def hear(self, agent_id: str, host: RunnerCapabilities) -> None:
        """An agent that asks for work, and what it has."""
        with self.database.write() as session:
            record_heartbeat(session, agent_id, AgentHeartbeat(host))

    def submit(self, tenant: str, count: int = 1, **fields) -> None:
        with self.database.write() as session:
            for seed in range(count):
                request = EvaluationRequest(
                    source=SOURCE, dataset="digits", seeds=(seed,), reuse=False, **fields
                )
                self.evaluations.submit(session, request, tenant=tenant)

    def next(self, count: int = 1, host=HOST, hold: float = 60) -> list[str]:
        """The tenants of the next attempts, which are claimed and run from then on."""
        given = self.offers.next_batch(host, count, hold)
        self.running = [self.claims.claim(attempt_id, "agent-1") for attempt_id in given]
        return [self.tenant(attempt_id) for attempt_id in given]

    def ask(self, agent_id: str) -> tuple[str, ClaimedAttempt] | None:
        """What one slot of an agent gets, which runs from then on: whose it is, and itself."""
        offered = self.offers.next_for(agent_id)
        return None if offered is None else (self.tenant(offered), self.claims.claim(offered, agent_id))

    def run(self, turns: int, seconds: dict[str, float]) -> list[str]:
        """One slot, and one attempt after the other; how long each takes is its tenant's."""
        order = []
        for _ in range(turns):
            (tenant,) = self.next()
            order.append(tenant)
            self.last(seconds.get(tenant, 10.0))
        return order

    def last(self, seconds: float) -> None:
        """What runs has run for so long, and ends."""
        for claimed in self.running:
            self.end(claimed, seconds)

    def end(self, claimed: ClaimedAttempt, seconds: float) -> None:
        """One has run for so long, and ends."""
        with self.database.write() as session:
            row = session.get_one(AttemptRow, claimed.spec.attempt_id)
            row.started_at = utc_now() - timedelta(seconds=seconds)
        self.claims.report(claimed.spec.attempt_id, claimed.token, outcome(claimed.spec))

    def tenant(self, attempt_id: str) -> str:
        with self.database.read() as session:
            query = select(EvaluationRow.tenant).join(AttemptRow).where(AttemptRow.id == attempt_id)
            return session.scalars(query).one()

    def rows(self, table) -> list:
        with self.database.read() as session:
            return list(session.scalars(select(table)))
