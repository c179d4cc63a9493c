"""A target in its baseline's layout: the same code, and a delta without blanks and comments of its own."""

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutation_sources import BLOCKS, HARD_CODED_CLASSES, LITERAL_WIDTHS, RESIDUAL_LITERALS

from generator_svc.deltas import canonical_delta
from generator_svc.deltas.layout import in_layout_of

BASELINE = '''"""A network."""

import torch
import torch.nn as nn


class Net(nn.Module):
    """Two lines

    of words."""

    def __init__(self, in_shape, out_shape):
        super().__init__()
        # the body
        self.body = nn.Sequential(
            nn.Conv2d(in_shape[1], 16, 3),  # sees the image
            nn.ReLU(),

            nn.Conv2d(16, 32, 3),
        )
        self.head = nn.Linear(32, out_shape[0])

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))
'''


def changed_lines(baseline: str, target: str) -> list[str]:
    delta = canonical_delta(baseline, in_layout_of(baseline, target)).splitlines()[2:]
    return [line for line in delta if line.startswith(("+", "-"))]


def same_tree(first: str, second: str) -> bool:
    return ast.dump(ast.parse(first)) == ast.dump(ast.parse(second))


@pytest.mark.parametrize(
    "relaid",
    [
        BASELINE.replace("\n\n\n", "\n").replace("        # the body\n", ""),
        BASELINE.replace("import torch\n", "import torch  # needed\n\n\n\n"),
        BASELINE.replace("nn.ReLU(),\n\n", "nn.ReLU(),   # not linear\n"),
        BASELINE.replace("(16, 32, 3)", "( 16,32, 3 )"),
        BASELINE.replace("            nn.ReLU(),\n\n", "                nn.ReLU(),\n"),
        BASELINE.replace(
            "nn.Linear(32, out_shape[0])", "nn.Linear(\n            32,\n            out_shape[0]\n)"
        ),
        BASELINE.rstrip("\n"),
        BASELINE + "\n# the end\n",
    ],
)
def test_a_source_that_differs_in_layout_alone_is_the_baseline(relaid):
    assert relaid != BASELINE
    assert in_layout_of(BASELINE, relaid) == BASELINE


def test_of_a_real_change_beside_changes_of_layout_the_real_one_is_left():
    target = BASELINE.replace("(16, 32, 3)", "(16, 32, 5)").replace("import torch\n", "import torch\n\n\n\n")
    target = target.replace("        # the body\n", "        # another remark\n")
    assert changed_lines(BASELINE, target) == [
        "-            nn.Conv2d(16, 32, 3),",
        "+            nn.Conv2d(16, 32, 5),",
    ]


def test_new_code_comes_without_blank_lines_and_without_comments_of_its_own():
    gate = """class Gate(nn.Module):
    # scales

    def forward(self, x):  # all

        return x.sigmoid()


"""
    target = BASELINE.replace("class Net", f"{gate}class Net")
    assert changed_lines(BASELINE, target) == [
        "+class Gate(nn.Module):",
        "+    def forward(self, x):",
        "+        return x.sigmoid()",
    ]


def test_a_comment_that_the_baseline_has_stays_behind_a_changed_line():
    target = BASELINE.replace("16, 3),  # sees the image", "24, 3),  # sees the image")
    assert changed_lines(BASELINE, target) == [
        "-            nn.Conv2d(in_shape[1], 16, 3),  # sees the image",
        "+            nn.Conv2d(in_shape[1], 24, 3),  # sees the image",
    ]


def test_remarks_between_lines_that_go_go_with_them():
    baseline = BASELINE.replace(
        "        self.head",
        "        # first\n        self.a = 1\n\n        # then\n        self.b = 2\n        self.head",
    )
    assert changed_lines(baseline, BASELINE) == [
        "-        self.a = 1",
        "-",
        "-        # then",
        "-        self.b = 2",
    ]


def test_blank_lines_within_a_text_are_part_of_the_code():
    target = BASELINE.replace("Two lines\n\n    of", "Two lines\n\n\n    of")
    assert in_layout_of(BASELINE, target) == target


@pytest.mark.parametrize("source", ["x = (", "if x:\nreturn", "\x00", "'''", "x = 1\n  y = 2\n", ""])
def test_what_is_no_python_comes_back_as_it_is(source):
    assert in_layout_of(BASELINE, source) == source
    assert same_tree(in_layout_of(source, BASELINE), BASELINE)


def test_windows_line_ends_stay():
    baseline, target = (
        text.replace("\n", "\r\n")
        for text in (BASELINE, BASELINE.replace("32", "48").replace("\n\n\n", "\n"))
    )
    laid = in_layout_of(baseline, target)
    assert same_tree(laid, target)
    assert laid == BASELINE.replace("32", "48").replace("\n", "\r\n")


SOURCES = [BASELINE, BLOCKS, LITERAL_WIDTHS, RESIDUAL_LITERALS, HARD_CODED_CLASSES]
ODD = [
    "",
    "    ",
    "# a remark",
    "        # 3 × 3",
    "\t",
    "    x = 1  # why",
    "x=2",
    "def f():",
    "    return 1",
    ")",
]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SOURCES), st.sampled_from(SOURCES), st.data())
def test_whatever_the_target_is_the_code_is_the_same_and_a_second_time_changes_nothing(first, second, data):
    lines = second.split("\n")
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(lines)))
        lines.insert(at, data.draw(st.sampled_from(ODD)))
    target = "\n".join(lines)
    laid = in_layout_of(first, target)
    assert in_layout_of(first, laid) == laid
    try:
        ast.parse(target)
    except SyntaxError:
        assert laid == target
    else:
        assert same_tree(laid, target)
