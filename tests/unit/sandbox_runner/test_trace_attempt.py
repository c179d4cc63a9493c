"""A trace attempt as the host sees it: a graph or the reason why there is none, and nothing unread."""

import json
from functools import partial

import pytest
from attempt_scene import make_spec
from fakes import ScriptedSandbox

from contracts.computation_graph import MAX_GRAPH_BYTES
from contracts.failures import FailureReason, TimeoutPhase
from contracts.guest_wire import MAX_TRACE_BYTES, FrameKind
from contracts.measurements import Limits
from contracts.names import AttemptKind, Integrity
from sandbox_runner.sandboxes.port import Usage
from sandbox_runner.trace import trace_spec

GRAPH = '{"operations":[["input",[],[["float32",[2,3]]]]],"nodes":[[0,[]]],"outputs":[[0,0]]}'


@pytest.fixture
def run(run_guest):
    """Run a trace attempt with a guest that follows a script."""
    return partial(run_guest, kind=AttemptKind.TRACE)


def tells(payload: bytes, ends: bool = True):
    """A guest that builds its network and says this of it."""

    def script(guest: ScriptedSandbox) -> None:
        guest.hear()
        guest.say(FrameKind.READY)
        guest.say(FrameKind.BUILT)
        guest.say(FrameKind.TRACED, payload)
        if ends:
            assert guest.hear()[0] == FrameKind.FINISH
            guest.leave(0)

    return script


def told(**document) -> bytes:
    return json.dumps(document).encode()


def test_a_trace_has_a_graph_and_what_it_cost_and_no_score(run):
    outcome = run(tells(told(graph=GRAPH.replace(":", ": "))))
    assert (outcome.measurement, outcome.smoke, outcome.failure, outcome.flags) == (None, None, None, ())
    assert (outcome.trace.claimed_graph, outcome.trace.not_traceable) == (GRAPH, None)
    assert outcome.trace.wall_seconds >= 0
    assert outcome.trace.startup_seconds > 0


def test_a_reason_why_there_is_no_graph_is_bounded_and_harmless(run):
    outcome = run(tells(told(not_traceable="\x1b[2Jit looks\u202e at numbers" + "!" * 9000)))
    assert (outcome.trace.claimed_graph, outcome.failure) == (None, None)
    assert outcome.trace.not_traceable.startswith("\\x1b[2Jit looks\\u202e at numbers")
    assert len(outcome.trace.not_traceable) == 2000


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"\xff\xff",
        b"[" * 100_000,
        told(),
        told(graph=None),
        told(graph={"nodes": []}),
        told(graph="{}"),
        told(graph=GRAPH, not_traceable="both"),
        told(graph=GRAPH.replace("[0,0]", "[7,0]")),
        told(graph=" " * MAX_GRAPH_BYTES + GRAPH),
        b" " * (MAX_TRACE_BYTES + 1),
    ],
    ids=lambda payload: payload[:20].decode("latin-1"),
)
def test_whatever_is_neither_fails_by_name(run, payload):
    outcome = run(tells(payload, ends=False))
    assert (outcome.trace, outcome.failure.reason) == (None, FailureReason.INVALID_RESULT)


def test_nothing_may_follow_a_trace(run):
    def script(guest: ScriptedSandbox) -> None:
        tells(told(graph=GRAPH), ends=False)(guest)
        guest.say(FrameKind.TRACED, told(graph=GRAPH))
        guest.leave(0)

    outcome = run(script)
    assert (outcome.trace, outcome.failure.reason) == (None, FailureReason.INVALID_RESULT)


def test_a_forward_without_end_runs_out_of_time(run):
    def script(guest: ScriptedSandbox) -> None:
        guest.hear()
        guest.say(FrameKind.READY)
        guest.say(FrameKind.BUILT)
        guest.accounting = Usage(99.0, 0, 0, 0)

    outcome = run(script, limits=Limits(cpu_seconds=1.0))
    assert (outcome.failure.reason, outcome.failure.phase) == (FailureReason.TIMEOUT, TimeoutPhase.TRAIN)


def test_all_networks_are_traced_with_the_same_batch_and_without_a_gpu():
    spec = make_spec(
        hyperparameters={"batch": 64, "lr": 0.1}, epochs=9, device="cuda:0", integrity=Integrity.STRICT
    )
    asked = trace_spec(spec, 60_000)
    assert asked.hyperparameters == {"batch": 2, "lr": 0.1}
    assert (asked.epochs, asked.train_images, asked.device) == (1, 2, "cpu")
    assert trace_spec(spec, 1).train_images == 1


def test_the_guest_is_told_that_it_is_a_trace(run):
    jobs = []

    def script(guest: ScriptedSandbox) -> None:
        jobs.append(json.loads(guest.hear()[1]))
        guest.leave(1)

    outcome = run(script)
    assert jobs[0]["trace"] is True
    assert outcome.trace is None
