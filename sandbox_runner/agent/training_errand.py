"""One attempt at a fine-tune, from its claim to its end: bring the job here, have it trained, bring it back.

However it ends, the job rests at the generator: should its next attempt come here, it goes on from its last
checkpoint, else the gateway says when it can be forgotten.
"""

import logging
import time
from threading import Event

from contracts.fine_tune_attempts import ClaimedFineTune, FineTuneOutcome, TrainingNews
from contracts.fine_tuning import FineTuneFailure, FineTuneState, FineTuneStatus
from contracts.log_context import log_context
from sandbox_runner.agent.claiming import claim_for_sure
from sandbox_runner.agent.errand import HEARTBEATS_PER_LEASE
from sandbox_runner.agent.handing_in import give_back, hand_in
from sandbox_runner.agent.lease_keeping import LeaseKeeper, NotWanted
from sandbox_runner.agent.links import Lease, Rejected, Unreachable
from sandbox_runner.agent.training_links import GeneratorLink, TrainingGatewayLink
from sandbox_runner.agent.under_way import UnderWay

logger = logging.getLogger(__name__)

TROUBLE_SECONDS = 600.0
"""So long the generator, or a transfer, may fail until the attempt has failed: another host may do better."""
LONGEST_LOOK_SECONDS = 5.0
"""Between two looks at the generator."""
MOST_EVENTS = 1_000
"""Of one answer of the generator's; where it gives so many there are more."""


class TrainingErrands:
    """Sees attempts through, each in the thread that asks for it. Thread-safe."""

    def __init__(
        self, agent_id: str, gateway: TrainingGatewayLink, generator: GeneratorLink, hurrying: Event
    ) -> None:
        """`hurrying`: from then on what runs is given back to the gateway."""
        self._agent_id = agent_id
        self._gateway = gateway
        self._generator = generator
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
                with log_context(request_id=attempt_id, attempt_id=attempt_id):
                    self._see_through(claimed)
            return claimed is not None

    def _see_through(self, claimed: ClaimedFineTune) -> None:
        lease = Lease(claimed.attempt_id, claimed.token)
        interval = min(LONGEST_LOOK_SECONDS, claimed.lease_seconds / (HEARTBEATS_PER_LEASE + 1))
        try:
            with LeaseKeeper(self._gateway, lease, interval, self._hurrying) as keeper:
                outcome = self._train(claimed, lease, keeper, interval)
                hand_in(lease, lambda: self._gateway.report(lease, outcome), self._hurrying)
        except NotWanted:
            if self._hurrying.is_set():
                give_back(lease, self._gateway.release)
        finally:
            self._let_rest(claimed.fine_tune_id)

    def _train(
        self, claimed: ClaimedFineTune, lease: Lease, keeper: LeaseKeeper, interval: float
    ) -> FineTuneOutcome:
        """Until the job is over here. Raises NotWanted."""
        begins_after: int | None = None
        news = TrainingNews()
        answered = time.monotonic()
        while True:
            keeper.check()
            try:
                status = self._generator.status(claimed.fine_tune_id)
                if begins_after is None:
                    begins_after = 0 if status is None else status.last_event
                    status = self._bring_here(claimed, lease, keeper)
                elif status is None or status.rests:  # the generator was started anew
                    status = self._bring_here(claimed, lease, keeper)
                answered = time.monotonic()
                news = self._news(status, begins_after, keeper)
                if status.state is FineTuneState.SUCCEEDED:
                    self._deliver(claimed, lease, keeper)
                    return FineTuneOutcome(news, result=status.result)
                if status.state.is_terminal:
                    return FineTuneOutcome(news, failure=status.failure or _cancelled_here())
            except Rejected as rejected:
                if rejected.code == "lease_lost":
                    raise NotWanted from rejected
                return FineTuneOutcome(news, failure=_refused(rejected))
            except Unreachable as error:
                logger.warning("%s", error)
                if time.monotonic() - answered > TROUBLE_SECONDS:
                    return FineTuneOutcome(news, failure=_in_trouble(error))
            keeper.wait(interval)

    def _bring_here(self, claimed: ClaimedFineTune, lease: Lease, keeper: LeaseKeeper) -> FineTuneStatus:
        """Let the generator train the job; one that it knows goes on where it stood."""
        parent = claimed.parent_adapter
        if parent is not None and not self._generator.has_adapter(parent):
            with self._gateway.parent(lease) as chunks:
                self._generator.take_adapter(parent, keeper.while_wanted(chunks))
        with self._gateway.chats(lease) as chunks:
            return self._generator.put(claimed.fine_tune_id, keeper.while_wanted(chunks))

    def _news(self, status: FineTuneStatus, begins_after: int, keeper: LeaseKeeper) -> TrainingNews:
        """What the gateway has not seen yet; so many events that one answer does not hold them go first."""
        while True:
            after = max(begins_after, keeper.events_seen)
            news = TrainingNews(status, begins_after, self._generator.events(status.id, after))
            keeper.tell(news)
            if len(news.events) < MOST_EVENTS:
                return news
            keeper.beat()
            keeper.wait(0)

    def _deliver(self, claimed: ClaimedFineTune, lease: Lease, keeper: LeaseKeeper) -> None:
        with self._generator.parcel(claimed.fine_tune_id) as chunks:
            self._gateway.deliver(lease, keeper.while_wanted(chunks))

    def _let_rest(self, job_id: str) -> None:
        try:
            self._generator.rest(job_id)
        except (Unreachable, Rejected) as error:
            logger.warning("the fine-tune %s goes on although nobody waits for it: %s", job_id, error)


def _refused(rejected: Rejected) -> FineTuneFailure:
    """What the host or the gateway will not do with this job, which another host may."""
    return FineTuneFailure(
        rejected.code[:60] or "refused",
        f"Bringing the job to a host that trains, or its adapter back, was refused: {str(rejected)[:1500]}",
        "See the log of the agent that trained it.",
        retryable=True,
    )


def _in_trouble(error: Unreachable) -> FineTuneFailure:
    return FineTuneFailure(
        "host_in_trouble",
        f"The host that trains had no answer for {TROUBLE_SECONDS:g} s; last: {str(error)[:1500]}",
        "See the logs of the agent that trained it and of its generator.",
        retryable=True,
    )


def _cancelled_here() -> FineTuneFailure:
    return FineTuneFailure(
        "cancelled_at_host",
        "Somebody cancelled the job at the generator that trained it.",
        "Cancel a fine-tune at the gateway; there it stays cancelled.",
        retryable=True,
    )
