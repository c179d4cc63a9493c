"""One attempt, from its claim to its end: claim it, have it run, keep its lease, report it.

Each ends in one of four ways: reported, cancelled, its lease lost, or given back because the agent stops.
In all of them the runner forgets it.
"""

import logging
from threading import Event

from contracts.failures import Failure, FailureReason
from contracts.jobs import AttemptOutcome, AttemptSpec, ClaimedAttempt
from contracts.log_context import log_context
from sandbox_runner.agent.claiming import claim_for_sure
from sandbox_runner.agent.handing_in import give_back, hand_in
from sandbox_runner.agent.links import GatewayLink, Lease, Rejected, RunnerLink, Unreachable
from sandbox_runner.agent.under_way import UnderWay

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""Before a call that failed is tried again."""
MAX_WAIT_SECONDS = 10.0
HEARTBEATS_PER_LEASE = 4


class Errands:
    """Sees attempts through, each in the thread that asks for it. Thread-safe."""

    def __init__(self, agent_id: str, gateway: GatewayLink, runner: RunnerLink, hurrying: Event) -> None:
        """`hurrying`: from then on what runs is given back to the gateway."""
        self._agent_id = agent_id
        self._gateway = gateway
        self._runner = runner
        self._hurrying = hurrying
        self._under_way = UnderWay()

    @property
    def under_way(self) -> int:
        """How many attempts are held now."""
        return len(self._under_way)

    def run(self, attempt_id: str) -> bool:
        """Claim the attempt, see it through; False if it cannot be claimed. Raises Unreachable, Rejected."""
        with self._under_way.once(attempt_id) as is_first:
            if not is_first:
                return False
            claimed = claim_for_sure(self._gateway.claim, self._agent_id, attempt_id)
            if claimed is not None:
                about = {"evaluation_id": claimed.spec.evaluation_id, "attempt_id": attempt_id}
                with log_context(request_id=attempt_id, **about):
                    self._see_through(claimed)
            return claimed is not None

    def _see_through(self, claimed: ClaimedAttempt) -> None:
        spec, lease = claimed.spec, Lease(claimed.spec.attempt_id, claimed.token)
        interval = min(MAX_WAIT_SECONDS, claimed.lease_seconds / (HEARTBEATS_PER_LEASE + 1))
        try:
            outcome = self._run(spec, lease, interval)
            if outcome is not None:
                hand_in(lease, lambda: self._gateway.report(lease, outcome), self._hurrying)
            elif self._hurrying.is_set():
                give_back(lease, self._gateway.release)
        finally:
            self._forget(spec.attempt_id)

    def _run(self, spec: AttemptSpec, lease: Lease, interval: float) -> AttemptOutcome | None:
        """Drive the runner until the attempt is finished; None when nobody wants the outcome any more."""
        phase = "waiting"
        started = False
        while not self._hurrying.is_set():
            if not self._is_wanted(lease, phase):
                return None
            try:
                started = started or self._start(spec, interval)
                status = self._runner.status(spec.attempt_id, interval) if started else None
            except Rejected as rejected:
                return platform_failure(spec, f"the runner refused the attempt: {rejected}")
            except Unreachable as error:
                logger.warning("%s", error)
                self._hurrying.wait(min(PAUSE_SECONDS, interval))
                continue
            if started and status is None:
                return platform_failure(spec, "the runner has lost the attempt")
            if status is not None and status.outcome is not None:
                return status.outcome
            phase = status.phase if status is not None else "waiting"
        return None

    def _start(self, spec: AttemptSpec, interval: float) -> bool:
        """Put the attempt; False when the runner cannot take it yet. Raises Rejected, Unreachable."""
        try:
            self._runner.put(spec)
        except Rejected as rejected:
            if rejected.status != 409:
                raise
            if rejected.code == "fence_conflict":
                # Left over from an earlier delivery whose lease is lost; it was to be removed, and was not.
                self._forget(spec.attempt_id)
            self._hurrying.wait(interval)
            return False
        return True

    def _is_wanted(self, lease: Lease, phase: str) -> bool:
        """Keep the lease. False when it is lost or the attempt cancelled; a silent gateway is waited for."""
        try:
            return not self._gateway.heartbeat(lease, phase)
        except Unreachable as error:
            logger.warning("%s", error)
            return True
        except Rejected as rejected:
            logger.info("attempt %s: its lease is lost (%s)", lease.attempt_id, rejected.status)
            return False

    def _forget(self, attempt_id: str) -> None:
        try:
            self._runner.delete(attempt_id)
        except (Unreachable, Rejected) as error:
            logger.warning("attempt %s could not be removed from the runner: %s", attempt_id, error)


def platform_failure(spec: AttemptSpec, message: str) -> AttemptOutcome:
    """The outcome of an attempt that did not run through by no fault of its own."""
    return AttemptOutcome(
        attempt_id=spec.attempt_id,
        fence=spec.fence,
        measurement=None,
        failure=Failure(FailureReason.INFRASTRUCTURE, message[:2000]),
        isolation=None,
        provenance=None,
    )
