import xml.etree.ElementTree as ElementTree

from llm.figure import study_figure
from llm.intervals import mean, paired_difference, ratio_of_means, share
from llm.plan import Plan
from llm.section import NOT_YET, section, with_section

STUDY = {
    "model": "owner/model",
    "plan": Plan().document,
    "versions": {"torch": "2"},
    "machine": "2 cores",
    "measured": "1 May 2027",
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
        "differences": {"delta": paired_difference([(0.0, 1.0), (0.0, 0.0), (0.0, 1.0)], 0)},
    }


def test_a_share_has_wilsons_interval_and_none_without_trials():
    found = share(11, 20)
    low, high = found["interval"]
    assert (round(low, 3), round(high, 3)) == (0.342, 0.742)
    assert share(0, 0) == {"count": 0, "of": 0, "share": None, "interval": None}


def test_intervals_are_the_same_for_a_seed_and_hold_the_estimate():
    pairs = [(0.0, float(number % 3 > 0)) for number in range(30)]
    found = paired_difference(pairs, 1)
    assert found == paired_difference(pairs, 1)
    assert found["interval"][0] < found["difference"] < found["interval"][1]
    assert (found["only_second"], found["only_first"]) == (20, 0)
    assert paired_difference([], 0)["difference"] is None
    assert paired_difference([(0.0, 1.0)], 0)["interval"] is None
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
