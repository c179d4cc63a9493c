"""Evaluations of the kind `smoke`: stored, handed out, reported, shown as what they are, never as a score."""

from dataclasses import asdict, replace

import pytest
from fakes import outcome
from gateway_scene import SOURCE, gateway_in

from contracts.failures import Failure, FailureReason
from contracts.measurements import SmokeResult
from contracts.names import AttemptKind, AttemptState, EvaluationState, IsolationTier, ScoredOn
from gateway.domain.evaluation import SMOKE_LIMITS, smoke_request
from gateway.domain.lifecycle import AttemptFacts, standing
from gateway.domain.outcome_checks import checked_outcome
from gateway.infra.evaluation_rows import request_document, reuse_key, stored_request

RESULT = SmokeResult(8, 0.1, 1.5, 1.2, 10**8, claimed_parameters=421)


@pytest.fixture
def scene(tmp_path):
    with gateway_in(tmp_path / "home") as scene:
        scene.agent.heartbeat()
        yield scene


def smoked(spec, result=RESULT):
    return replace(outcome(spec), measurement=None, smoke=result)


def test_a_smoke_evaluation_succeeds_with_parameters_and_without_accuracy(scene):
    accepted = scene.submit(kind="smoke")
    assert (accepted["kind"], accepted["request"]["limits"]["cpu_seconds"]) == ("smoke", 60.0)
    claimed = scene.agent.claim_next()
    assert claimed.spec.kind is AttemptKind.SMOKE
    scene.agent.send(claimed, asdict(smoked(claimed.spec)))
    shown = scene.read(accepted)
    assert shown["state"] == "succeeded"
    assert shown["measurement"] is None
    assert shown["smoke"]["claimed_parameters"] == 421
    assert "accuracy" not in shown["smoke"]


def test_own_limits_of_a_smoke_evaluation_are_kept(scene):
    accepted = scene.submit(kind="smoke", limits={"cpu_seconds": 7.0})
    assert accepted["request"]["limits"]["cpu_seconds"] == 7.0


def test_the_list_tells_the_kinds_apart(scene):
    smoke, whole = scene.submit(kind="smoke"), scene.submit()
    for kind, expected in (("smoke", smoke), ("evaluate", whole)):
        items = scene.http.get("/v1/evaluations", params={"kind": kind}).json()["items"]
        assert [item["id"] for item in items] == [expected["id"]]


def test_a_smoke_result_answers_the_next_smoke_request_and_no_evaluation(scene):
    first = scene.submit(kind="smoke")
    claimed = scene.agent.claim_next()
    scene.agent.send(claimed, asdict(smoked(claimed.spec)))
    again = scene.submit(kind="smoke")
    assert (again["state"], again["provenance"]["reused_from"]) == ("succeeded", first["id"])
    assert again["smoke"]["claimed_parameters"] == 421
    assert scene.submit()["state"] == "queued"


def check(found, kind):
    return checked_outcome(
        found, kind=kind, scored_on=ScoredOn.ALL, minimum_tier=IsolationTier.NAMESPACES
    ).failure


def test_a_result_of_the_other_kind_is_the_platforms_failure(scene):
    scene.submit()
    spec = scene.agent.claim_next().spec
    assert check(outcome(spec), AttemptKind.EVALUATE) is None
    assert check(smoked(spec), AttemptKind.SMOKE) is None
    for found, kind in ((smoked(spec), AttemptKind.EVALUATE), (outcome(spec), AttemptKind.SMOKE)):
        assert check(found, kind).reason is FailureReason.INFRASTRUCTURE
    both = replace(outcome(spec), smoke=RESULT)
    assert check(both, AttemptKind.SMOKE).reason is FailureReason.INFRASTRUCTURE
    endless = smoked(spec, replace(RESULT, cpu_seconds=float("nan")))
    assert check(endless, AttemptKind.SMOKE).reason is FailureReason.INFRASTRUCTURE


def test_senseless_claims_of_a_smoke_run_are_dropped(scene):
    scene.submit(kind="smoke")
    spec = scene.agent.claim_next().spec
    boasting = smoked(spec, replace(RESULT, claimed_parameters=-3, claimed_train_seconds=float("inf")))
    checked = checked_outcome(
        boasting, kind=AttemptKind.SMOKE, scored_on=ScoredOn.ALL, minimum_tier=IsolationTier.NAMESPACES
    )
    assert checked.smoke == replace(RESULT, claimed_train_seconds=None, claimed_parameters=None)


def test_the_costliest_of_several_seeds_stands_for_all():
    dear = replace(RESULT, cpu_seconds=9.0)
    facts = [
        AttemptFacts(0, AttemptState.REPORTED, smoke=dear),
        AttemptFacts(1, AttemptState.REPORTED, smoke=RESULT),
    ]
    found = standing((0, 1), facts)
    assert (found.state, found.smoke, found.measurement) == (EvaluationState.SUCCEEDED, dear, None)


def test_one_failed_seed_fails_a_smoke_evaluation():
    failure = Failure(FailureReason.TRAIN_ERROR, "no")
    facts = [
        AttemptFacts(0, AttemptState.REPORTED, smoke=RESULT),
        AttemptFacts(1, AttemptState.REPORTED, failure=failure),
    ]
    assert standing((0, 1), facts).state is EvaluationState.FAILED


def test_requests_survive_the_database_and_old_ones_are_whole_evaluations():
    request = smoke_request(SOURCE, "digits", {"lr": 0.1})
    assert request.limits == SMOKE_LIMITS
    document = request_document(request)
    assert stored_request(document, SOURCE) == request
    whole = replace(request, kind=AttemptKind.EVALUATE)
    assert reuse_key(request, "c", "k", ScoredOn.ALL) != reuse_key(whole, "c", "k", ScoredOn.ALL)
    before_kinds = {name: value for name, value in request_document(whole).items() if name != "kind"}
    assert stored_request(before_kinds, SOURCE).kind is AttemptKind.EVALUATE
