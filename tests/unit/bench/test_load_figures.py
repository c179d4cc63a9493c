"""The bench of load finds the rate that holds, and says of latencies what they are."""

import math

import pytest
from load import open_loop
from load.deadline import Deadline
from load.open_loop import Ramp, Step, ramp
from load.percentiles import percentile, summary


def step(rate, p99=0.1, missing=0):
    refused = {429: missing} if missing else {}
    return Step(rate, 100, 100 - missing, refused, 1.0, 0.05, p99, gateway_cpu_seconds=0.5)


def test_a_percentile_is_a_value_that_was_seen():
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0
    assert percentile(list(range(1, 101)), 0.99) == 99
    assert percentile([7.0], 0.99) == 7.0
    assert math.isnan(percentile([], 0.5))
    assert summary([0.002, 0.001]) == {"p50_ms": 1.0, "p99_ms": 2.0, "max_ms": 2.0}


def test_a_rate_holds_when_all_were_accepted_in_time():
    assert step(10).holds
    assert not step(10, p99=0.26).holds
    assert not step(10, missing=1).holds


def test_the_best_rate_is_the_highest_that_held():
    assert Ramp((step(20), step(25), step(31, p99=1.0), step(31, missing=3))).best == step(25)
    assert Ramp((step(20, p99=9.0),)).best is None
    assert Ramp((step(20),)).document()["best"]["rate"] == 20


def test_a_ramp_ends_once_a_rate_has_failed_twice(monkeypatch):
    offered = []

    def offer(_gateway, rate, seconds, first_seed):
        offered.append(rate)
        return step(rate, p99=1.0 if rate > 20 else 0.1)

    monkeypatch.setattr(open_loop, "offer", offer)
    found = ramp(None, first_rate=16.0, step_seconds=1.0, most_steps=20, deadline=Deadline(600))
    assert [round(one.rate, 1) for one in found.steps] == [16.0, 20.0, 25.0, 25.0]
    assert found.best.rate == pytest.approx(20.0)
    assert offered[0] == 16.0, "its first requests are not counted"
    assert len(ramp(None, 16.0, 1.0, most_steps=2, deadline=Deadline(600)).steps) == 2
    assert ramp(None, 16.0, 1.0, most_steps=20, deadline=Deadline(0)).steps == ()
