"""Which host trains which fine-tune, and whose turn it is."""

from contracts.fine_tune_attempts import TrainingHost
from gateway.domain.training_hosts import Listener, Training, can_train, in_turn, obstacle, places


def host(slots: int = 1, borrowed: tuple[str, ...] = (), **models: str) -> TrainingHost:
    return TrainingHost(slots, models or {"tiny": "aa"}, borrowed=borrowed)


def training(name: str, tenant: str = "local", model: str = "tiny", weights: str | None = None) -> Training:
    return Training(name, tenant, model, weights, f"job of {name}")


def names(trainings: list[Training]) -> list[str]:
    return [one.attempt_id for one in trainings]


def test_a_host_trains_a_model_that_it_has_with_the_weights_that_the_adapter_is_for():
    assert can_train(host(), training("a"))
    assert can_train(host(), training("a", weights="aa"))
    assert not can_train(host(), training("a", weights="bb"))
    assert not can_train(host(), training("a", model="large"))


def test_many_jobs_of_one_tenant_do_not_hold_up_another_ones():
    waiting = [*(training(f"a{number}", "alice") for number in range(4)), training("b", "bob")]
    assert names(in_turn(waiting, {})) == ["a0", "b", "a1", "a2", "a3"]
    assert names(in_turn(waiting, {"alice": 1})) == ["b", "a0", "a1", "a2", "a3"]
    assert names(in_turn(waiting, {"bob": 2})) == ["a0", "a1", "a2", "b", "a3"]


def test_what_every_host_can_train_goes_to_whoever_is_free_first():
    listeners = [Listener("x", host(), 1), Listener("y", host(), 1)]
    assert places([training("a"), training("b"), training("c")], listeners, 2) == {"a": None, "b": None}


def test_what_not_every_host_can_train_goes_to_one_that_can_and_others_pass_it_by():
    listeners = [Listener("x", host(large="ll"), 1), Listener("y", host(), 1)]
    waiting = [training("a", model="large"), training("b", model="large"), training("c"), training("d")]
    assert places(waiting, listeners, 2) == {"a": "x", "c": "y"}


def test_a_job_goes_to_the_host_that_can_go_on_with_it_while_that_one_is_free():
    begun = Listener("x", host(borrowed=("job of a",)), 1)
    others = [Listener("y", host(), 1), Listener("z", host(), 1)]
    assert places([training("a")], [begun, *others], 3) == {"a": "x"}
    assert places([training("b"), training("a")], [begun, *others], 3) == {"b": None, "a": "x"}
    busy = Listener("x", begun.host, 0)
    assert places([training("a")], [busy, *others], 2) == {"a": None}


def test_what_no_host_can_train_waits_and_holds_up_nothing():
    listeners = [Listener("x", host(), 1)]
    assert places([training("a", model="large"), training("b")], listeners, 1) == {"b": None}
    assert places([training("a")], [], 0) == {}


def test_a_job_that_nobody_can_train_says_what_is_missing():
    assert "no agent that trains" in obstacle([], training("a"))
    assert "no agent that trains" in obstacle([host(slots=0)], training("a"))
    missing = obstacle([host(other="oo")], training("a"))
    assert "has the model tiny; they have: other" in missing
    assert "other weights under the name tiny" in obstacle([host(tiny="bb")], training("a", weights="aa"))
    assert obstacle([host(tiny="bb"), host()], training("a", weights="aa")) is None
