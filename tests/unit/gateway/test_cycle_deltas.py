"""What becomes of the deltas of a cycle: each has its reason and code, and hunks and repairs are counted."""

import json

import pytest
from cycle_scene import propose_only, search_after_baselines, slots_of
from search_scene import Scene, new_scene

from contracts.jobs import AppliedDelta, HunkReport
from contracts.names import SlotState
from contracts.proposals import EditPermissions
from gateway.infra.service_clients import ServiceRefused

pytestmark = pytest.mark.slow


@pytest.fixture
def after_baselines(tmp_path) -> Scene:
    return search_after_baselines(tmp_path)


def test_a_refused_delta_is_data_with_its_reason_and_code(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "unplaceable")
    after_baselines.finish()
    for slot in slots_of(after_baselines):
        assert slot.state is SlotState.REFUSED
        assert slot.failure.reason == "delta_rejected"
        assert slot.failure.code == "hunk_unplaceable"
    funnel = after_baselines.store.document(after_baselines.search_id)["funnel"]
    assert funnel["proposed"] == 4
    assert funnel["applied"] == 0


def answers(scene: Scene, monkeypatch, applied: AppliedDelta) -> None:
    """Every delta is answered alike."""
    monkeypatch.setattr(scene.generator, "apply_delta", lambda *_asked, **_more: applied)


def refused_with(code: str, *hunks: HunkReport) -> AppliedDelta:
    return AppliedDelta("refused", code, "as told", 0.0, None, None, hunks)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("no_diff_found", "delta_rejected"),
        ("ambiguous", "delta_rejected"),
        ("no_op", "delta_rejected"),
        ("too_large", "delta_rejected"),
        ("syntax_error", "syntax_error"),
        ("contract_lost", "contract_violation"),
        ("policy_violation", "policy_violation"),
        ("forbidden_region", "policy_violation"),
        ("no_source_found", "delta_rejected"),
        ("forbidden_operator", "policy_violation"),
        ("too_many_parameters", "policy_violation"),
        ("too_many_flops", "policy_violation"),
    ],
)
def test_every_refusal_is_counted_by_its_own_code_and_keeps_its_reason(
    after_baselines, monkeypatch, code, reason
):
    propose_only(after_baselines, monkeypatch, "grow 1")
    answers(after_baselines, monkeypatch, refused_with(code))
    after_baselines.finish()
    assert {(slot.failure.reason, slot.failure.code) for slot in slots_of(after_baselines)} == {
        (reason, code)
    }
    (_, cycle) = after_baselines.store.cycles(after_baselines.search_id)
    assert cycle["delta_failures"] == {code: 4}


def test_hunks_and_repairs_are_counted_by_cycle_and_proposer(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "grow 1")
    hunks = (
        HunkReport(1, "exact", 3),
        HunkReport(2, "repaired", 9, repairs=("indentation: shifted by 4", "indentation: shifted by 8")),
        HunkReport(3, "refused", None, "two places", "ambiguous", ("no kind at all",)),
    )
    answers(after_baselines, monkeypatch, refused_with("ambiguous", *hunks))
    after_baselines.finish()
    found = after_baselines.candidates.diagnostics(after_baselines.search_id)
    place = {"cycle": 1, "proposer": "fake"}
    assert found["proposals"] == [{**place, "answered": 4, "applied": 0, "mean_confidence": None}]
    assert found["delta_failures"] == [{**place, "code": "ambiguous", "count": 4}]
    assert found["hunks"] == [
        {**place, "status": "exact", "reason": "", "count": 4},
        {**place, "status": "refused", "reason": "ambiguous", "count": 4},
        {**place, "status": "repaired", "reason": "", "count": 4},
    ]
    assert found["repairs"] == [
        {**place, "kind": "indentation", "count": 8},
        {**place, "kind": "other", "count": 4},
    ]


def test_the_hunks_of_a_hostile_delta_are_counted_but_not_all_kept(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "grow 1")
    long = "x" * 100_000
    hunks = [
        HunkReport(n, f"odd {n}", n, long, f"reason {n}", (f"kind {n % 99}: y",) * 50) for n in range(5000)
    ]
    answers(
        after_baselines, monkeypatch, refused_with("ambiguous", *hunks, HunkReport(5000, "refused", None))
    )
    after_baselines.finish()
    slot = slots_of(after_baselines)[0]
    report = after_baselines.candidates.read(slot.search_id, slot.proposal_id)["delta_report"]
    assert report["hunks"][-1]["number"] == 5000
    assert len(report["hunks"]) + report["hunks_left_out"] == 5001
    assert len(json.dumps(report)) < 64 * 1024
    found = after_baselines.candidates.diagnostics(slot.search_id)
    assert sum(record["count"] for record in found["hunks"]) == 4 * 5001
    assert sum(record["count"] for record in found["repairs"]) == 4 * 5000 * 50
    assert len(found["hunks"]) + len(found["repairs"]) < 60


def test_an_applied_delta_keeps_its_confidence_and_its_proposer(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "grow 1")
    after_baselines.finish()
    slot = slots_of(after_baselines)[0]
    assert (slot.delta_code, slot.delta_confidence, slot.proposer) == ("applied", 1.0, "fake")
    (proposals,) = after_baselines.candidates.diagnostics(slot.search_id)["proposals"]
    assert (proposals["answered"], proposals["applied"], proposals["mean_confidence"]) == (4, 4, 1.0)


def test_a_slot_that_the_platform_lost_is_in_no_count(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "grow 1")
    refusal = ServiceRefused("filter", 413, {"detail": "body too large"})
    after_baselines.filter.trouble = [refusal]
    after_baselines.finish()
    assert slots_of(after_baselines)[0].state is SlotState.LOST
    (proposals,) = after_baselines.candidates.diagnostics(after_baselines.search_id)["proposals"]
    assert proposals["answered"] == 3


def test_edit_permissions_reach_the_proposer_and_the_applier(tmp_path):
    edits = EditPermissions(only=("forward",), never=("imports",))
    scene = new_scene(tmp_path, cycles=1, edits=edits)
    scene.finish()
    assert scene.journal.search().request.edits == edits
    assert scene.generator.permissions == {edits}


def test_a_proposer_with_nothing_to_propose_says_why(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "", failure="no mutation applies")
    after_baselines.finish()
    assert {(slot.failure.code, slot.failure.message) for slot in slots_of(after_baselines)} == {
        ("no_proposal", "no mutation applies")
    }


def test_a_source_that_breaks_the_rules_is_refused_even_if_the_applier_let_it_pass(
    after_baselines, monkeypatch
):
    monkeypatch.setattr(
        after_baselines.generator,
        "apply_delta",
        lambda *_asked, **_more: AppliedDelta("applied", "", "", 1.0, "class Gone: pass\n", "-Net"),
    )
    propose_only(after_baselines, monkeypatch, "grow 1")
    after_baselines.finish()
    assert {slot.failure.reason for slot in slots_of(after_baselines)} == {"contract_violation"}


def test_unstorable_characters_from_a_proposer_do_not_stop_the_search(after_baselines, monkeypatch):
    propose_only(after_baselines, monkeypatch, "grow \ud800 \x00", failure="")
    monkeypatch.setattr(
        after_baselines.generator,
        "apply_delta",
        lambda *_asked, **_more: AppliedDelta("refused", "no_diff_found", "saw \ud800\x00", 0.0, None, None),
    )
    after_baselines.finish()
    assert {slot.state for slot in slots_of(after_baselines)} == {SlotState.REFUSED}
