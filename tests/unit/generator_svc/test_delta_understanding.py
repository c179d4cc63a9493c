"""Damage of the kinds that language models do: what is understood, what is refused, in which words."""

import html
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator_svc.deltas import apply_delta, canonical_delta

BASELINE = """import torch
from torch import nn


def supported_hyperparameters():
    return {"lr", "momentum"}


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.conv1 = nn.Conv2d(in_shape[1], 16, kernel_size=3)
        self.norm1 = nn.BatchNorm2d(16)

        self.conv2 = nn.Conv2d(16, 32, kernel_size=3)
        self.norm2 = nn.BatchNorm2d(32)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(32, out_shape[0])

    def forward(self, x):
        x = torch.relu(self.norm1(self.conv1(x)))
        x = torch.relu(self.norm2(self.conv2(x)))
        x = self.pool(x).flatten(1)
        return self.head(x)
"""
CHANGED = (
    BASELINE.replace("self.norm2 = nn.BatchNorm2d(32)", "self.norm2 = nn.GroupNorm(4, 32)")
    .replace("(1)\n        self.head", '(1)\n        self.drop = nn.Dropout("a" < "b")\n        self.head')
    .replace("return self.head(x)", "return self.head(self.drop(x))")
)
DELTA = canonical_delta(BASELINE, CHANGED)


def body(change, delta=DELTA):
    """Rewrite the lines of the hunks; None drops one."""
    written = []
    in_hunk = False
    for line in delta.splitlines():
        new = change(line) if in_hunk and not line.startswith("@@") else line
        in_hunk = in_hunk or line.startswith("@@")
        written += [] if new is None else [new]
    return "\n".join(written) + "\n"


def headers(text):
    return re.sub(r"@@ .*@@", text, DELTA)


DAMAGE = {
    "wrong numbers": headers("@@ -3,9 +40,2 @@"),
    "bare headers": headers("@@"),
    "no headers": "\n".join(line for line in DELTA.splitlines() if not line.startswith("@@")),
    "no file header": DELTA.split("\n", 2)[2],
    "blank lines lost": body(lambda line: line if line.strip() else None),
    "context without its space": body(lambda line: line.removeprefix(" ")),
    "forgotten plus": DELTA.replace("+        self.drop", "        self.drop"),
    "plus became a space": DELTA.replace("+        self.drop", "         self.drop"),
    "typo": DELTA.replace("         self.pool = nn.Adap", "         self.pol = nn.Adpa"),
    "repeated context": DELTA.replace(
        "         self.pool", "         self.pool = nn.AdaptiveAvgPool2d(1)\n         self.pool"
    ),
    "missing context": body(lambda line: None if line.startswith("         self.conv2") else line),
    "outdent": body(lambda line: line[0] + line[5:] if line[1:].strip() and "class" not in line else line),
    "tabs": body(lambda line: line.replace("    ", "\t")),
    "CRLF": DELTA.replace("\n", "\r\n"),
    "some CR": DELTA.replace(")\n", ")\r\n"),
    "non-breaking spaces": body(lambda line: line[:1] + line[1:].replace("    ", "\u00a0   ")),
    "smart quotes": body(
        lambda line: re.sub('"([^"]*)"', "\u201c\\1\u201d", line), canonical_delta(BASELINE, CHANGED)
    ),
    "entities": html.escape(DELTA),
    "JSON": json.dumps({"thought": "wider\nis better", "delta": DELTA}, indent=1),
    "JSON in JSON": "```json\n" + json.dumps({"arguments": json.dumps([DELTA])}) + "\n```\n",
    "doubled line ends": DELTA.replace("\n", "\n\n"),
    "added lines as context too": body(
        lambda line: f"{line}\n {line[1:]}" if line.startswith("+") and "GroupNorm" not in line else line
    ),
    "line numbers": body(lambda line: f"{line[:1]}{7:4d} | {line[1:]}"),
    "quoted": "".join(f"> {line}\n" for line in DELTA.splitlines()),
    "begin patch": "*** Begin Patch\n*** Update File: net.py\n"
    + headers("@@").split("\n", 2)[2]
    + "*** End Patch\n",
    "repeated as a whole": f"```diff\n{DELTA}```\nAgain, in full:\n```diff\n{DELTA}```\n",
    "thoughts before": f"<think>\n@@ -1 +1 @@\n-a\n+b\n</think>\n{DELTA}",
    "glued tags": f"<delta>{DELTA.rstrip()}</delta>",
    "remark inside": DELTA.replace(
        "-        self.norm2", "(this line is replaced here)\n-        self.norm2"
    ),
    "no closing fence": f"Here:\n```diff\n{DELTA}",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_understood_and_reported(kind):
    result = apply_delta(BASELINE, DAMAGE[kind])
    assert result.status == "applied", result.message
    assert result.source == CHANGED
    assert result.canonical_delta == DELTA
    assert 0.3 < result.confidence <= 1.0
    assert all(hunk.status in {"exact", "moved", "repaired"} for hunk in result.hunks)
    assert all(hunk.repairs for hunk in result.hunks if hunk.status == "repaired")
    assert all(re.match(r"[a-z][a-z -]*: ", text) for hunk in result.hunks for text in hunk.repairs)


def columns(text):
    return len(text) - len(text.lstrip(" "))


@pytest.mark.parametrize(
    "respell", [lambda text: text[columns(text) // 2 :], lambda text: text[min(4, columns(text)) :]]
)
def test_a_new_level_is_as_deep_as_the_others_say(respell):
    """Levels of half the width, and all lines one level too far to the left."""
    nested = "        if self.training:\n            x = x * 1.1\n        x = self.pool"
    changed = BASELINE.replace("        x = self.pool", nested)
    delta = body(lambda line: line[:1] + respell(line[1:]), canonical_delta(BASELINE, changed))
    assert apply_delta(BASELINE, delta).source == changed


def test_a_line_indented_as_an_old_one_stands_where_that_one_does():
    change = '-  return {"lr", "momentum"}\n+  return {"lr"}\n'
    result = apply_delta(BASELINE, f"@@\n def supported_hyperparameters():\n{change}")
    assert result.source == BASELINE.replace(', "momentum"', "")


@pytest.mark.parametrize("moved", [1, 8])
def test_lines_below_an_open_bracket_move_with_their_hunk(moved):
    """Their columns are no whole levels, so these say nothing about a forgotten mark."""
    margin = " " * 27
    call = f"        self.a = nn.Conv2d(in_shape[1], 16,\n{margin}kernel_size=3,\n{margin}bias=False)\n"
    baseline = BASELINE.replace("        self.conv1", f"{call}        self.conv1", 1)
    changed = baseline.replace(f"{margin}bias", f"{margin}stride=1,\n{margin}bias")
    delta = body(lambda line: line[:1] + line[1 + moved :], canonical_delta(baseline, changed))
    assert apply_delta(baseline, delta).source == changed


def test_dots_may_be_all_that_a_block_consists_of():
    hook = "\n    def hook(self):\n        ...\n\n    def forward"
    changed = CHANGED.replace("\n    def forward", hook)
    delta = canonical_delta(BASELINE, changed)
    assert apply_delta(BASELINE, re.sub(r"@@ .* @@", "@@", delta)).source == changed


def test_search_and_replace_blocks_are_understood():
    block = '<<<<<<< SEARCH\n    return {"lr", "momentum"}\n=======\n    return {"lr"}\n>>>>>>> REPLACE\n'
    assert apply_delta(BASELINE, block).source == BASELINE.replace(', "momentum"', "")


@pytest.mark.parametrize(
    ("delta", "reason"),
    [
        (
            DELTA.replace(
                "-        self.norm2 = nn.BatchNorm2d(32)", "-        self.norm2 = nn.BatchNorm2d(64)"
            ),
            "hunk_unplaceable",
        ),
        (DELTA[: DELTA.index("+        self.drop") + 20], "truncated"),
        ("```diff\n" + DELTA[: DELTA.rindex("(self.drop")], "truncated"),
        (DELTA + DELTA[DELTA.index("@@") :].replace("GroupNorm(4", "GroupNorm(8"), "ambiguous"),
        (
            DELTA.replace("+        self.drop", "+        # ... rest of the layers\n+        self.drop"),
            "ambiguous",
        ),
        (
            DELTA.replace(
                "+        self.drop",
                "+        for block in self.blocks:\n+            ...\n+        self.drop",
                1,
            ).replace("+        self.drop", "+            self.drop", 1),
            "ambiguous",
        ),
        ("@@ -1,2 +1,3 @@\n import torch\n+SIZE = 64  # &lt; 128\n from torch import nn\n", "ambiguous"),
        (body(lambda line: line[1:]), "hunk_unplaceable"),
        ("@@\n+        self.extra = 1\n         x = 2\n", "hunk_unplaceable"),
    ],
)
def test_what_is_lost_or_contradictory_is_refused_with_its_hunk(delta, reason):
    result = apply_delta(BASELINE, delta)
    assert (result.status, result.reason) == ("refused", reason), result.message
    assert [hunk.reason for hunk in result.hunks if hunk.status == "refused"] == [reason]


def test_an_addition_whose_neighbour_is_left_out_could_stand_on_either_side_of_it():
    above, below = "self.norm2 = nn.BatchNorm2d(32)", "self.head = nn.Linear(32, out_shape[0])"
    hunk = f"@@\n         {above}\n+        self.drop = nn.Dropout()\n         {below}\n"
    result = apply_delta(BASELINE, hunk)
    assert result.reason == "ambiguous"
    assert "between the lines 16 and 18" in result.message
    numbered = apply_delta(BASELINE, hunk.replace("@@\n", "@@ -15,6 +15,7 @@\n"))
    assert numbered.source == BASELINE.replace(
        "        self.head", "        self.drop = nn.Dropout()\n        self.head", 1
    )


def test_context_that_the_baseline_lacks_is_no_addition_where_nothing_is_marked():
    recited = " from torch import nn\n import torch.nn.functional as F\n \n class Net(nn.Module):\n"
    first = "     def __init__(self, in_shape, out_shape):\n"
    result = apply_delta(BASELINE, f"@@ -1,5 +1,5 @@\n{recited}{first}")
    assert (result.status, result.reason) == ("refused", "hunk_unplaceable"), result.source


def test_context_that_the_header_counts_is_no_addition_where_the_baseline_lacks_it():
    head, drop = "        self.head = nn.Linear(32, out_shape[0])\n", "        self.drop = nn.Dropout()\n"
    bare = head.replace("])", "], bias=False)")
    counted = apply_delta(
        BASELINE, f"@@ -18,4 +18,4 @@\n-{head}+{bare} {drop} \n     def forward(self, x):\n"
    )
    assert (counted.status, counted.reason) == ("refused", "hunk_unplaceable"), counted.source
    assert "self.drop" in counted.message
    short = apply_delta(BASELINE, f"@@ -18,3 +18,4 @@\n-{head}+{bare} {drop} \n     def forward(self, x):\n")
    assert short.source == BASELINE.replace(head, bare + drop)
    assert any(repair.startswith("forgotten plus") for hunk in short.hunks for repair in hunk.repairs)


def test_an_addition_that_says_what_a_left_out_line_says_is_refused():
    head, forward = "        self.head = nn.Linear(32, out_shape[0])\n", "    def forward(self, x):\n"
    first = "        x = torch.relu(self.norm1(self.conv1(x)))\n"
    result = apply_delta(BASELINE, f"@@ -18,4 +18,5 @@\n {head}-\n+{forward}+        x = x * 2\n {first}")
    assert (result.status, result.reason) == ("refused", "ambiguous"), result.source
    assert "leaves out that line" in result.message
    whole = apply_delta(BASELINE, f"@@ -18,4 +18,5 @@\n {head} \n {forward}+        x = x * 2\n {first}")
    assert whole.source == BASELINE.replace(forward, forward + "        x = x * 2\n")


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_damage_never_changes_a_line_that_no_hunk_adds_or_removes(data):
    kind = data.draw(st.sampled_from(sorted(DAMAGE)))
    lines = DAMAGE[kind].split("\n")
    dropped = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=3))
    delta = "\n".join(line for index, line in enumerate(lines) if index not in dropped)
    result = apply_delta(BASELINE, delta)
    if result.status == "applied":
        old = {line.strip() for line in BASELINE.splitlines()}
        new = {line.strip() for line in CHANGED.splitlines()}
        assert {line.strip() for line in result.source.splitlines()} <= old | new
        kept = old & new
        assert kept <= {line.strip() for line in result.source.splitlines()}


def test_two_hunks_that_add_at_one_gap_contradict_each_other_even_at_their_numbers():
    first = "@@ -1,1 +1,2 @@\n import torch\n+import math\n"
    second = "@@ -2,1 +3,2 @@\n+import random\n from torch import nn\n"
    assert apply_delta(BASELINE, first + second).reason == "ambiguous"
