import pytest
from llm.plan import SearchArm, ShareArm
from llm.records import Outcome, proposal_record, taxonomy
from llm.search_arms import ArmRun, search_summary
from llm.study import is_of
from llm.tokens import token_summary
from llm.valid_share import kin, paired, share_summary


def call(role="proposal", completion=100, finish="stop"):
    return {
        "role": role,
        "completion_tokens": completion,
        "prompt_tokens": 700,
        "finish_reason": finish,
        "seconds": 2.0,
    }


def candidate(slot=0, state="judged", parent="plain-cnn", accuracy=None, cycle=1, **more):
    return {
        "proposal_id": f"se_1-c{cycle:03d}-s{slot:03d}",
        "cycle": cycle,
        "slot": slot,
        "state": state,
        "parent": {"proposal_id": "se_1-c000-s000", "name": parent},
        "accuracy": accuracy,
        "delta_code": "applied",
        "failure": None,
        "calls": [call()],
        **more,
    }


def record(slot=0, state="judged", arm="delta_before", copy=None, **more):
    return proposal_record(arm, 0, candidate(slot, state, **more), copy)


def refused(slot=0, code="hunk_unplaceable", **more):
    failure = {"reason": "delta_rejected", "code": code, "message": ""}
    return record(slot, "refused", failure=failure, delta_code=code, **more)


def failed(slot=0, **more):
    return record(slot, "failed", failure={"reason": "timeout", "code": "train", "message": ""}, **more)


def lost(slot=0, **more):
    return record(slot, "lost", failure={"reason": "infrastructure", "code": "", "message": ""}, **more)


# --- records -----------------------------------------------------------------------------------


def test_a_copy_counts_as_what_became_of_it_outside_the_search():
    ended = {"state": "succeeded", "failure": None}
    fails = {"state": "failed", "failure": {"reason": "build_error", "phase": None, "resource": None}}
    broke = {"state": "failed", "failure": {"reason": "infrastructure", "phase": None, "resource": None}}
    found = [record(0, "duplicate", copy=copy) for copy in (ended, fails, broke, None)]
    assert [one.outcome for one in found] == [
        Outcome.VALID_COPY,
        Outcome.COPY,
        Outcome.LOST,
        Outcome.COPY,
    ]
    assert [one.reason for one in found] == ["", "build_error", "copy", "not tried"]


def test_ends_are_counted_by_the_finest_word_for_them():
    found = [record(0), refused(1), refused(2), failed(3), refused(4, "truncated")]
    assert taxonomy(found) == {
        "refused: hunk_unplaceable": 2,
        "failed: timeout (train)": 1,
        "refused: truncated": 1,
        "valid": 1,
    }


def test_tokens_of_a_proposal_are_those_of_all_its_calls_and_unknown_where_one_is():
    calls = [call("diagnosis", 50), call("proposal", 200, "length"), call("repair", 80)]
    one = record(calls=calls)
    assert (one.completion_tokens, one.first_completion_tokens, one.prompt_tokens) == (330, 200, 2100)
    assert (one.calls, one.repairs, one.cut, one.seconds) == (3, 1, False, 6.0)
    assert record(calls=[call(), call("repair", None)]).completion_tokens is None
    assert record(calls=[]).first_completion_tokens is None


# --- part a ------------------------------------------------------------------------------------


def test_shares_are_of_all_proposals_that_the_platform_has_not_lost():
    repaired = record(4, calls=[call(), call("repair")])
    found = [record(0), record(1, "duplicate", copy={"state": "succeeded", "failure": None}), refused(2)]
    summary = share_summary({ShareArm.DELTA_BEFORE: [*found, lost(3), repaired]}, set())
    arm = summary["arms"]["delta_before"]
    assert (arm["valid"]["count"], arm["valid"]["of"], arm["lost"]) == (3, 4, 1)
    assert arm["valid_and_novel"]["count"] == 2
    assert arm["valid_without_repair"]["count"] == 2
    low, high = arm["valid"]["interval"]
    assert low < 0.75 < high
    assert summary["differences"] == {}


def test_baselines_of_families_that_train_have_no_place_in_the_stricter_share():
    related = kin({"residual": "resnet", "conv-mixer": "mixer"}, ["ResNet", "FractalNet"])
    assert related == {"residual"}
    found = [record(0, parent="residual"), refused(1, parent="conv-mixer")]
    arm = share_summary({ShareArm.DELTA_AFTER: found}, related)["arms"]["delta_after"]
    assert (arm["valid"]["count"], arm["valid"]["of"]) == (1, 2)
    assert arm["valid_where_no_kin_trained"]["count"] == 0
    assert arm["valid_where_no_kin_trained"]["of"] == 1


def test_pairs_are_of_the_same_slot_and_baseline_and_of_no_lost_one():
    before = [refused(0), record(1), lost(2), refused(3)]
    after = [record(0), refused(1), record(2), record(3, parent="residual")]
    assert paired(before, after) == [(False, True), (True, False)]
    summary = share_summary({ShareArm.DELTA_BEFORE: before, ShareArm.DELTA_AFTER: after}, set())
    assert summary["differences"]["delta"]["n"] == 2
    assert summary["differences"]["delta"]["difference"] == 0.0
    assert summary["differences"]["delta"]["only_second"] == 1


# --- part b ------------------------------------------------------------------------------------


def final(gain):
    """Of a winner that has 0.6 and 0.7 on the sealed half, and lost a third run."""
    scores = (0.6, 0.7, None)
    return {
        "mean_gain": gain,
        "gain_interval": [0.0, 0.2],
        "note": "",
        "baseline": {"name": "plain-cnn"},
        "per_seed": [{"seed": at, "winner_accuracy": score} for at, score in enumerate(scores)],
    }


def run(arm, scores, seed=0, baseline=0.5, gain=0.1, refusals=0):
    valid = [record(slot, accuracy=score, arm=arm.value) for slot, score in enumerate(scores)]
    found = [*(refused(90 + slot) for slot in range(refusals)), *valid]
    return ArmRun(arm, seed, baseline, tuple(found), final(gain) if scores else None)


def test_cycles_of_a_search_and_as_many_proposals_of_best_of_n_are_side_by_side():
    found = search_summary(
        [
            run(SearchArm.FINE_TUNING, [0.4, 0.6, 0.7, 0.65]),
            run(SearchArm.BEST_OF_N, [0.55, 0.52, 0.5, 0.58]),
        ],
        2,
    )
    best = {
        name: [one["best_so_far"]["mean"] for one in arm["cycles"]] for name, arm in found["arms"].items()
    }
    assert best == {"fine_tuning": [0.6, 0.7], "best_of_n": [0.55, 0.58]}
    assert found["arms"]["fine_tuning"]["cycles"][1]["mean_accuracy"]["mean"] == pytest.approx(0.675)
    assert found["runs"][0]["best_by_cycle"] == [0.6, 0.7]


def test_a_search_whose_proposals_all_fail_is_as_good_as_its_best_baseline():
    found = search_summary([run(SearchArm.MEMORY, [], refusals=2)], 2)
    arm = found["arms"]["feedback_memory"]
    assert arm["best_at_equal_proposals"]["mean"] == 0.5
    assert arm["cycles"][0]["valid_and_novel"]["count"] == 0
    assert arm["cycles"][0]["mean_accuracy"]["mean"] is None
    assert (arm["without_winner"], arm["searches"]) == (1, 1)
    assert arm["final_gain"]["mean"] == 0.0
    assert arm["sealed_accuracy"]["n"] == 0


def test_a_winners_sealed_accuracy_is_over_the_seeds_that_ran():
    found = search_summary([run(SearchArm.MUTATION, [0.7])], 2)
    assert found["arms"]["mutation"]["sealed_accuracy"]["mean"] == pytest.approx(0.65)
    assert found["runs"][0]["winner_from"] == "plain-cnn"


def test_at_equal_evaluations_the_arm_with_more_of_them_gets_no_more():
    few = run(SearchArm.FINE_TUNING, [0.6], refusals=3)
    many = run(SearchArm.MUTATION, [0.51, 0.7, 0.8, 0.9])
    found = search_summary([few, many], 4)
    assert found["equal_evaluations"] == {"0": 1}
    assert found["arms"]["mutation"]["best_at_equal_evaluations"]["mean"] == 0.51
    assert found["arms"]["mutation"]["best_at_equal_proposals"]["mean"] == 0.9
    assert found["against"]["mutation"]["fine_tuning"]["best_at_equal_evaluations"]["mean"] == pytest.approx(
        0.09
    )


def test_arms_are_compared_over_the_seeds_that_both_have():
    runs = [
        run(SearchArm.FINE_TUNING, [0.6], seed=0, gain=0.10),
        run(SearchArm.FINE_TUNING, [0.7], seed=1, gain=0.30),
        run(SearchArm.FINE_TUNING, [0.7], seed=2, gain=0.90),
        run(SearchArm.BEST_OF_N, [0.5], seed=0, gain=0.05),
        run(SearchArm.BEST_OF_N, [0.5], seed=1, gain=0.05),
    ]
    gain = search_summary(runs, 1)["against"]["best_of_n"]["fine_tuning"]["final_gain"]
    assert (gain["n"], gain["mean"]) == (2, pytest.approx(0.15))
    assert gain["interval"][0] < 0.15 < gain["interval"][1]


# --- part c ------------------------------------------------------------------------------------


def test_tokens_of_deltas_are_set_against_those_of_sources():
    deltas = [record(slot, calls=[call(completion=100 + slot)]) for slot in range(6)]
    sources = [record(slot, calls=[call(completion=400 + slot)], arm="source_before") for slot in range(4)]
    found = token_summary({ShareArm.DELTA_BEFORE: deltas, ShareArm.SOURCE_BEFORE: sources}, 0)
    ratio = found["delta_over_source"]["before"]["completion_tokens"]
    assert ratio["ratio"] == pytest.approx(102.5 / 401.5)
    assert ratio["interval"][0] <= ratio["ratio"] <= ratio["interval"][1]
    assert found["arms"]["delta_before"]["completion_tokens_per_valid"] == pytest.approx(102.5)
    assert "after" not in found["delta_over_source"]


def test_what_invalid_proposals_took_is_paid_by_the_valid_ones():
    found = token_summary({ShareArm.DELTA_BEFORE: [record(0), refused(1), refused(2)]}, 0)
    assert found["arms"]["delta_before"]["completion_tokens_per_valid"] == 300
    none = token_summary({ShareArm.DELTA_BEFORE: [refused(0)]}, 0)
    assert none["arms"]["delta_before"]["completion_tokens_per_valid"] is None


# --- going on ----------------------------------------------------------------------------------


def test_a_fine_tune_is_found_again_by_what_was_asked_of_it():
    asked = {"model": "qwen", "preset": "cpu", "seed": 3, "training_pairs": {"dataset": "mnist", "seed": 0}}
    job = {
        "state": "running",
        "model": "qwen",
        "search_id": None,
        "request": {
            "preset": "cpu",
            "seed": 3,
            "training_pairs": {"dataset": "mnist", "seed": 0, "at_least": 0.6},
        },
    }
    assert is_of(job, asked)
    assert not is_of({**job, "state": "failed"}, asked)
    assert not is_of({**job, "search_id": "se_1"}, asked)
    assert not is_of(job, {**asked, "seed": 4})
    assert not is_of(job, {**asked, "training_pairs": {"dataset": "mnist", "seed": 1}})
