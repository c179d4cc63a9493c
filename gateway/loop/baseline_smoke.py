"""Drives smoke runs: a few smoke evaluations at a time through the ordinary queue, behind everything else.

What a run has found out is on disk after every step; killed anywhere, it goes on where it stood.
"""

import logging
from dataclasses import dataclass

from contracts.failures import Failure, FailureReason
from contracts.names import EvaluationState
from gateway.domain.baseline_smoke import (
    SMOKE_PRIORITY,
    TENANTS_SHARE,
    SmokeItem,
    SmokeState,
    SmokeVerdict,
    verdict_of_failure,
    window,
)
from gateway.domain.evaluation import EvaluationRecord, smoke_request
from gateway.infra.agent_directory import live_agents
from gateway.infra.baseline_catalogue import BaselineCatalogue
from gateway.infra.baseline_smoke_journal import SmokeJournal
from gateway.infra.database import Database, StorageUnavailable
from gateway.infra.evaluation_store import EvaluationStore
from gateway.infra.quotas import QuotaStore

AHEAD = 200
"""Networks that are looked up in the record at a time."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Farm:
    """What live agents offer now."""

    environments: frozenset[str]
    slots: int


class SmokeDriver:
    """Advances all open runs of a database, one step at a time."""

    def __init__(
        self,
        database: Database,
        catalogue: BaselineCatalogue,
        evaluations: EvaluationStore,
        quotas: QuotaStore,
    ) -> None:
        self._database = database
        self._journal = SmokeJournal(database)
        self._catalogue = catalogue
        self._evaluations = evaluations
        self._quotas = quotas

    def advance(self) -> list[str]:
        """Take every step that can be taken now; gives the evaluations whose end brings the next one.

        A run that breaks keeps no other from going on. Raises StorageUnavailable.
        """
        awaited: list[str] = []
        for run_id, tenant, dataset in self._journal.open_runs():
            try:
                awaited += self._advance_run(run_id, tenant, dataset)
            except StorageUnavailable:
                raise
            except Exception:
                logger.exception("a step of smoke run %s failed; trying again", run_id)
                self._journal.wait_for(run_id, "a step of it failed, and the gateway's log says why")
        return awaited

    def _advance_run(self, run_id: str, tenant: str, dataset: str) -> list[str]:
        farm = self._farm()
        self._settle(run_id, dataset, farm)
        self._submit(run_id, tenant, dataset, farm)
        return [] if self._journal.end_if_done(run_id) else self._journal.in_flight(run_id)

    def _farm(self) -> _Farm:
        with self._database.read() as session:
            agents = live_agents(session).values()
        return _Farm(
            frozenset(agent.environment_digest for agent in agents), sum(agent.slots for agent in agents)
        )

    def _settle(self, run_id: str, dataset: str, farm: _Farm) -> None:
        """Write down the verdicts of evaluations that have ended."""
        verdicts: list[tuple[SmokeItem, SmokeVerdict]] = []
        environments: dict[str, str] = {}
        for item, evaluation_id in self._journal.ended(run_id):
            evaluation = self._evaluations.read(evaluation_id)
            verdicts.append((item, _verdict(evaluation)))
            digest = _environment(evaluation, farm)
            if digest is not None:
                environments[item.digest] = digest
        if verdicts:
            self._journal.judge(run_id, dataset, verdicts, environments)

    def _submit(self, run_id: str, tenant: str, dataset: str, farm: _Farm) -> None:
        """Answer from the record what it knows; fill the window with the rest."""
        if not farm.environments:
            self._journal.wait_for(run_id, "no agent is alive")
            return
        room = window(farm.slots) - len(self._journal.in_flight(run_id))
        while room > 0:
            ahead = self._journal.pending(run_id, AHEAD)
            if not ahead:
                break
            known = self._journal.recorded(ahead, dataset, set(farm.environments))
            if known:
                answered = [(item, known[item.digest]) for item in ahead if item.digest in known]
                self._journal.judge(run_id, dataset, answered)
            for item in [item for item in ahead if item.digest not in known][:room]:
                if not self._submit_one(run_id, tenant, dataset, item):
                    self._journal.wait_for(run_id, "the tenant's queue is half full")
                    return
                room -= 1
        self._journal.wait_for(run_id, None)

    def _submit_one(self, run_id: str, tenant: str, dataset: str, item: SmokeItem) -> bool:
        """Whether it is dealt with: False where it must wait for room in the tenant's queue."""
        found = self._catalogue.version(item.digest)
        if found is None:
            gone = Failure(FailureReason.INFRASTRUCTURE, "another import replaced the network meanwhile")
            self._journal.judge(run_id, dataset, [(item, SmokeVerdict(SmokeState.LOST, gone))], {})
            return True
        request = smoke_request(
            found.network.source,
            dataset,
            found.network.hyperparameters_on(dataset),
            priority=SMOKE_PRIORITY,
            tags=(f"smoke:{run_id}",),
        )
        with self._database.write() as session:
            if not self._journal.is_pending(session, run_id, item.place):
                return True  # cancelled in between
            if not self._quotas.has_room(session, tenant, TENANTS_SHARE):
                return False
            evaluation_id = self._evaluations.submit(
                session, request, tenant=tenant, origin_key=f"smoke:{run_id}:{item.place}"
            )
            self._journal.submitted(session, run_id, item.place, evaluation_id)
        return True


def _verdict(evaluation: EvaluationRecord) -> SmokeVerdict:
    if evaluation.state is EvaluationState.CANCELLED:
        return SmokeVerdict(SmokeState.CANCELLED)
    if evaluation.state is EvaluationState.FAILED or evaluation.smoke is None:
        return verdict_of_failure(evaluation.failure)
    return SmokeVerdict(SmokeState.PASSED, None, evaluation.smoke.claimed_parameters)


def _environment(evaluation: EvaluationRecord, farm: _Farm) -> str | None:
    """Where it was tried. What failed before it came to a sandbox knows none: then the only one there is."""
    if evaluation.provenance is not None:
        return evaluation.provenance.environment_digest
    return next(iter(farm.environments)) if len(farm.environments) == 1 else None
