"""A whole source is found in whatever stands around it, and refused where there is any doubt about it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_networks import CONVOLUTIONAL, LEARNS_BY_ITSELF

from contracts.names import MAX_DELTA_BYTES, MAX_SOURCE_BYTES
from contracts.proposals import EditPermissions
from generator_svc.deltas import apply_delta
from generator_svc.deltas.whole_sources import apply_source

BASELINE = CONVOLUTIONAL.lstrip("\n")
BETTER = BASELINE.replace("8", "16")
OTHER = BASELINE.replace("8", "24")
FENCED = f"```python\n{BETTER}```"


@pytest.mark.parametrize(
    "answer",
    [
        FENCED,
        BETTER,
        BETTER.rstrip(),
        f"```\n{BETTER}```",
        f"~~~~ py\n{BETTER}~~~~\n",
        f"Here it is:\n\n{FENCED}\n\nI made the convolution wider.",
        f"Here is the better network.\n\n{BETTER}\n\nThis network is wider than the one before.\n",
        f"{FENCED}\nUse it so:\n```python\nnet = Net((1, 3, 32, 32), (10,))\n```\n",
        f"```bash\npip install torch\n```\n{FENCED}\nAnd then\n```python\nprint(",
        f"The baseline was\n```python\n{BASELINE}```\nand I make it\n{FENCED}",
        f"I think.\n</think>```python\n{BETTER}```",
        f"{FENCED}\nAgain, the whole of it:\n{FENCED}\n",
        FENCED.replace("\n", "\r\n"),
        f"<think>\n```python\n{OTHER}```\nor wider?\n</think>\n{FENCED}",
        f"1. Take this:\n   ```python\n{''.join('   ' + line for line in BETTER.splitlines(True))}   ```\n",
        f"```python\n{BETTER}``",
        "\ufeff" + FENCED,
    ],
)
def test_the_network_is_found_in_what_stands_around_it(answer):
    applied = apply_source(BASELINE, answer)
    assert (applied.status, applied.reason, applied.message) == ("applied", "", "")
    assert (applied.source, applied.confidence) == (BETTER, 1.0)
    assert apply_delta(BASELINE, applied.canonical_delta).source == BETTER


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        ("", "no_source_found", "class Net"),
        ("I would make it wider.", "no_source_found", "```python"),
        ("```python\nx = 1\n```", "no_source_found", "class Net"),
        (f"```python\n{BETTER}", "truncated", "not closed"),
        (f"```python\n{BETTER[:300]}", "truncated", "not closed"),
        ("```python\nimport torch\n", "truncated", "before it comes to"),
        (f"{FENCED}\n```python\n{OTHER[:300]}", "truncated", "not closed"),
        (f"{FENCED}\nOr else:\n```python\n{OTHER}```", "ambiguous", "2 different"),
        (FENCED.replace("return self", "return self("), "syntax_error", "line"),
        (FENCED.replace("(torch.nn.Module)", ""), "contract_lost", "base class"),
        (f"```python\n{BASELINE}```", "no_op", "changes no code"),
        (f"```python\n{LEARNS_BY_ITSELF}```", "policy_violation", "learn"),
        (
            FENCED.replace("    def forward", "    # ... the rest stays as it is\n    def forward"),
            "ambiguous",
            "line 12",
        ),
        (
            FENCED.replace("    def forward", "    # existing code unchanged\n    def forward"),
            "ambiguous",
            "line 12",
        ),
        (FENCED.replace("\nimport", "\nx = 1" * MAX_SOURCE_BYTES + "\nimport"), "too_large", "bytes"),
        ("x" * (MAX_DELTA_BYTES + 1), "too_large", "bytes"),
    ],
)
def test_what_is_no_network_beyond_doubt_is_refused_with_the_remedy(answer, reason, words):
    applied = apply_source(BASELINE, answer)
    assert (applied.status, applied.reason) == ("refused", reason)
    assert words in applied.message
    assert (applied.source, applied.canonical_delta, applied.confidence) == (None, None, 0.0)


def test_a_comment_that_the_baseline_has_stands_for_nothing_left_out():
    baseline = BASELINE.replace("    def forward", "    # the rest of it\n    def forward")
    changed = baseline.replace("8", "16")
    assert apply_source(baseline, changed).source == changed


def test_edits_are_allowed_where_a_delta_would_be():
    assert apply_source(BASELINE, FENCED, EditPermissions(only=("forward",))).reason == "forbidden_region"
    assert apply_source(BASELINE, FENCED, EditPermissions(only=("__init__",))).source == BETTER


@settings(deadline=None, max_examples=25)
@given(st.text(alphabet=st.sampled_from("`~\n\r class Net:x(#.\t</think>\ud800\x00")), st.integers(0, 4000))
def test_it_never_raises(text, repeats):
    for answer in (text, f"```python\n{text}\nclass Net(X):\n{text * repeats}"):
        assert apply_source(BASELINE, answer[:MAX_DELTA_BYTES]).status in {"applied", "refused"}
