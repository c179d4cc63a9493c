import math
import xml.etree.ElementTree as ElementTree

import pytest
from llm.figure import study_figure
from llm.intervals import bootstrap_mean, mean, paired_difference, ratio_of_means, share
from llm.plan import Plan, SearchArm
from llm.search_arms import ArmRun, search_summary
from llm.section import NOT_YET, section, with_section

STUDY = {
    "model": "owner/model",
    "plan": Plan().document,
    "versions": {"torch": "2"},
    "machine": "2 cores",
    "written": "1 May 2027",
}


def arm(valid, of):
    found = share(valid, of)
    return {
        "valid": found,
        "valid_and_novel": found,
        "valid_without_repair": found,
        "valid_where_no_kin_trained": found,
        "lost": 0,
        "ends": {"valid": valid, "refused: truncated": of - valid},
    }


def cycle(number, best):
    return {
        "cycle": number,
        "best_so_far": mean([best, best + 0.02]),
        "mean_accuracy": mean([best]),
        "valid_and_novel": share(3, 4),
        "copies": share(1, 4),
    }


def summary_a():
    return {
        "arms": {"delta_before": arm(0, 100), "delta_after": arm(71, 100)},
        "differences": {"delta": paired_difference([(False, True), (False, False), (False, True)])},
    }


def test_a_share_has_wilsons_interval_and_none_without_trials():
    found = share(11, 20)
    low, high = found["interval"]
    assert (round(low, 3), round(high, 3)) == (0.342, 0.742)
    assert share(0, 0) == {"count": 0, "of": 0, "share": None, "interval": None}


def pairs_of(both, only_second, only_first, neither):
    cells = {
        (True, True): both,
        (False, True): only_second,
        (True, False): only_first,
        (False, False): neither,
    }
    return [pair for pair, count in cells.items() for _ in range(count)]


@pytest.mark.parametrize("truth", [(0.1, 0.5, 0.02, 0.38), (0.05, 0.05, 0.05, 0.85), (0.6, 0.3, 0.05, 0.05)])
def test_intervals_of_paired_differences_hold_the_truth_nearly_always(truth):
    count, covered = 12, 0.0
    for both in range(count + 1):
        for second in range(count + 1 - both):
            for first in range(count + 1 - both - second):
                cells = (both, second, first, count - both - second - first)
                low, high = paired_difference(pairs_of(*cells))["interval"]
                if low <= truth[1] - truth[2] <= high:
                    ways = math.factorial(count) / math.prod(map(math.factorial, cells))
                    covered += ways * math.prod(
                        share**times for share, times in zip(truth, cells, strict=True)
                    )
    assert 0.93 < covered <= 1.0 + 1e-9


def test_a_paired_difference_turns_its_sign_with_the_arms():
    found, turned = (paired_difference(pairs_of(*cells)) for cells in ((36, 12, 2, 0), (36, 2, 12, 0)))
    assert found["difference"] == pytest.approx(0.2)
    assert (found["only_second"], found["only_first"]) == (12, 2)
    assert turned["interval"] == pytest.approx([-bound for bound in reversed(found["interval"])])
    assert found["interval"][0] > 0


def test_a_paired_difference_of_equal_arms_is_uncertain_still():
    found = paired_difference([(False, False)] * 20)
    low, high = found["interval"]
    assert low < -0.1
    assert high > 0.1
    assert found["difference"] == 0.0
    assert paired_difference([]) == {
        "n": 0,
        "difference": None,
        "interval": None,
        "only_first": 0,
        "only_second": 0,
    }


def test_a_bootstrap_interval_is_the_same_for_a_seed_and_holds_the_estimate():
    values = [float(number % 7) for number in range(40)]
    found = bootstrap_mean(values, 1)
    assert found == bootstrap_mean(values, 1)
    assert found["interval"][0] < found["mean"] < found["interval"][1]
    assert ratio_of_means([1.0], [0.0], 0) == {"ratio": None, "interval": None}


def test_parts_that_were_not_measured_are_said_to_be_so():
    text = section(STUDY, {}, None)
    assert text.count(NOT_YET) == 4
    assert section(STUDY, {"a": summary_a()}, "figure.svg").count(NOT_YET) == 3


def test_shares_are_told_with_counts_and_intervals_and_a_zero_is_told_as_well():
    text = section(STUDY, {"a": summary_a()}, "figure.svg")
    assert "0 of 100: 0.0 % (0.0 % to 3.7 %)" in text
    assert "71 of 100: 71.0 %" in text
    assert "| `refused: truncated` | 100 | 29 |" in text
    assert "(3 pairs): +66.7 points" in text


def test_searches_and_their_control_are_told_by_arm_cycle_and_seed():
    gain = {"mean_gain": 0.02, "gain_interval": [0.01, 0.03], "note": "", "baseline": {"name": "plain-cnn"}}
    finals = {**gain, "per_seed": [{"seed": 1, "winner_accuracy": 0.75}]}
    runs = [ArmRun(SearchArm.MUTATION, 0, 0.5, (), finals), ArmRun(SearchArm.BEST_OF_N, 0, 0.5, (), None)]
    text = section(STUDY, {"b": search_summary(runs, 12)}, None)
    assert "| mutation proposer | 0 | 0 of 1 | 50.00 % (n = 1)" in text
    assert "| best of N | 0 | 1 of 1 |" in text
    assert "mutation proposer − best of N | 0.00 (n = 1) | 0.00 (n = 1) | – | 2.00 (n = 1) |" in text
    assert "75.0 %, from plain-cnn | +2.00 points (+1.00 to +3.00) | 0 |" in text
    assert "| none | +0.00 points | 0 |" in text


def test_the_section_of_a_model_takes_the_place_of_an_earlier_one_and_leaves_the_others():
    page = "# Evidence\n\nMethod.\n"
    page = with_section(page, "a/one", "first of one")
    page = with_section(page, "b/two", "first of two")
    again = with_section(page, "a/one", "second of one")
    assert "first of one" not in again
    assert again.count("second of one") == 1
    assert "first of two" in again
    assert again.startswith("# Evidence\n\nMethod.\n")
    assert with_section(again, "a/one", "second of one") == again


def test_the_picture_is_one_well_formed_drawing_of_what_there_is():
    searches = {"arms": {"fine_tuning": {"cycles": [cycle(1, 0.5), cycle(2, 0.6)]}}}
    assert study_figure("m", {}) is None
    picture = study_figure('<o"wner>/model', {"a": summary_a(), "b": searches})
    root = ElementTree.fromstring(picture)
    drawn = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert drawn.count("polyline") == 1
    assert drawn.count("circle") == 2
    bars = [element for element in root.iter() if element.get("class") == "bar"]
    assert [float(bar.get("height")) for bar in bars] == [0.0, 191.7]


def test_a_picture_without_a_single_accuracy_is_still_one():
    nothing = {"cycle": 1, "best_so_far": mean([]), "mean_accuracy": mean([])}
    picture = study_figure("m", {"b": {"arms": {"mutation": {"cycles": [nothing]}}}})
    assert ElementTree.fromstring(picture) is not None
