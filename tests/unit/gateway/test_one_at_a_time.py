"""Who may begin something long while something else of its kind is still there."""

import threading

from gateway.loop import one_at_a_time
from gateway.loop.one_at_a_time import OneAtATime


class Long:
    """Something long."""

    def __init__(self) -> None:
        self.is_over = False
        self.is_abandoned = False


def test_a_newcomer_waits_for_what_nobody_waits_for(monkeypatch):
    door, first, looked, entered = OneAtATime(), Long(), threading.Event(), []
    assert door.enter(first)
    first.is_abandoned = True
    monkeypatch.setattr(
        one_at_a_time.time, "sleep", lambda seconds: looked.set() or threading.Event().wait(0.01)
    )
    waiting = threading.Thread(target=lambda: entered.append(door.enter(Long())))
    waiting.start()
    assert looked.wait(30)
    assert entered == []
    first.is_over = True
    waiting.join(30)
    assert entered == [True]


def test_a_newcomer_is_turned_away_from_what_goes_on_and_in_the_end_from_what_does_not_end(monkeypatch):
    monkeypatch.setattr(one_at_a_time, "NOTICING_SECONDS", 0.0)
    door, first = OneAtATime(), Long()
    assert door.enter(first)
    assert not door.enter(Long())
    first.is_abandoned = True
    monkeypatch.setattr(one_at_a_time, "ENDING_SECONDS", 0.0)
    assert not door.enter(Long())
    first.is_over = True
    assert door.enter(Long())
