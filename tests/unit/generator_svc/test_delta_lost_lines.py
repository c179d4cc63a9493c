"""All of a delta or nothing: no line of a change is passed over because it stands where no hunk is."""

import json

import pytest

from generator_svc.deltas import apply_delta

BASELINE = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.conv = nn.Conv2d(in_shape[1], 16, 3)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, out_shape[0])

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        return self.head(x.mean((2, 3)))
"""
HUNK = """@@ -8,2 +8,2 @@
         self.conv = nn.Conv2d(in_shape[1], 16, 3)
-        self.norm = nn.BatchNorm2d(16)
+        self.norm = nn.GroupNorm(4, 16)
"""
RESULT = BASELINE.replace("nn.BatchNorm2d(16)", "nn.GroupNorm(4, 16)")
DROPOUT = "+        self.drop = nn.Dropout(0.5)\n"
REMOVED_HEAD = "-        self.head = nn.Linear(16, out_shape[0])\n"
REPLACED = """<<<<<<< SEARCH
        self.norm = nn.BatchNorm2d(16)
=======
        self.norm = nn.GroupNorm(4, 16)
>>>>>>> REPLACE
"""


@pytest.mark.parametrize(
    "answer",
    [
        f"{HUNK}\n{DROPOUT}",
        f"{HUNK}This keeps small batches stable, and now a dropout layer.\n{DROPOUT}",
        f"{HUNK}\nThen add a dropout layer below it:\n\n{DROPOUT}",
        f"```diff\n{HUNK}\nThen add a dropout layer below it:\n\n{DROPOUT}```\n",
        f"--- a/net.py\n+++ b/net.py\n{HUNK}*** second part\n{DROPOUT}",
        f"diff --git a/net.py b/net.py\n{HUNK}*** second part\n{DROPOUT}",
        f"```\n{HUNK}```\nand this:\n```\n{DROPOUT}```\n",
        f"{HUNK}\nimports:\n\n+import math\n",
    ],
)
def test_a_change_apart_from_every_hunk_is_not_passed_over(answer):
    result = apply_delta(BASELINE, answer)
    assert (result.status, result.reason) == ("refused", "ambiguous"), result.canonical_delta
    assert "stands apart" in result.message


@pytest.mark.parametrize(
    "answer",
    [
        f"{HUNK}\nIn short, the new line is:\n\n+        self.norm = nn.GroupNorm(4, 16)\n",
        f"{HUNK}\nEffects of it:\n\n- `norm`: groups\n- more stable\n+ better\n+1 for small batches\n---\n",
        f"Changes I want to make:\n\n+    wider\n-    slower\n\n```diff\n{HUNK}```\n",
        f"```diff\n{HUNK}```\n\n-    self.conv stays\n",
        f"diff --git a/net.py b/net.py\nindex 1..2 100644\n--- a/net.py\n+++ b/net.py\n{HUNK}",
    ],
)
def test_lists_and_repetitions_beside_a_diff_are_no_change(answer):
    result = apply_delta(BASELINE, answer)
    assert result.source == RESULT, result.message


def test_a_remark_is_no_added_line_although_one_is_missing_by_the_counts():
    answer = f"```diff\n{HUNK}\nThen drop the head, which is not needed:\n\n{REMOVED_HEAD}```\n"
    assert apply_delta(BASELINE, answer).source == RESULT.replace(REMOVED_HEAD[1:], "")


@pytest.mark.parametrize(
    "rest",
    [
        "        self.head = nn.Linear(16, out_shape[0])\n",
        "        self.head = nn.Linear(16, out_shape[0])\n=======\n        self.head = nn.Lin",
    ],
)
def test_a_search_block_that_was_cut_off_takes_the_whole_ones_with_it(rest):
    assert apply_delta(BASELINE, REPLACED).source == RESULT
    result = apply_delta(BASELINE, f"{REPLACED}\n<<<<<<< SEARCH\n{rest}")
    assert (result.status, result.reason) == ("refused", "truncated")


def test_deltas_in_several_json_values_are_all_applied():
    second = "@@\n-        return self.head(x.mean((2, 3)))\n+        return self.head(x.amax((2, 3)))\n"
    answer = "\n".join(json.dumps({"tool": "edit", "delta": delta}) for delta in (HUNK, second))
    result = apply_delta(BASELINE, f"First the norm.\n{answer}\nThat is all.\n")
    assert result.source == RESULT.replace("x.mean", "x.amax"), result.message


def test_a_line_whose_mark_is_lost_is_reported_and_costs_confidence():
    result = apply_delta(BASELINE, HUNK.replace("         self.conv", "        self.conv"))
    assert result.source == RESULT
    assert result.confidence < 1
    (report,) = result.hunks
    assert report.status == "repaired"
    assert any(repair.startswith("marks: ") and "line 8" in repair for repair in report.repairs)


GATE = """
class Gate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Linear(width, width)

    def forward(self, x):
        return x * self.weight(x)
"""
ADDED_GATE = "".join(f"+{line}\n" for line in GATE.split("\n")[:-1])
WITH_GATE = f"@@\n from torch import nn\n{ADDED_GATE} \n \n class Net(nn.Module):\n"


@pytest.mark.parametrize("dots", ["...", " ...", "        # ... existing code ..."])
def test_dots_between_added_lines_stand_for_added_ones(dots):
    assert apply_delta(BASELINE, WITH_GATE).status == "applied"
    elided = WITH_GATE.replace("+        self.weight = nn.Linear(width, width)", dots)
    result = apply_delta(BASELINE, elided)
    assert (result.status, result.reason) == ("refused", "ambiguous"), result.canonical_delta
    assert "write out every added line" in result.message


@pytest.mark.parametrize("dots", ["...", "        # ... existing code ..."])
def test_dots_below_a_removed_line_that_stand_for_nothing_stand_for_what_replaces_it(dots):
    delta = (
        f"@@\n         self.norm = nn.BatchNorm2d(16)\n{REMOVED_HEAD}{dots}\n\n     def forward(self, x):\n"
    )
    result = apply_delta(BASELINE, delta)
    assert (result.status, result.reason) == ("refused", "ambiguous"), result.canonical_delta


@pytest.mark.parametrize(
    "hunk",
    [
        f" from torch import nn\n ...\n{ADDED_GATE}",
        f"{ADDED_GATE} ...\n         return self.head(x.mean((2, 3)))\n",
        f" import torch\n ...\n{ADDED_GATE} ...\n     def forward(self, x):\n",
    ],
)
def test_an_addition_with_dots_alone_around_it_could_stand_anywhere(hunk):
    result = apply_delta(BASELINE, f"@@\n{hunk}")
    assert (result.status, result.reason) == ("refused", "ambiguous"), result.canonical_delta
    assert "directly above" in result.message


@pytest.mark.parametrize("dots", ["...", " ...", "        # ... existing code ..."])
def test_dots_in_place_of_lines_of_the_baseline_are_those_lines(dots):
    delta = f"@@\n{REMOVED_HEAD}+        self.head = nn.LazyLinear(out_shape[0])\n{dots}\n-        return"
    delta += " self.head(x.mean((2, 3)))\n+        return self.head(x.amax((2, 3)))\n"
    result = apply_delta(BASELINE, delta)
    expected = BASELINE.replace("nn.Linear(16, ", "nn.LazyLinear(").replace("x.mean", "x.amax")
    assert result.source == expected, result.message


def test_one_column_for_lines_of_several_says_nothing_of_an_added_one():
    """As if every line had lost four columns, as far as it has them: what stood at 0 and at 4 stands at 0."""
    delta = """@@
 from torch import nn
 class Net(nn.Module):
-def __init__(self, in_shape, out_shape):
+def __init__(self, in_shape, out_shape, width=16):
     super().__init__()
"""
    result = apply_delta(BASELINE, delta)
    assert (result.status, result.reason) == ("refused", "ambiguous"), result.canonical_delta
    assert "columns" in result.message


@pytest.mark.parametrize("header", ["@@ -8,2 +8,2 @@", "@@"])
def test_a_removed_line_that_lost_its_mark_does_not_stay_beside_what_replaces_it(header):
    broken = HUNK.replace("@@ -8,2 +8,2 @@", header).replace("-        self.norm", "        self.norm")
    refused = apply_delta(BASELINE, broken)
    assert (refused.status, refused.reason) == ("refused", "ambiguous")
    assert "sets self.norm anew and keeps" in refused.message


def test_an_attribute_is_set_twice_where_that_is_said_or_makes_sense():
    counted = HUNK.replace("-        self", "        self").replace("+8,2", "+8,3")
    wrapped = HUNK.replace("-        self", "        self").replace("4, 16", "4, 16, self.norm")
    marked = HUNK.replace("-        self", "         self")
    branch = """@@
         self.norm = nn.BatchNorm2d(16)
+        if in_shape[1] == 1:
+            self.norm = nn.GroupNorm(4, 16)
         self.head = nn.Linear(16, out_shape[0])
"""
    for delta in (counted, wrapped, marked, branch):
        assert apply_delta(BASELINE, delta).source.count("self.norm = ") == 2
    step_by_step = BASELINE.replace(
        "        self.head", "        self.norm = nn.Identity()\n        self.head"
    )
    unmarked = HUNK.replace("@@ -8,2 +8,2 @@", "@@").replace("-        self", "        self")
    assert apply_delta(step_by_step, unmarked).source.count("self.norm = ") == 3


def test_one_digit_that_slipped_in_is_no_line_number():
    delta = f"""@@ -7,5 +7,5 @@
         super().__init__()
         self.conv = nn.Conv2d(in_shape[1], 16, 3)
         self.norm = nn.BatchNorm2d(16)
{REMOVED_HEAD.replace("-    ", "-   1 ")}+        self.head = nn.LazyLinear(out_shape[0])

     def forward(self, x):
"""
    result = apply_delta(BASELINE, delta)
    assert result.source in {None, BASELINE.replace("nn.Linear(16, ", "nn.LazyLinear(")}
    assert not any("line numbers" in repair for hunk in result.hunks for repair in hunk.repairs)
