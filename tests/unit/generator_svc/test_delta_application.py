"""What `apply_delta` accepts, what it refuses, and with which words."""

import pytest

from contracts.names import MAX_DELTA_BYTES, MAX_SOURCE_BYTES
from generator_svc.deltas import apply_delta, canonical_delta

BASELINE = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.conv1 = nn.Conv2d(in_shape[1], 16, 3)
        self.conv2 = nn.Conv2d(16, 32, 3)
        self.head = nn.Linear(32, out_shape[0])

    def forward(self, x):
        x = torch.relu(self.conv1(x))

        x = torch.relu(self.conv2(x))

        x = x.mean((2, 3))
        return self.head(x)
"""
CHANGED = BASELINE.replace("16", "24").replace("relu(self.conv2", "tanh(self.conv2")
DELTA = canonical_delta(BASELINE, CHANGED)

WIDEN = """@@ -8,2 +8,2 @@
-        self.conv1 = nn.Conv2d(in_shape[1], 16, 3)
-        self.conv2 = nn.Conv2d(16, 32, 3)
+        self.conv1 = nn.Conv2d(in_shape[1], 20, 3)
+        self.conv2 = nn.Conv2d(20, 32, 3)
"""
CONTEXT_BELOW = "         self.head = nn.Linear(32, out_shape[0])\n \n     def forward(self, x):\n"
WIDENED = BASELINE.replace("16", "20")


def applied(delta, baseline=BASELINE):
    result = apply_delta(baseline, delta)
    assert result.status == "applied", result.message
    return result


def refused(delta, reason, baseline=BASELINE):
    result = apply_delta(baseline, delta)
    assert (result.status, result.reason) == ("refused", reason), result
    assert result.source is None
    assert result.canonical_delta is None
    assert result.confidence == 0.0
    assert result.message
    assert len(result.message) < 1000
    return result


def test_a_canonical_delta_applies_with_full_confidence():
    result = applied(DELTA)
    assert result.source == CHANGED
    assert result.canonical_delta == DELTA
    assert result.confidence == 1.0
    assert [hunk.status for hunk in result.hunks] == ["exact"]


@pytest.mark.parametrize(
    "envelope",
    [
        "```diff\n{}```\n",
        "```\n{}```",
        "Widen it:\n\n```diff\n{}```\n\nThis has these effects:\n- wider\n+ better\n",
        "<delta>\n{}</delta>",
        "<delta>\n```diff\n{}```\n</delta>\n- so there",
        "\ufeff{}",
        "{}\n\n\n",
        "{}```\nThe model began after the fence.\n- bullet\n",
        "Here it is.\n{}\nIt is wider.\n",
    ],
)
@pytest.mark.parametrize("delta", [DELTA, WIDEN])
def test_fences_tags_and_prose_around_a_delta_do_not_matter(envelope, delta):
    assert applied(envelope.format(delta)).source == applied(delta).source


def test_an_answer_with_crlf_applies_to_a_source_without():
    assert applied(DELTA.replace("\n", "\r\n")).source == CHANGED


def test_a_delta_with_plain_newlines_applies_to_a_source_with_crlf():
    baseline = BASELINE.replace("\n", "\r\n")
    changed = CHANGED.replace("\n", "\r\n")
    assert applied(DELTA, baseline).source == changed
    assert applied(DELTA.replace("\n", "\r\n"), baseline).source == changed
    assert applied(canonical_delta(baseline, changed), baseline).source == changed


@pytest.mark.parametrize(
    "header",
    [
        "@@ -1,99 +1,99 @@",
        "@@ -1 +1 @@",
        "@@ -7,1 +7,1 @@",
        "@@",
        "@@ ... @@",
        "@@ def __init__ @@",
        "@@ -3 @@",
    ],
)
def test_wrong_or_missing_numbers_are_recounted_and_the_place_is_searched(header):
    result = applied(WIDEN.replace("@@ -8,2 +8,2 @@", header))
    assert result.source == WIDENED
    assert 0 < result.confidence < 1
    assert (result.hunks[0].status, result.hunks[0].line) == ("moved", 8)


def test_wrong_counts_at_the_right_line_keep_full_confidence():
    with_context = WIDEN.replace("-8,2 +8,2", "-8,7 +8,9") + CONTEXT_BELOW
    assert applied(with_context).confidence == 1.0


def test_a_blank_context_line_may_have_lost_its_space():
    assert "\n \n" in DELTA
    assert applied(DELTA.replace("\n \n", "\n\n")).source == CHANGED


def test_context_that_lost_its_trailing_whitespace_keeps_it_in_the_result():
    baseline = BASELINE.replace("super().__init__()", "super().__init__()  ")
    changed = baseline.replace("16", "20")
    delta = canonical_delta(baseline, changed)
    result = applied(delta.replace("__init__()  \n", "__init__()\n"), baseline)
    assert result.source == changed
    assert [hunk.status for hunk in result.hunks] == ["repaired"]
    assert result.hunks[0].repairs[0].startswith("white space: ")


def test_a_hunk_without_any_header_applies_inside_a_diff_fence():
    body = WIDEN.split("\n", 1)[1]
    assert applied(f"```diff\n{body}```").source == WIDENED
    assert applied(f"```diff\n--- a/net.py\n+++ b/net.py\n{body}```").source == WIDENED


def test_the_hint_decides_between_equal_places_only_when_it_is_exact():
    repeated = BASELINE.replace("    def forward", "    # same\n    # same\n\n    def forward")
    delta = "@@ -{},1 +{},2 @@\n     # same\n+    extra = 1\n"
    assert applied(delta.format(12, 12), repeated).hunks[0].line == 12
    assert applied(delta.format(13, 13), repeated).hunks[0].line == 13
    message = refused(delta.format(11, 11), "ambiguous", repeated).message
    assert "12" in message
    assert "13" in message


def test_the_hunk_that_finds_no_place_after_the_others_is_blamed():
    mean = "@@ -16,2 +16,2 @@\n \n-        x = x.mean((2, 3))\n+        x = x.amax((2, 3))\n"
    after = "@@ -99,1 +99,2 @@\n \n+        y = 0\n"
    result = refused(mean + after, "ambiguous")
    assert [(hunk.number, hunk.status) for hunk in result.hunks] == [(1, "exact"), (2, "refused")]


def test_two_wrongly_numbered_hunks_keep_each_other_apart():
    baseline = BASELINE.replace(
        "    def forward", "    # one\n    # same\n    # two\n    # same\n\n    def forward"
    )
    delta = "@@ -1,1 +1,1 @@\n     # two\n@@ -1,1 +1,2 @@\n     # same\n+    extra = 1\n"
    result = applied(delta, baseline)
    assert [hunk.line for hunk in result.hunks] == [14, 15]


def test_a_refusal_names_hunk_expected_line_and_nearest_real_line():
    result = refused(
        WIDEN.replace("-        self.conv2 = nn.Conv2d(16", "-        self.conv2 = nn.Conv2d(18"),
        "hunk_unplaceable",
    )
    assert "hunk 1" in result.message
    assert "Conv2d(18, 32, 3)" in result.message
    assert "line 9" in result.message
    assert "Conv2d(16, 32, 3)" in result.message
    assert result.hunks[0].status == "refused"


def test_a_left_out_line_of_context_is_kept_and_named():
    shown = canonical_delta(BASELINE, BASELINE.replace("16, 3)", "16, 5)"))
    left_out = shown.replace("         self.conv2 = nn.Conv2d(16, 32, 3)\n", "")
    result = applied(left_out)
    assert result.source == BASELINE.replace("16, 3)", "16, 5)")
    assert result.hunks[0].repairs == ("left out: the hunk leaves out line 9, kept as in the baseline",)


def test_one_bad_hunk_refuses_all():
    bad = "@@ -18,1 +18,1 @@\n-        return self.tail(x)\n+        return x\n"
    result = refused(WIDEN + bad, "hunk_unplaceable")
    assert [hunk.status for hunk in result.hunks] == ["exact", "refused"]
    assert (result.hunks[1].reason, result.hunks[1].message) == (result.reason, result.message)


@pytest.mark.parametrize("second", ["@@ -9,1 +9,1 @@", "@@ -1 +1 @@"])
def test_overlapping_hunks_are_refused(second):
    overlapping = f"{second}\n-        self.conv2 = nn.Conv2d(16, 32, 3)\n+        self.conv2 = None\n"
    assert "hunks 1 and 2 contradict" in refused(WIDEN + overlapping, "ambiguous").message


def test_hunks_that_stand_at_one_place_each_may_come_in_any_order():
    early = "@@ -2,1 +2,2 @@\n from torch import nn\n+import math\n"
    assert applied(WIDEN + early).source == applied(early + WIDEN).source


def test_additions_without_context_are_ambiguous():
    refused("@@ -12,0 +13,1 @@\n+    extra = 1\n", "ambiguous")


def test_what_follows_a_hunk_and_removes_a_line_that_is_not_there_is_no_reason_to_cut_it_off():
    delta = WIDEN.replace("@@ -8,2 +8,2 @@", "@@ -1,9 +1,9 @@") + "class Net(nn.Module):\n-        self.x\n"
    refused(f"```diff\n{delta}```", "hunk_unplaceable")
    refused(delta, "hunk_unplaceable")
    refused(delta.replace("class Net", "\nclass Net"), "hunk_unplaceable")


@pytest.mark.parametrize(
    "delta",
    [
        "--- a/other.py\n+++ b/other.py\n@@ -1,1 +1,1 @@\n-x\n+y\n" + DELTA,
        DELTA.replace("--- a/net.py", "--- /dev/null"),
        DELTA.replace("+++ b/net.py", "+++ /dev/null"),
        "diff --git a/net.py b/evil.py\nsimilarity index 90%\nrename from net.py\nrename to evil.py\n"
        + DELTA,
        "diff --git a/net.py b/net.py\nold mode 100644\nnew mode 100755\n" + DELTA,
        "diff --git a/x.png b/x.png\nGIT binary patch\nliteral 4\n" + DELTA,
        "Binary files a/x.png and b/x.png differ\n" + DELTA,
        DELTA
        + "diff --git a/evil b/evil\nnew file mode 100644\n--- /dev/null\n+++ b/evil\n@@ -0,0 +1 @@\n+x\n",
    ],
)
def test_a_delta_that_does_more_than_edit_one_file_is_refused(delta):
    refused(delta, "policy_violation")


def test_models_may_call_the_two_sides_of_one_file_differently():
    assert (
        applied(DELTA.replace("--- a/net.py\n+++ b/net.py", "--- a/base.py\n+++ b/wide.py")).source == CHANGED
    )


def test_a_git_header_and_repeated_file_headers_are_fine():
    two = canonical_delta(BASELINE, BASELINE.replace("import torch\n", "import math\n", 1))
    first, second = "@@ -1,1 +1,2 @@\n import torch\n+import math\n", WIDEN
    head = "--- a/net.py\n+++ b/net.py\n"
    assert applied(head + first + head + second).source == BASELINE.replace("16", "20").replace(
        "import torch\n", "import torch\nimport math\n", 1
    )
    assert two
    applied("diff --git a/net.py b/net.py\nindex 1234567..89abcde 100644\n" + DELTA)


def test_removed_and_added_lines_that_look_like_file_headers_are_content():
    baseline = BASELINE + '\nNOTE = """\n-- old\n"""\n'
    changed = baseline.replace("-- old", "++ new")
    delta = canonical_delta(baseline, changed)
    assert "\n--- old\n+++ new\n" in delta
    assert applied(delta, baseline).source == changed


def test_fences_and_tags_inside_a_source_are_content():
    baseline = BASELINE + '\nNOTE = """\n```diff\n<delta>\n@@ -1 +1 @@\n```\n"""\n'
    changed = baseline.replace("16", "20").replace("@@ -1 +1 @@", "@@ -2 +2 @@")
    assert applied(canonical_delta(baseline, changed), baseline).source == changed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("return self.head(x)", "return self.head(x"), "syntax_error"),
        (("class Net(", "class Network("), "contract_lost"),
        (("(nn.Module):", ":"), "contract_lost"),
        (
            ("    def forward", "    def learn(self, data):\n        pass\n\n    def forward"),
            "policy_violation",
        ),
        (("16, 3)", f"16, 3); x = '{'a' * 5000}'"), "policy_violation"),
        (("16, 3)", f"16, 3)  # {'a' * MAX_SOURCE_BYTES}"), "too_large"),
        (("16, 3)", "16, 3)  # sixteen"), "no_op"),
        (("16, 3)", "16,  3)"), "no_op"),
    ],
)
def test_the_result_must_still_be_a_network_and_another_one(change, reason):
    refused(canonical_delta(BASELINE, BASELINE.replace(*change, 1)), reason)


def test_removing_learn_is_refused():
    baseline = BASELINE + "\n    def learn(self, train_data):\n        return None\n"
    refused(canonical_delta(baseline, BASELINE), "policy_violation", baseline)


def test_only_the_baseline_to_blame_is_said_so():
    assert "baseline" in refused(DELTA, "syntax_error", "def (").message
    assert "baseline" in refused(DELTA, "contract_lost", "x = 1\n").message
    assert "baseline" in refused(DELTA, "too_large", BASELINE + "#" * MAX_SOURCE_BYTES).message


def test_a_delta_above_the_size_limit_is_refused():
    refused(DELTA + " " * MAX_DELTA_BYTES, "too_large")
    refused(DELTA + "é" * (MAX_DELTA_BYTES // 2), "too_large")


@pytest.mark.parametrize(
    "answer", ["", "\n\n", "I would rather not.", "```python\nx = 1\n```", BASELINE, "--- a\n+++ b\n", "@@"]
)
def test_an_answer_without_a_diff_is_named_as_such(answer):
    refused(answer, "no_diff_found")


def test_a_hunk_of_context_alone_changes_nothing():
    refused("@@ -1,2 +1,2 @@\n import torch\n from torch import nn\n", "no_op")


def test_a_missing_newline_at_the_end_is_kept_unless_the_delta_gives_one():
    bare = BASELINE.removesuffix("\n")
    assert applied(DELTA, bare).source == CHANGED.removesuffix("\n")
    added = "@@ -18,1 +18,2 @@\n         return self.head(x)\n+        # end\n+        pass\n"
    assert applied(added, bare).source == bare + "\n        # end\n        pass\n"
    marked = canonical_delta(BASELINE, bare + " + 1")
    assert "\\ No newline at end of file" in marked
    assert applied(marked).source == bare + " + 1"
