import time
from threading import Thread

import pytest
from attempt_scene import make_spec
from fakes import FakeGatewayLink, FakeRunnerLink
from processes import until

from contracts.failures import FailureReason
from sandbox_runner.agent import claiming, errand
from sandbox_runner.agent import slot as slot_module
from sandbox_runner.agent.errand import Errands
from sandbox_runner.agent.links import Rejected, Unreachable
from sandbox_runner.agent.slot import Slot
from sandbox_runner.agent.stop import Stop

DOWN = Unreachable("connection refused")


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    for module in (claiming, errand, slot_module):
        monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)


def a_slot(gateway: FakeGatewayLink, runner: FakeRunnerLink, stop: Stop) -> tuple[Thread, Errands]:
    """A slot at work, in a thread of its own."""
    errands = Errands("agent", gateway, runner, stop.hurrying)  # type: ignore[arg-type]
    slot = Slot(
        "agent", gateway, lambda: runner.capabilities().tier is not None, errands, 0.01, stop.draining
    )
    thread = Thread(target=slot.work)
    thread.start()
    return thread, errands


def work_off(gateway: FakeGatewayLink, runner: FakeRunnerLink) -> None:
    """Let a slot work until it asks in vain."""
    stop = Stop()
    thread, errands = a_slot(gateway, runner, stop)
    assert gateway.idle.wait(10), "the slot never came back for more"
    stop.ask()
    thread.join(10)
    assert errands.under_way == 0


def reasons(gateway: FakeGatewayLink) -> list[FailureReason]:
    return [outcome.failure.reason for outcome in gateway.reports if outcome.failure is not None]


def test_each_attempt_is_run_reported_once_and_forgotten() -> None:
    gateway = FakeGatewayLink([make_spec(attempt_id="at_1"), make_spec(attempt_id="at_2")])
    runner = FakeRunnerLink()
    work_off(gateway, runner)

    assert [outcome.attempt_id for outcome in gateway.reports] == ["at_1", "at_2"]
    assert runner.deleted == ["at_1", "at_2"]
    assert "training" in gateway.phases


def test_a_refused_claim_is_dropped() -> None:
    gateway = FakeGatewayLink([make_spec(attempt_id="at_1"), make_spec(attempt_id="at_2")])
    gateway.refused_claims = {"at_1"}
    work_off(gateway, FakeRunnerLink())

    assert [outcome.attempt_id for outcome in gateway.reports] == ["at_2"]


def test_a_cancelled_attempt_is_killed_and_not_reported() -> None:
    gateway, runner = FakeGatewayLink([make_spec()]), FakeRunnerLink(questions=10**6)
    gateway.cancels = True
    work_off(gateway, runner)

    assert (gateway.reports, runner.deleted) == ([], ["at_1"])


def test_a_lost_lease_ends_the_attempt() -> None:
    gateway, runner = FakeGatewayLink([make_spec()]), FakeRunnerLink(questions=10**6)
    gateway.trouble["heartbeat"] = [DOWN, DOWN, Rejected(409, "lease lost")]
    work_off(gateway, runner)

    assert (gateway.reports, runner.deleted) == ([], ["at_1"])


def test_a_gateway_that_is_away_for_a_while_still_gets_its_report() -> None:
    gateway = FakeGatewayLink([make_spec()])
    gateway.trouble = {"next_attempt": [DOWN], "heartbeat": [DOWN], "report": [DOWN, DOWN, DOWN]}
    work_off(gateway, FakeRunnerLink())

    assert reasons(gateway) == [FailureReason.TRAIN_ERROR]


def test_what_an_earlier_delivery_left_in_the_runner_is_removed_and_the_attempt_runs() -> None:
    class Runner(FakeRunnerLink):
        """An attempt of that name is known under an older fence, until it is removed."""

        def put(self, spec):
            if not self.deleted:
                raise Rejected(409, "at_1 is known with fence 0", "fence_conflict")
            return super().put(spec)

    gateway, runner = FakeGatewayLink([make_spec()]), Runner()
    work_off(gateway, runner)

    assert reasons(gateway) == [FailureReason.TRAIN_ERROR]
    assert runner.deleted == ["at_1", "at_1"]


def test_a_stale_report_is_dropped() -> None:
    gateway, runner = FakeGatewayLink([make_spec()]), FakeRunnerLink()
    gateway.trouble["report"] = [Rejected(409, "stale fence")]
    work_off(gateway, runner)

    assert (gateway.reports, runner.deleted) == ([], ["at_1"])


def test_a_busy_runner_is_waited_for_under_heartbeats() -> None:
    gateway, runner = FakeGatewayLink([make_spec()]), FakeRunnerLink()
    runner.trouble["put"] = [Rejected(409, "no free slot"), DOWN, Rejected(409, "no free slot")]
    work_off(gateway, runner)

    assert reasons(gateway) == [FailureReason.TRAIN_ERROR]
    assert gateway.phases[:3] == ["waiting"] * 3


def test_what_the_runner_refuses_for_good_is_the_platforms_failure() -> None:
    gateway, runner = FakeGatewayLink([make_spec()]), FakeRunnerLink()
    runner.trouble["put"] = [Rejected(422, "dataset: not ready")]
    work_off(gateway, runner)

    assert reasons(gateway) == [FailureReason.INFRASTRUCTURE]
    assert gateway.reports[0].failure is not None
    assert "dataset: not ready" in gateway.reports[0].failure.message


def test_an_attempt_that_a_new_runner_does_not_know_is_the_platforms_failure() -> None:
    gateway, runner = FakeGatewayLink([make_spec()]), FakeRunnerLink()
    runner.put = lambda spec: None  # type: ignore[assignment, method-assign, return-value]
    work_off(gateway, runner)

    assert reasons(gateway) == [FailureReason.INFRASTRUCTURE]


def test_no_work_is_asked_for_while_nothing_can_run() -> None:
    gateway, runner = FakeGatewayLink([make_spec()]), FakeRunnerLink()
    runner.ready = False
    stop = Stop()
    thread, _ = a_slot(gateway, runner, stop)
    time.sleep(0.1)
    assert gateway.phases == []
    assert not gateway.idle.is_set()
    runner.ready = True
    assert gateway.idle.wait(5)
    stop.ask()
    thread.join(5)

    assert len(gateway.reports) == 1


def test_a_slot_that_drains_ends_what_it_runs_and_takes_nothing_new() -> None:
    gateway = FakeGatewayLink([make_spec(attempt_id="at_1"), make_spec(attempt_id="at_2")])
    stop = Stop()
    thread, _ = a_slot(gateway, FakeRunnerLink(questions=30), stop)
    until(lambda: gateway.phases, 5, "an attempt is under way")
    stop.ask()
    thread.join(10)

    assert not thread.is_alive()
    assert [outcome.attempt_id for outcome in gateway.reports] == ["at_1"]
    assert gateway.released == []


def test_an_agent_in_a_hurry_gives_its_attempt_back_and_reports_no_failure() -> None:
    gateway, runner = FakeGatewayLink([make_spec()]), FakeRunnerLink(questions=10**6)
    stop = Stop()
    thread, _ = a_slot(gateway, runner, stop)
    until(lambda: gateway.phases, 5, "an attempt is under way")
    stop.ask()
    stop.ask()
    thread.join(5)

    assert not thread.is_alive()
    assert gateway.released == ["at_1"]
    assert (gateway.reports, runner.deleted) == ([], ["at_1"])


def test_a_gateway_that_does_not_hear_of_it_does_not_keep_the_agent_from_ending() -> None:
    gateway, runner = FakeGatewayLink([make_spec()]), FakeRunnerLink(questions=10**6)
    gateway.trouble["release"] = [DOWN]
    stop = Stop()
    thread, _ = a_slot(gateway, runner, stop)
    until(lambda: gateway.phases, 5, "an attempt is under way")
    stop.hurry()
    thread.join(5)

    assert not thread.is_alive()
    assert (gateway.released, runner.deleted) == ([], ["at_1"])


def test_an_attempt_that_is_delivered_again_while_it_runs_is_claimed_once() -> None:
    gateway, runner = FakeGatewayLink([make_spec()]), FakeRunnerLink(questions=10**6)
    stop = Stop()
    thread, errands = a_slot(gateway, runner, stop)
    until(lambda: gateway.phases, 5, "an attempt is under way")

    assert errands.run("at_1") is False
    assert errands.under_way == 1
    stop.hurry()
    thread.join(5)
