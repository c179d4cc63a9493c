"""An agent whose host trains: what becomes of a job and its lease, whatever happens around it."""

import threading
from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Thread

import pytest
from fakes import fine_tune_settings
from processes import until

from contracts.fine_tune_attempts import ClaimedFineTune, LeaseKept
from contracts.fine_tuning import (
    FineTuneCare,
    FineTuneEvent,
    FineTuneFailure,
    FineTuneResult,
    FineTuneState,
    FineTuneStatus,
)
from sandbox_runner.agent import handing_in, training_errand
from sandbox_runner.agent.links import Rejected, Unreachable
from sandbox_runner.agent.settings import AgentSettings
from sandbox_runner.agent.training_agent import TrainingHeart
from sandbox_runner.agent.training_errand import TrainingErrands

DOWN = Unreachable("connection refused")
LOST = Rejected(409, "The lease is over.", "lease_lost")
RESULT = FineTuneResult("job", True, "It fell.", "job", 2, 1.0, 0.5)
SETTINGS = fine_tune_settings(model="tiny", parent_adapter=None, seed=0)


class Gateway:
    """The gateway as one agent sees it: one attempt at one job."""

    def __init__(self, parent=None, lease_seconds=0.1):
        self.claimed = ClaimedFineTune("fa_1", "job", 1, parent, "token", lease_seconds)
        self.told, self.reports, self.released, self.delivered = [], [], [], []
        self.steps, self.seen = [], 0
        self.kept = LeaseKept(cancel=False, events_seen=0)
        self.trouble = {}
        self.chunks = [b"settings\n", b"chat\n"]
        self.forgettable = ()

    def _may_fail(self, call):
        if self.trouble.get(call):
            raise self.trouble[call].pop(0)

    def claim(self, agent_id, attempt_id, key):
        self._may_fail("claim")
        return self.claimed

    def heartbeat(self, lease, news):
        self._may_fail("heartbeat")
        self.told.append(news)
        self._take(news)
        return replace(self.kept, events_seen=self.seen)

    def _take(self, news):
        if news.status is not None:
            self.seen = max(self.seen, news.begins_after)
        fresh = [event for event in news.events if event.sequence > self.seen]
        self.steps += [event.sequence for event in fresh]
        self.seen = fresh[-1].sequence if fresh else self.seen

    def report(self, lease, outcome):
        self._may_fail("report")
        self._take(outcome.news)
        self.reports.append(outcome)

    def release(self, lease):
        self.released.append(lease.attempt_id)

    def deliver(self, lease, content):
        self._may_fail("deliver")
        self.delivered.append(b"".join(content))

    @contextmanager
    def chats(self, lease):
        self._may_fail("chats")
        yield iter(self.chunks)

    @contextmanager
    def parent(self, lease):
        yield iter([b"parent"])

    def heartbeat_agent(self, agent_id, host):
        self.host = host
        return self.forgettable


class Generator:
    """A generator that has trained a job after some questions about it."""

    def __init__(self, questions=3):
        self.questions = questions
        self.jobs, self.log, self.puts, self.parents = {}, [], [], {}
        self.forgotten = []
        self.trouble = {}
        self.end = {"state": FineTuneState.SUCCEEDED, "result": RESULT}
        self.put_is_over = Event()

    def _may_fail(self, call):
        if self.trouble.get(call):
            raise self.trouble[call].pop(0)

    def status(self, job_id):
        self._may_fail("status")
        if job_id not in self.jobs:
            return None
        status = self.jobs[job_id]
        if status.state is FineTuneState.RUNNING and not status.rests:
            self.log.append(FineTuneEvent(len(self.log) + 1, "now", "step", {}))
            self.questions -= 1
            if self.questions <= 0:
                status = replace(status, **self.end)
        self.jobs[job_id] = status = replace(status, last_event=len(self.log))
        return status

    def events(self, job_id, after):
        return tuple(self.log[after : after + training_errand.MOST_EVENTS])

    def put(self, job_id, content):
        self._may_fail("put")
        self.puts.append(b"".join(content))
        new = FineTuneStatus(job_id, FineTuneState.RUNNING, "", SETTINGS, "c", "d", "now",
                             care=FineTuneCare.BORROWED)  # fmt: skip
        known = self.jobs.get(job_id, new)
        self.jobs[job_id] = replace(known, rests=False)
        return self.jobs[job_id]

    def rest(self, job_id):
        if job_id in self.jobs and not self.jobs[job_id].state.is_terminal:
            self.jobs[job_id] = replace(self.jobs[job_id], rests=True)

    def has_adapter(self, adapter_id):
        return adapter_id in self.parents

    def take_adapter(self, adapter_id, content):
        self.parents[adapter_id] = b"".join(content)

    @contextmanager
    def parcel(self, adapter_id):
        yield iter([b"adapter of ", adapter_id.encode()])

    def borrowed(self):
        return list(self.jobs.values())

    def models(self):
        return {"tiny": "aa"}

    def forget(self, status):
        self.forgotten.append(status.id)
        del self.jobs[status.id]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(handing_in, "PAUSE_SECONDS", 0.01)


def run(gateway, generator, hurrying=None):
    errands = TrainingErrands("gpu-1", gateway, generator, hurrying or Event())
    assert errands.run("fa_1") is True
    assert errands.under_way == 0


def endless():
    return Generator(questions=10**9)


def test_a_job_is_brought_trained_told_of_delivered_and_reported():
    gateway, generator = Gateway(parent="before"), Generator(questions=5)
    run(gateway, generator)
    assert generator.parents == {"before": b"parent"}
    assert generator.puts == [b"settings\nchat\n"]
    assert gateway.delivered == [b"adapter of job"]
    (outcome,) = gateway.reports
    assert (outcome.result, outcome.failure) == (RESULT, None)
    assert gateway.steps == list(range(1, len(generator.log) + 1))


def test_a_parent_that_is_there_is_not_brought_again():
    gateway, generator = Gateway(parent="before"), Generator()
    generator.parents["before"] = b"as it was"
    run(gateway, generator)
    assert generator.parents == {"before": b"as it was"}


def test_a_refused_claim_is_dropped():
    gateway = Gateway()
    gateway.claimed = None
    assert TrainingErrands("gpu-1", gateway, Generator(), Event()).run("fa_1") is False


def test_how_training_failed_is_reported_and_nothing_is_delivered():
    gateway, generator = Gateway(), Generator()
    failure = FineTuneFailure("non_finite", "It became infinite.", "Lower the rate.", retryable=False)
    generator.end = {"state": FineTuneState.FAILED, "failure": failure}
    run(gateway, generator)
    assert [outcome.failure for outcome in gateway.reports] == [failure]
    assert not gateway.delivered


@pytest.mark.parametrize("how", ["lease lost", "cancelled"])
def test_a_job_that_nobody_wants_any_more_rests_at_once_and_is_not_reported(how):
    gateway, generator = Gateway(), endless()
    if how == "cancelled":
        gateway.kept = LeaseKept(cancel=True, events_seen=0)
    else:
        gateway.trouble["heartbeat"] = [DOWN, LOST]
    run(gateway, generator)
    assert generator.jobs["job"].rests
    assert not gateway.reports + gateway.released


def test_a_job_under_way_is_given_back_when_the_agent_must_stop():
    gateway, generator, hurrying = Gateway(), endless(), Event()
    thread = Thread(target=run, args=(gateway, generator, hurrying))
    thread.start()
    until(lambda: gateway.told and gateway.steps, 30, "the job is trained")
    hurrying.set()
    thread.join(30)
    assert gateway.released == ["fa_1"]
    assert generator.jobs["job"].rests
    assert not gateway.reports


def test_a_lease_is_kept_while_chats_are_on_their_way_and_a_lost_one_ends_the_transfer():
    gateway, generator = Gateway(), Generator()

    def slowly():
        for number in range(10**9):
            threading.Event().wait(0.01)
            if len(gateway.told) >= 3 and not gateway.trouble:
                gateway.trouble["heartbeat"] = [LOST]
            yield b"chat %d" % number

    gateway.chunks = slowly()
    run(gateway, generator)
    assert len(gateway.told) >= 3
    assert not generator.puts
    assert not gateway.reports


def test_a_generator_that_was_started_anew_is_asked_to_go_on():
    gateway, generator = Gateway(), Generator(questions=6)
    asked = generator.status

    def status(job_id):
        if generator.questions == 3 and len(generator.puts) == 1:
            generator.rest(job_id)
        return asked(job_id)

    generator.status = status
    run(gateway, generator)
    assert len(generator.puts) == 2
    assert gateway.reports[0].result == RESULT


def test_of_a_job_that_was_here_before_only_what_is_new_is_told():
    gateway, generator = Gateway(), Generator()
    generator.log = [FineTuneEvent(number, "now", "step", {}) for number in range(1, 8)]
    generator.jobs["job"] = FineTuneStatus("job", FineTuneState.RUNNING, "", SETTINGS, "c", "d", "now",
                                           rests=True, last_event=7, care=FineTuneCare.BORROWED)  # fmt: skip
    run(gateway, generator)
    assert gateway.steps == list(range(8, len(generator.log) + 1))


def test_more_events_than_one_answer_holds_are_all_told(monkeypatch):
    monkeypatch.setattr(training_errand, "MOST_EVENTS", 4)
    gateway, generator = Gateway(), Generator(questions=1)
    generator.log = [FineTuneEvent(number, "now", "step", {}) for number in range(1, 30)]
    run(gateway, generator)
    assert gateway.steps == list(range(1, 31))


def test_services_that_are_away_are_waited_for_and_the_report_is_repeated():
    gateway, generator = Gateway(), Generator()
    gateway.trouble = {"chats": [DOWN, DOWN], "report": [DOWN, DOWN], "deliver": [DOWN], "heartbeat": [DOWN]}
    generator.trouble = {"status": [DOWN], "put": [DOWN]}
    run(gateway, generator)
    assert [outcome.result for outcome in gateway.reports] == [RESULT]
    assert gateway.delivered == [b"adapter of job"]


def test_a_host_in_lasting_trouble_lets_another_try(monkeypatch):
    monkeypatch.setattr(training_errand, "TROUBLE_SECONDS", 0.05)
    gateway, generator = Gateway(), Generator()
    generator.trouble = {"put": [Unreachable("503 the disk is full")] * 1000}
    run(gateway, generator)
    (outcome,) = gateway.reports
    assert (outcome.failure.reason, outcome.failure.retryable) == ("host_in_trouble", True)
    assert "the disk is full" in outcome.failure.message


def test_what_the_generator_refuses_is_said_with_its_words():
    gateway, generator = Gateway(), Generator()
    generator.trouble = {"put": [Rejected(409, "The fine-tune 'job' is here as lent.", "fine_tune_differs")]}
    run(gateway, generator)
    (outcome,) = gateway.reports
    assert (outcome.failure.reason, outcome.failure.retryable) == ("fine_tune_differs", True)
    assert "is here as lent" in outcome.failure.message


def test_a_delivery_that_comes_too_late_is_dropped():
    gateway, generator = Gateway(), Generator()
    gateway.trouble = {"deliver": [LOST]}
    run(gateway, generator)
    assert not gateway.reports


def test_jobs_that_have_ended_are_forgotten_and_a_draining_agent_offers_nothing():
    gateway, generator, draining = Gateway(), Generator(), Event()
    generator.put("job", [b""])
    generator.put("other", [b""])
    settings = AgentSettings(
        service_token="t", agent_resource="generator_svc.fine_tune", agent_id="gpu-1", agent_gpus=1
    )
    heart = TrainingHeart(settings, gateway, generator, draining)
    gateway.forgettable = ("other", "never heard of")
    heart.beat()
    assert (gateway.host.slots, gateway.host.models, gateway.host.gpus) == (1, {"tiny": "aa"}, 1)
    assert set(gateway.host.borrowed) == {"job", "other"}
    assert generator.forgotten == ["other"]
    draining.set()
    heart.beat()
    assert gateway.host.slots == 0
