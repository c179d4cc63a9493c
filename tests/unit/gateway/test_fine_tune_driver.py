"""How jobs come to their end whatever happens: crashes, services that are away, refusals, lost jobs."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
import search_scene
from fakes import CrashingDatabase, FakeFineTuner, FakeGenerator, PowerCut

from contracts.fine_tune_attempts import FineTuneOutcome, TrainingHost, TrainingNews
from contracts.fine_tuning import FineTuneEvent, FineTuneResult, FineTuneState
from gateway.domain.fine_tuning import EliteSource, FineTuneRequest
from gateway.infra.attempt_queue import LeaseLost
from gateway.infra.database import Database, utc_now
from gateway.infra.events import read_events
from gateway.infra.fine_tune_attempt_tables import FineTuneAttemptRow
from gateway.infra.fine_tune_attempts import FineTuneAttempts
from gateway.infra.fine_tune_journal import FineTuneJournal
from gateway.infra.fine_tune_tables import FineTuneRow
from gateway.infra.fine_tunes import FineTuneStore, fine_tune_topic
from gateway.infra.service_clients import ServiceRefused
from gateway.infra.training_hosts import TrainingHosts
from gateway.loop.fine_tune_chats import FineTuneChats
from gateway.loop.fine_tune_driver import MOST_ACCIDENTS, Follower, Stopped, Submitter
from gateway.loop.one_at_a_time import OneAtATime


class Jobs:
    """A database with a finished search, and a generator that stays when the gateway is killed."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.url, self.search_id = search_scene.with_a_finished_search(folder)
        self.database = search_scene.hurried(Database(self.url))
        self.generator, self.tuner = FakeGenerator(), FakeFineTuner()

    def start(self, **fields) -> str:
        elites = EliteSource(self.search_id, through_cycle=2)
        request = FineTuneRequest("tiny", None, {"preset": "cpu", "seed": 1}, **{"elites": elites, **fields})
        with self.database.write() as session:
            return self.store.create(session, "local", request).id

    @property
    def store(self) -> FineTuneStore:
        return FineTuneStore(self.database)

    def read(self, job_id: str):
        return self.store.read(job_id, "local")

    def submitter(
        self, database: Database | None = None, is_stopping=lambda: False, *, lends: bool = False
    ) -> Submitter:
        journal = FineTuneJournal(database or self.database)
        chats = FineTuneChats(journal, None, None, self.generator, OneAtATime(), self.folder)
        return Submitter(journal, self.tuner, chats, is_stopping, lends=lends)

    def follower(self, database: Database | None = None, in_seconds: float = 0.0) -> Follower:
        journal = FineTuneJournal(database or self.database)
        attempts = FineTuneAttempts(database or self.database, lease_seconds=15)
        hosts = TrainingHosts(database or self.database)
        return Follower(
            journal, self.tuner, attempts, hosts, lambda: utc_now() + timedelta(seconds=in_seconds)
        )

    def kinds(self, job_id: str) -> list[str]:
        return [event.type for event in read_events(self.database, fine_tune_topic(job_id), 0)]


@pytest.fixture
def jobs(tmp_path):
    return Jobs(tmp_path)


@pytest.mark.parametrize("after_commit", [pytest.param(False, marks=pytest.mark.full), True])
def test_a_gateway_that_is_killed_at_any_write_tells_the_same_story_and_hands_in_once(tmp_path, after_commit):
    told = set()
    for at_write in range(15):
        folder = tmp_path / f"{at_write}"
        folder.mkdir()
        jobs = Jobs(folder)
        job_id = jobs.start()
        trained = False

        def live(database, jobs=jobs, job_id=job_id):
            nonlocal trained
            jobs.submitter(database).advance()
            if not trained:
                trained = True
                jobs.tuner.train(job_id)
                jobs.tuner.fail(job_id, retryable=True)
            for _ in range(2):
                jobs.follower(database, in_seconds=1000).advance()
            if jobs.tuner.waiting:
                jobs.tuner.succeed(job_id)
            jobs.follower(database).advance()

        crashing = CrashingDatabase(jobs.url, at_write, after_commit)
        search_scene.hurried(crashing)
        try:
            live(crashing)
        except PowerCut:
            crashing.close()
            live(jobs.database)
        record = jobs.read(job_id)
        kinds = [kind for kind in jobs.kinds(job_id) if kind != "chats"]
        told.add((record.state, record.has_adapter, tuple(kinds), str(record.chats)))
        assert jobs.tuner.puts == [job_id]
        assert jobs.tuner.retried == [job_id]
        assert not FineTuneJournal(jobs.database).unsettled(submitted=True)
    (story,) = told
    assert story[:3] == (
        FineTuneState.SUCCEEDED, True, ("state", "state", "step", "step", "retrying", "finished"),
    )  # fmt: skip


class Host:
    """A host that trains: what the gateway answers is lost to it when the gateway is killed."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.claimed = self.status = None

    def work(self, database: Database) -> None:
        hosts, attempts = TrainingHosts(database), FineTuneAttempts(database, lease_seconds=15)
        hosts.heard("gpu-1", TrainingHost(1, {"tiny": "aa"}))
        if self.claimed is None:
            offered = hosts.next_for("gpu-1")
            if offered is None:
                return
            self.claimed = attempts.claim(offered, "gpu-1")
            self.status = self.jobs.tuner.status(self.claimed.fine_tune_id)
        job_id, claimed = self.claimed.fine_tune_id, self.claimed
        step = FineTuneEvent(1, "now", "step", {"step": 1, "loss": 1.0})
        news = TrainingNews(replace(self.status, phase="training", step=1), 0, (step,))
        attempts.heartbeat(claimed.attempt_id, claimed.token, news)
        attempts.delivered(claimed.attempt_id, claimed.token)
        result = FineTuneResult(job_id, True, "It fell.", job_id, 2, 1.0, 0.5)
        attempts.report(claimed.attempt_id, claimed.token, FineTuneOutcome(news, result=result))

    def work_again(self, database: Database) -> None:
        """After a kill: with its claim, else once the lease that it never heard of has run out."""
        with database.write() as session:
            for row in session.query(FineTuneAttemptRow):
                row.promised_until = None
                if self.claimed is None and row.lease_expires_at is not None:
                    row.lease_expires_at -= timedelta(seconds=60)
        FineTuneAttempts(database, lease_seconds=15).sweep()
        with database.write() as session:
            for row in session.query(FineTuneAttemptRow):
                row.available_at -= timedelta(seconds=60)
        try:
            self.work(database)
        except LeaseLost:  # the report had come, and the job is over
            assert self.jobs.read(self.claimed.fine_tune_id).state.is_terminal


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("after_commit", [False, True])
def test_a_gateway_that_is_killed_at_any_write_loses_no_job_that_is_lent_and_ends_it_once(
    tmp_path, after_commit
):
    killed_at = []
    for at_write in range(13):
        folder = tmp_path / f"{at_write}"
        folder.mkdir()
        jobs = Jobs(folder)
        job_id, host = jobs.start(), Host(jobs)
        crashing = CrashingDatabase(jobs.url, at_write, after_commit)
        search_scene.hurried(crashing)
        try:
            jobs.submitter(crashing, lends=True).advance()
            host.work(crashing)
            jobs.follower(crashing).advance()
        except PowerCut:
            killed_at.append(at_write)
            crashing.close()
            jobs.submitter(lends=True).advance()
            host.work_again(jobs.database)
            jobs.follower().advance()
        record = jobs.read(job_id)
        assert (record.state, record.has_adapter) == (FineTuneState.SUCCEEDED, True)
        assert jobs.kinds(job_id).count("finished") == 1
        assert jobs.kinds(job_id).count("step") == 1
        assert jobs.tuner.puts == [job_id]
        assert jobs.tuner.status(job_id) is None, "what was kept for hosts is gone"
        assert not FineTuneJournal(jobs.database).unsettled(submitted=True)
    assert killed_at == list(range(1, 12))


def test_a_generator_that_is_away_is_waited_for_and_said_so(jobs):
    job_id = jobs.start()
    jobs.tuner.unreachable = True
    jobs.submitter().advance()
    assert jobs.read(job_id).waiting_for == "generator: down"
    jobs.tuner.unreachable = False
    jobs.submitter().advance()
    assert (jobs.read(job_id).waiting_for, jobs.read(job_id).is_submitted) == (None, True)
    jobs.tuner.unreachable = True
    jobs.follower().advance()
    assert jobs.read(job_id).waiting_for == "generator: down"
    jobs.tuner.unreachable = False
    jobs.tuner.train(job_id)
    jobs.follower().advance()
    assert jobs.read(job_id).waiting_for is None


def test_a_job_that_the_generator_refuses_fails_with_its_words_and_the_next_goes_on(jobs):
    first, second = jobs.start(), jobs.start()
    jobs.tuner.refusal = {"status": 422, "code": "invalid_request", "field": "rank", "detail": "is too large"}
    jobs.submitter().advance()
    failure = jobs.read(first).failure
    assert (failure.reason, failure.message) == (
        "invalid_request", "The generator refuses the job: rank: is too large",
    )  # fmt: skip
    assert jobs.read(second).is_submitted


def test_a_job_that_fails_there_fails_here_with_the_reason(jobs):
    job_id = jobs.start()
    jobs.submitter().advance()
    jobs.tuner.fail(job_id)
    jobs.follower().advance()
    record = jobs.read(job_id)
    assert (record.state, record.failure.reason, record.has_adapter) == ("failed", "out_of_memory", False)
    assert jobs.kinds(job_id)[-1] == "finished"


def test_each_step_is_told_with_loss_speed_and_what_is_left(jobs):
    job_id = jobs.start()
    jobs.submitter().advance()
    jobs.tuner.train(job_id, steps=1, tokens_per_second=12.5, eta_seconds=3.0)
    jobs.follower().advance()
    (step,) = (one for one in read_events(jobs.database, fine_tune_topic(job_id), 0) if one.type == "step")
    assert step.data == {"step": 1, "loss": 1.0, "tokens_per_second": 12.5, "eta_seconds": 3.0}


def test_a_job_that_rests_is_tried_again_although_the_clock_was_set_back(jobs):
    job_id = jobs.start()
    jobs.submitter().advance()
    jobs.tuner.fail(job_id, retryable=True)
    jobs.follower().advance()
    jobs.follower(in_seconds=-3600).advance()
    assert jobs.tuner.retried == [job_id]


def test_a_failure_that_may_pass_is_tried_again_after_a_while_and_says_why(jobs):
    job_id = jobs.start()
    jobs.submitter().advance()
    jobs.tuner.fail(job_id, retryable=True)
    jobs.follower().advance()
    record = jobs.read(job_id)
    assert (record.state, record.retries, record.failure) == (FineTuneState.RUNNING, 1, None)
    assert record.waiting_for.startswith("try 1 of 3 after out_of_memory: The trainer had not enough memory.")
    jobs.follower(in_seconds=50).advance()
    assert not jobs.tuner.retried
    jobs.follower(in_seconds=70).advance()
    assert jobs.tuner.retried == [job_id]
    assert jobs.read(job_id).waiting_for is None
    jobs.tuner.train(job_id)
    jobs.tuner.succeed(job_id)
    jobs.follower().advance()
    assert jobs.read(job_id).state is FineTuneState.SUCCEEDED
    assert jobs.kinds(job_id) == ["state", "state", "chats", "retrying", "step", "step", "finished"]


def test_a_failure_that_does_not_pass_ends_the_job_after_three_more_tries(jobs):
    job_id = jobs.start()
    jobs.submitter().advance()
    for _ in range(10):
        if not jobs.read(job_id).state.is_terminal:
            jobs.tuner.fail(job_id, retryable=True)
            jobs.follower().advance()
            jobs.follower(in_seconds=1000).advance()
    record = jobs.read(job_id)
    assert (record.state, record.failure.reason) == ("failed", "out_of_memory")
    assert jobs.tuner.retried == [job_id] * 3
    assert not FineTuneJournal(jobs.database).unsettled(submitted=True)


def test_the_reason_of_a_further_try_is_told_again_after_the_generator_was_away(jobs):
    job_id = jobs.start()
    jobs.submitter().advance()
    jobs.tuner.fail(job_id, retryable=True)
    jobs.follower().advance()
    jobs.tuner.unreachable = True
    jobs.follower(in_seconds=1000).advance()
    assert jobs.read(job_id).waiting_for == "generator: down"
    jobs.tuner.unreachable = False
    jobs.follower().advance()
    assert jobs.read(job_id).waiting_for.startswith("try 1 of 3 after out_of_memory")


def test_a_job_that_waits_for_its_next_try_can_be_cancelled(jobs):
    job_id = jobs.start()
    jobs.submitter().advance()
    jobs.tuner.fail(job_id, retryable=True)
    jobs.follower().advance()
    jobs.store.cancel(job_id, "local")
    jobs.follower(in_seconds=1000).advance()
    assert jobs.read(job_id).state is FineTuneState.CANCELLED
    assert not jobs.tuner.retried
    assert jobs.tuner.status(job_id) is None


def test_a_generator_that_refuses_to_say_how_a_job_is_holds_up_no_other(jobs, monkeypatch):
    first, second = jobs.start(), jobs.start()
    known = jobs.tuner.status

    def status(job_id):
        if job_id == first:
            raise ServiceRefused("generator", 409, {"code": "damaged", "detail": "its folder is damaged"})
        return known(job_id)

    monkeypatch.setattr(jobs.tuner, "status", status)
    jobs.submitter().advance()
    assert jobs.read(first).failure.reason == "damaged"
    assert jobs.read(second).is_submitted


def test_a_job_whose_search_was_removed_fails_by_name_and_holds_up_no_other(jobs):
    first, second = jobs.start(), jobs.start()
    with jobs.database.write() as session:
        row = session.get_one(FineTuneRow, first)
        elites = {**row.request["elites"], "search_id": "se_gone"}
        row.request = {**row.request, "elites": elites}
    jobs.submitter().advance()
    assert jobs.read(first).failure.reason == "search_removed"
    assert "se_gone" in jobs.read(first).failure.message
    assert jobs.read(second).is_submitted


def test_what_nobody_expects_of_a_job_is_told_holds_up_no_other_and_ends(jobs, monkeypatch):
    first, second = jobs.start(), jobs.start()
    known = jobs.tuner.status

    def status(job_id):
        if job_id == first:
            raise KeyError("surprise")
        return known(job_id)

    monkeypatch.setattr(jobs.tuner, "status", status)
    submitter = jobs.submitter()
    submitter.advance()
    assert "KeyError" in jobs.read(first).waiting_for
    assert jobs.read(second).is_submitted
    for _ in range(MOST_ACCIDENTS - 1):
        submitter.advance()
    failure = jobs.read(first).failure
    assert (failure.reason, "KeyError" in failure.message) == ("platform_failed", True)


def test_a_generator_that_answers_slowly_keeps_no_silent_host_alive(jobs, monkeypatch):
    jobs.start()
    jobs.submitter().advance()
    attempts, extended, known = FineTuneAttempts(jobs.database, 3), [], jobs.tuner.status

    def status(job_id):
        time.sleep(1.3)
        return known(job_id)

    monkeypatch.setattr(jobs.tuner, "status", status)
    monkeypatch.setattr(attempts, "extend_leases", lambda: extended.append(time.monotonic()))
    journal, hosts = FineTuneJournal(jobs.database), TrainingHosts(jobs.database)
    follower = Follower(journal, jobs.tuner, attempts, hosts)
    follower.advance()
    follower.advance()
    assert len(extended) == 1


def test_without_a_delta_to_learn_from_a_job_fails_and_says_what_was_left_out(jobs):
    jobs.generator.unlearnable = _sources(jobs)
    job_id = jobs.start()
    jobs.submitter().advance()
    record = jobs.read(job_id)
    assert (record.state, record.failure.reason) == ("failed", "no_usable_pairs")
    assert record.chats["left_out"]["no_delta"] > 0
    assert not jobs.tuner.puts


def test_a_job_whose_folder_somebody_removed_is_lost(jobs):
    job_id = jobs.start()
    jobs.submitter().advance()
    jobs.tuner.lose(job_id)
    jobs.follower().advance()
    assert jobs.read(job_id).failure.reason == "job_lost"


def test_a_job_cancelled_before_it_was_handed_in_is_never_handed_in(jobs):
    job_id = jobs.start()
    jobs.store.cancel(job_id, "local")
    jobs.submitter().advance()
    assert not jobs.tuner.puts
    assert not FineTuneJournal(jobs.database).unsettled(submitted=False)


def test_a_job_cancelled_while_its_chats_are_made_is_never_handed_in(jobs):
    job_id = jobs.start()
    made = jobs.generator.training_pairs

    def cancelling(*arguments):
        jobs.store.cancel(job_id, "local")
        return made(*arguments)

    jobs.generator.training_pairs = cancelling
    jobs.submitter().advance()
    assert jobs.read(job_id).state is FineTuneState.CANCELLED
    assert not jobs.tuner.puts
    assert not FineTuneJournal(jobs.database).unsettled(submitted=False)


def test_more_events_than_one_answer_holds_are_all_told_before_the_end(jobs):
    job_id = jobs.start()
    jobs.submitter().advance()
    jobs.tuner.train(job_id, steps=1500)
    jobs.tuner.succeed(job_id)
    jobs.follower().advance()
    assert jobs.read(job_id).state is FineTuneState.RUNNING
    jobs.follower().advance()
    assert jobs.read(job_id).state is FineTuneState.SUCCEEDED
    assert jobs.read(job_id).events_seen == 1501


def test_a_gateway_that_stops_leaves_the_job_for_the_next_start(jobs):
    job_id = jobs.start()
    with pytest.raises(Stopped):
        jobs.submitter(is_stopping=lambda: True).advance()
    assert not jobs.tuner.puts
    jobs.submitter().advance()
    assert jobs.tuner.puts == [job_id]


def _sources(jobs) -> set[str]:
    journal = search_scene.Scene(jobs.database, jobs.search_id).journal
    return {journal.source(slot.proposal_id) for slot in journal.slots() if slot.candidate_id}
