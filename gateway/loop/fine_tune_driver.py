"""Brings fine-tuning jobs to their end: makes their chats, hands them to the generator, follows them there.

Nothing is kept but what the journal has. A job that the generator knows is never handed in again, so a
gateway that is killed at any step goes on where it stood; and the generator takes its own jobs up again.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta

from contracts.fine_tuning import FineTuneCare, FineTuneState, FineTuneStatus
from gateway.domain.fine_tuning import RETRY_SECONDS, FineTuneRecord, retry_delay, retry_sentence
from gateway.infra.database import StorageUnavailable, utc_now
from gateway.infra.fine_tune_attempts import FineTuneAttempts
from gateway.infra.fine_tune_client import FineTuneClient
from gateway.infra.fine_tune_journal import FineTuneJournal, SearchRemoved
from gateway.infra.lookout import Lookout
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable
from gateway.infra.training_hosts import TrainingHosts
from gateway.infra.work_leases import WorkLeaseLost
from gateway.loop.fine_tune_chats import FineTuneChats, NothingToLearn, PairsBeingMade
from gateway.loop.pair_chats import CatalogueChanged
from gateway.loop.training_pairs import NoRecordedNetworks

LONGEST_REST = timedelta(seconds=max(RETRY_SECONDS))
MOST_EVENTS = 1_000
"""Of one answer of the generator's; where it gives so many there are more."""

BLIND_SHARE = 0.4
"""Of a lease: after so long without a look at hosts, these could not be heard either."""
MOST_ACCIDENTS = 5
"""In a row; then the job fails."""

logger = logging.getLogger(__name__)


class Stopped(Exception):
    """The gateway stops."""


class JobEnded(Exception):
    """The job was cancelled while its chats were being made."""


_EXPECTED = (
    Stopped,
    JobEnded,
    ServiceUnavailable,
    ServiceRefused,
    StorageUnavailable,
    WorkLeaseLost,
    PairsBeingMade,
    CatalogueChanged,
    OSError,
)


class _Accidents:
    """What nobody expects of a job's step: it keeps no other job from going on, and is not tried for ever."""

    def __init__(self, journal: FineTuneJournal) -> None:
        self._journal = journal
        self._in_a_row: Counter[str] = Counter()

    @contextmanager
    def told_of(self, job_id: str) -> Iterator[None]:
        """Around a step. What is expected of one passes through."""
        try:
            yield
        except _EXPECTED:
            raise
        except Exception as error:
            logger.exception("a step of the fine-tune %s failed", job_id)
            self._in_a_row[job_id] += 1
            self._tell(job_id, type(error).__name__)
        else:
            del self._in_a_row[job_id]

    def _tell(self, job_id: str, error: str) -> None:
        if self._in_a_row[job_id] < MOST_ACCIDENTS:
            self._journal.wait_for(job_id, f"a step failed unexpectedly ({error}); it is tried again")
            return
        del self._in_a_row[job_id]
        self._journal.fail(
            job_id,
            "platform_failed",
            f"The platform failed {MOST_ACCIDENTS} times in a row: {error}.",
            "The gateway's log tells more; start the job again once that is mended.",
        )


class Submitter:
    """Makes chats and hands jobs in. Jobs that are not handed in are this one's alone."""

    def __init__(
        self,
        journal: FineTuneJournal,
        client: FineTuneClient,
        chats: FineTuneChats,
        is_stopping: Callable[[], bool],
        *,
        lends: bool = False,
    ) -> None:
        """`lends`: hosts of agents train what is handed in from now on."""
        self._journal = journal
        self._client = client
        self._chats = chats
        self._is_stopping = is_stopping
        self._lends = lends
        self._accidents = _Accidents(journal)

    def advance(self) -> None:
        """Hand in every job that can be, oldest first; one that has to wait keeps no other from going on.

        Raises Stopped, StorageUnavailable, WorkLeaseLost.
        """
        for job in self._journal.unsettled(submitted=False):
            try:
                with self._accidents.told_of(job.id):
                    self._advance(job)
            except JobEnded:
                self._journal.settle(job.id)
            except ServiceUnavailable as error:
                self._journal.wait_for(job.id, str(error))
            except ServiceRefused as error:
                self._refuse(job.id, error)
            except PairsBeingMade:
                self._journal.wait_for(job.id, "training pairs are being made for somebody else")
            except CatalogueChanged:
                self._journal.wait_for(job.id, "an import has replaced networks; the pairs are made again")
            except OSError as error:
                reason = error.strerror or type(error).__name__
                self._journal.wait_for(job.id, f"the chats cannot be kept in DELTANAS_HOME: {reason}")

    def _advance(self, job: FineTuneRecord) -> None:
        known = self._client.status(job.id)
        if known is not None:
            # The gateway was killed between handing it in and writing that down.
            self._write_down(job, known.care)
            return
        self._go_on(job.id)
        self._journal.begin(job.id)
        try:
            with closing(self._chats.make(job, lambda: self._go_on(job.id))) as file:
                self._go_on(job.id)
                self._journal.made(job.id, file.tally.document)
                care = FineTuneCare.LENT if self._lends else FineTuneCare.OWN
                self._client.put(job.id, file, care)
        except NothingToLearn as nothing:
            self._journal.made(job.id, nothing.tally.document)
            self._journal.fail(
                job.id,
                "no_usable_pairs",
                "No delta came about to learn from.",
                "Let the search find better networks first, learn from `deltas: all` elites, or ask for "
                "training pairs of a data set, too.",
            )
        except SearchRemoved as error:
            self._journal.fail(
                job.id,
                "search_removed",
                f"The search {error} that the job learns from is no longer there.",
                "Start a job that learns from another search, or from pairs.",
            )
        except NoRecordedNetworks:
            self._journal.fail(
                job.id,
                "no_recorded_networks",
                "No imported network has a recorded first epoch on the data set.",
                "Run `deltanas baselines import lemur --download` first.",
            )
        else:
            self._write_down(job, care)

    def _write_down(self, job: FineTuneRecord, care: FineTuneCare) -> None:
        if care is FineTuneCare.LENT:
            self._journal.lent(job.id, self._client.models().get(job.request.model))
        else:
            self._journal.submitted(job.id)

    def _refuse(self, job_id: str, error: ServiceRefused) -> None:
        document = error.document
        told = str(document.get("detail") or f"it answered {error.status}")
        field = f"{document['field']}: " if document.get("field") else ""
        self._journal.fail(
            job_id,
            str(document.get("code") or "refused"),
            f"The generator refuses the job: {field}{told}",
            str(document.get("remedy") or "Start another with other settings."),
        )

    def _go_on(self, job_id: str) -> None:
        if self._is_stopping():
            raise Stopped
        if not self._journal.is_open(job_id):
            raise JobEnded


class Follower:
    """Follows the jobs that the generator has, and ends there what was cancelled here."""

    def __init__(
        self,
        journal: FineTuneJournal,
        client: FineTuneClient,
        attempts: FineTuneAttempts,
        hosts: TrainingHosts,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._journal = journal
        self._client = client
        self._attempts = attempts
        self._hosts = hosts
        self._now = now
        self._lookout = Lookout(BLIND_SHARE * attempts.lease_seconds)
        self._accidents = _Accidents(journal)

    def advance(self) -> bool:
        """Look after every job; True when some job goes on. Raises StorageUnavailable, WorkLeaseLost."""
        self._journal.cancel_orphans()
        self._sweep()
        jobs = self._journal.unsettled(submitted=True)
        for job in jobs:
            try:
                with self._accidents.told_of(job.id):
                    self._look_after(job)
            except ServiceUnavailable as error:
                self._journal.wait_for(job.id, str(error))
            except ServiceRefused as error:
                logger.warning("the fine-tune %s: %s", job.id, error)
        # A generator that answers slowly blinds nobody to the hosts.
        self._lookout.look()
        return bool(jobs)

    def _look_after(self, job: FineTuneRecord) -> None:
        if job.is_lent and job.state.is_terminal:
            self._take_back(job)
        elif job.state is FineTuneState.CANCELLED:
            self._clear_away(job.id)
        else:
            self._follow(job)

    def _follow(self, job: FineTuneRecord) -> None:
        status = self._client.status(job.id)
        if status is None:
            self._journal.fail(
                job.id,
                "job_lost",
                "The generator does not know the job any more.",
                "Start it again; whoever removes DELTANAS_HOME/fine-tunes removes the jobs in it.",
            )
            return
        if job.retry_at is not None:
            self._try_again(job, job.retry_at, status)
            return
        if job.is_lent:
            self._watch(job)
            return
        # Events after the status: of an end that was seen nothing is missing.
        events = self._client.events(job.id, job.events_seen)
        last = events[-1].sequence if events else job.events_seen
        is_over = status.state.is_terminal and last - job.events_seen < MOST_EVENTS
        if events or is_over or job.phase != status.phase or job.waiting_for is not None:
            self._journal.follow(job.id, status, events)
        if is_over:
            self._end(job, status)

    def _end(self, job: FineTuneRecord, status: FineTuneStatus) -> None:
        delay = retry_delay(status.failure, job.retries)
        if status.failure is None or delay is None:
            self._journal.end(job.id, status, None if status.result is None else self._size(job.id))
        else:
            self._journal.plan_retry(job.id, status.failure, delay)

    def _size(self, adapter_id: str) -> int:
        """Of all its files, in bytes; 0 where it is gone already."""
        try:
            return sum(file.size_bytes for file in self._client.adapter(adapter_id).files)
        except ServiceRefused as error:
            if error.status != 404:
                raise
            return 0

    def _try_again(self, job: FineTuneRecord, retry_at: datetime, status: FineTuneStatus) -> None:
        """Killed in between, it goes on there already: then nothing is left but to write that down."""
        if status.state is FineTuneState.FAILED or job.is_lent:
            # Longer than any rest lasts only seems to be left after the clock was set back.
            if timedelta() < retry_at - self._now() <= LONGEST_REST:
                if not job.is_lent:
                    self._journal.wait_for(job.id, retry_sentence(status.failure, job.retries))
                return
            if not job.is_lent:
                self._client.retry(job.id)
        self._journal.tried_again(job.id)

    def _sweep(self) -> None:
        """Take hosts that went silent for lost; who could not look gives them time to be heard first."""
        if self._lookout.was_blind():
            self._attempts.extend_leases()
        self._attempts.sweep()
        self._lookout.look()

    def _watch(self, job: FineTuneRecord) -> None:
        """Of a lent job its host tells the rest; where none can train it, say why."""
        obstacle = self._hosts.obstacle(job.tenant, job.request.model, job.weights_sha256)
        if obstacle is not None:
            self._journal.wait_for(job.id, obstacle)

    def _take_back(self, job: FineTuneRecord) -> None:
        """A lent job has ended: what was kept for hosts goes, and an adapter that nobody will use."""
        self._attempts.withdraw(job.id)
        if self._client.status(job.id) is not None:
            self._client.remove(job.id)
        if not job.has_adapter:
            self._client.remove_adapter(job.id)
        self._journal.settle(job.id)

    def _clear_away(self, job_id: str) -> None:
        status = self._client.status(job_id)
        if status is not None:
            self._client.cancel(job_id)
            try:
                self._client.remove(job_id)
            except ServiceRefused as error:
                if error.status != 409:
                    raise
                return  # its trainer is still ending
        # It may have succeeded just before.
        self._client.remove_adapter(job_id)
        self._journal.settle(job_id)
