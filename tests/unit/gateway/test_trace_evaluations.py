"""Evaluations of the kind `trace`: stored with their graph, shown without it, never a score."""

from dataclasses import asdict, replace

import pytest
from fakes import outcome
from gateway_scene import gateway_in
from sqlalchemy import select

from contracts.failures import Failure, FailureReason
from contracts.measurements import TraceResult
from contracts.names import AttemptKind, AttemptState, EvaluationState
from gateway.domain.lifecycle import AttemptFacts, standing
from gateway.infra.tables import EvaluationRow

GRAPH = '{"operations":[["input",[],[["float32",[2,1,8,8]]]]],"nodes":[[0,[]]],"outputs":[[0,0]]}'
TRACED = TraceResult(GRAPH, None, 0.1, 0.5, 0.4, 10**8)
NOT_TRACEABLE = TraceResult(None, "forward depends on the values of a tensor", 0.1, 0.5, 0.4, 10**8)


@pytest.fixture
def scene(tmp_path):
    with gateway_in(tmp_path / "home") as scene:
        scene.agent.heartbeat()
        yield scene


def traced(spec, result=TRACED):
    return replace(outcome(spec), measurement=None, trace=result)


def report(scene, **fields):
    claimed = scene.agent.claim_next()
    scene.agent.send(claimed, asdict(traced(claimed.spec, **fields)))
    return claimed


def graph_of(scene, evaluation: dict) -> str | None:
    with scene.services.database.read() as session:
        return session.scalar(select(EvaluationRow.graph).where(EvaluationRow.id == evaluation["id"]))


def test_a_trace_succeeds_with_a_graph_that_is_kept_and_not_shown(scene):
    accepted = scene.submit(kind="trace")
    assert (accepted["kind"], accepted["request"]["limits"]["cpu_seconds"]) == ("trace", 60.0)
    claimed = report(scene)
    assert claimed.spec.kind is AttemptKind.TRACE
    shown = scene.read(accepted)
    assert (shown["state"], shown["measurement"], shown["smoke"]) == ("succeeded", None, None)
    assert shown["trace"]["not_traceable"] is None
    assert "claimed_graph" not in shown["trace"]
    assert shown["attempts"][0]["trace"] == shown["trace"]
    assert graph_of(scene, accepted) == GRAPH


def test_a_network_that_cannot_be_traced_says_why_and_has_not_failed(scene):
    accepted = scene.submit(kind="trace")
    report(scene, result=NOT_TRACEABLE)
    shown = scene.read(accepted)
    assert (shown["state"], shown["failure"]) == ("succeeded", None)
    assert shown["trace"]["not_traceable"] == NOT_TRACEABLE.not_traceable
    assert graph_of(scene, accepted) is None


def test_a_trace_answers_the_next_one_of_the_same_source_with_its_graph_and_no_evaluation(scene):
    first = scene.submit(kind="trace")
    report(scene)
    again = scene.submit(kind="trace")
    assert (again["state"], again["provenance"]["reused_from"]) == ("succeeded", first["id"])
    assert again["trace"]["not_traceable"] is None
    assert graph_of(scene, again) == GRAPH
    assert scene.submit()["state"] == "queued"


def test_a_trace_that_the_platform_lost_is_tried_again_and_one_of_the_candidates_fault_is_not():
    lost = AttemptFacts(0, AttemptState.REPORTED, failure=Failure(FailureReason.INFRASTRUCTURE, "gone"))
    own = AttemptFacts(0, AttemptState.REPORTED, failure=Failure(FailureReason.BUILD_ERROR, "no"))
    done = AttemptFacts(0, AttemptState.REPORTED, trace=TRACED)
    assert standing([0], [lost]).retries
    assert standing([0], [lost, done]).trace == TRACED
    assert standing([0], [own]).state is EvaluationState.FAILED
