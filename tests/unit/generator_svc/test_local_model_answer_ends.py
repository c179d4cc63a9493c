"""Where a local model's answer ends, however it comes in pieces."""

import pytest

from generator_svc.language_models.local.answer_ends import AnswerEnd

DIFF = "```diff\n--- a/net.py\n+++ b/net.py\n@@ -1,2 +1,2 @@\n ```\n-a\n+b\n```"
SOURCE = "```python\nimport torch\nclass Net(torch.nn.Module):\n    pass\n```"


def said_until_end(text: str, size: int) -> str | None:
    """What is kept of a text that comes in pieces of `size`; None when it never ends."""
    end, kept = AnswerEnd(), ""
    for start in range(0, len(text), size):
        piece = text[start : start + size]
        place = end.read(piece)
        if place is not None:
            return kept + piece[:place]
        kept += piece
    return None


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(
    ("answer", "rest"),
    [
        (DIFF, "\nThat is all."),
        (f"Here it is:\n{DIFF}", "`\n```python\n"),
        (f"```python\nprint('first some talk')\n```\n{DIFF}", "\n"),
        (SOURCE, "\nThis network …"),
        ("````diff\n```\n+a\n````", "\n"),
        ("```\n@@ -1 +1 @@\n-a\n+b\n```", " done"),
        ("  ```diff\n  +a\n  ```", "\n"),
        ("<delta>\n-a\n+b\n</delta>", " and so on"),
    ],
)
def test_it_ends_right_behind_the_delta_or_the_source(answer, rest, size):
    assert said_until_end(answer + rest, size) == answer


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize(
    "text",
    [
        "no fence at all",
        "```python\nprint(1)\n```\nstill talking",
        "```diff\n+a line\n ```\nthat is context",
        "````diff\n```\n",
        "</delta",
        "a `word` in ```backticks``` within a line",
    ],
)
def test_it_goes_on_while_nothing_is_complete(text, size):
    assert said_until_end(text, size) is None


def test_a_line_without_end_is_read_once():
    end = AnswerEnd()
    for _ in range(40_000):
        assert end.read("`x") is None
