from dataclasses import replace
from threading import Event, Thread

import pytest
from attempt_scene import make_spec

from contracts.failures import Failure, FailureReason
from contracts.jobs import AttemptOutcome, AttemptSpec
from sandbox_runner import attempt_table
from sandbox_runner.attempt_table import AttemptTable, AttemptUnknown, FenceConflict, NoFreeSlot
from sandbox_runner.phases import Phase


class Work:
    """Attempts that last until they are released or cancelled."""

    def __init__(self) -> None:
        self.release = Event()
        self.started: list[str] = []

    def __call__(self, spec: AttemptSpec, cancelled: Event, on_phase) -> AttemptOutcome:
        self.started.append(spec.attempt_id)
        on_phase(Phase.TRAINING)
        while not self.release.is_set() and not cancelled.wait(0.01):
            pass
        reason = FailureReason.INFRASTRUCTURE if cancelled.is_set() else FailureReason.TRAIN_ERROR
        return AttemptOutcome(spec.attempt_id, spec.fence, None, Failure(reason, "over"), None, None)


@pytest.fixture
def work():
    work = Work()
    yield work
    work.release.set()


def spec(number: int, **changes) -> AttemptSpec:
    return make_spec(attempt_id=f"at_{number}", **changes)


def test_an_attempt_runs_once_however_often_it_is_put(work: Work) -> None:
    table = AttemptTable(2, 1, work)
    table.put(spec(1))

    assert table.put(spec(1)).state == "running"
    work.release.set()
    assert table.get("at_1", 5).state == "finished"
    assert table.put(spec(1)).outcome is not None
    assert work.started == ["at_1"]


def test_no_more_attempts_run_than_there_are_slots(work: Work) -> None:
    table = AttemptTable(2, 1, work)
    table.put(spec(1))
    table.put(spec(2))

    with pytest.raises(NoFreeSlot):
        table.put(spec(3))
    table.remove("at_1")
    assert table.put(spec(3)).state == "running"


def test_a_machine_without_threads_to_give_loses_no_slot(work: Work, monkeypatch) -> None:
    table = AttemptTable(1, 1, work)

    def refuse(_thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as exhausted:
        exhausted.setattr(attempt_table.Thread, "start", refuse)
        with pytest.raises(NoFreeSlot, match="no thread"):
            table.put(spec(1))
    assert table.put(spec(1)).state == "running"


def test_an_attempt_with_more_threads_takes_more_slots(work: Work) -> None:
    table = AttemptTable(3, 2, work)
    table.put(spec(1, threads=3))

    with pytest.raises(NoFreeSlot):
        table.put(spec(2, threads=3))
    table.put(spec(3, threads=2))


def test_another_fence_needs_the_older_attempt_removed(work: Work) -> None:
    table = AttemptTable(2, 1, work)
    table.put(spec(1))

    with pytest.raises(FenceConflict):
        table.put(replace(spec(1), fence=2))
    table.remove("at_1")
    assert table.put(replace(spec(1), fence=2)).state == "running"


def test_a_removed_attempt_is_killed_and_unknown(work: Work) -> None:
    table = AttemptTable(1, 1, work)
    table.put(spec(1))
    table.remove("at_1")

    with pytest.raises(AttemptUnknown):
        table.get("at_1")
    table.remove("at_1")


def test_waiting_ends_with_the_attempt(work: Work) -> None:
    table = AttemptTable(1, 1, work)
    table.put(spec(1))
    assert table.get("at_1", 0.05).state == "running"
    assert table.get("at_1").phase in {"preparing", "training"}
    work.release.set()

    outcome = table.get("at_1", 5).outcome
    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.TRAIN_ERROR


def test_old_outcomes_are_forgotten_and_running_attempts_are_not(work: Work, monkeypatch) -> None:
    monkeypatch.setattr(attempt_table, "KEPT_OUTCOMES", 3)
    work.release.set()
    table = AttemptTable(1, 1, work)
    for number in range(8):
        table.put(spec(number))
        table.get(f"at_{number}", 5)

    assert [status.attempt_id for status in table.all()] == ["at_4", "at_5", "at_6", "at_7"]


def test_closing_kills_everything(work: Work) -> None:
    table = AttemptTable(2, 1, work)
    table.put(spec(1))
    table.put(spec(2))
    table.close()

    assert [status.state for status in table.all()] == ["finished", "finished"]


def test_work_that_breaks_frees_its_slot() -> None:
    def broken(*_: object) -> AttemptOutcome:
        raise SystemError("unexpected")

    table = AttemptTable(1, 1, broken)
    for number in range(3):
        table.put(spec(number))
        with pytest.raises(AttemptUnknown):
            table.get(f"at_{number}", 5)


def test_work_that_breaks_when_it_is_killed_keeps_nobody_waiting(monkeypatch) -> None:
    def broken(_spec: AttemptSpec, cancelled: Event, _on_phase) -> AttemptOutcome:
        cancelled.wait(20)
        raise SystemError("unexpected")

    monkeypatch.setattr(attempt_table, "REMOVE_SECONDS", 3600.0)
    table = AttemptTable(1, 1, broken)
    table.put(spec(1))
    removing = Thread(target=table.remove, args=("at_1",), daemon=True)
    removing.start()
    removing.join(20)

    assert not removing.is_alive()
    assert table.all() == []
