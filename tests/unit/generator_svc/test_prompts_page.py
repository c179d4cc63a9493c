"""docs/prompts.md shows what models are really told."""

from pathlib import Path

import pytest

import generator_svc
from contracts.proposals import AnswerForm, DeploymentLimits, EditPermissions, PastTry
from generator_svc.answers import AnswerRules, apply_answer
from generator_svc.prompts import Assignment, diagnosis_prompt, proposal_prompt, repair_prompt

PAGE = (Path(generator_svc.__file__).parents[1] / "docs" / "prompts.md").read_text(encoding="utf-8")
SOURCE = """import torch.nn as nn


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.stem = nn.Conv2d(in_shape[1], 16, 3, padding=1)
        self.head = nn.Linear(16, out_shape[0])

    def forward(self, x):
        return self.head(self.stem(x).relu().mean((2, 3)))
"""
ASSIGNMENT = Assignment(
    SOURCE,
    "cifar-10",
    0.3812,
    (
        PastTry(
            "",
            "-        self.stem = nn.Conv2d(in_shape[1], 16, 3, padding=1)\n"
            "+        self.stem = nn.Conv2d(in_shape[1], 32, 3, padding=1)",
            "failed: train_error: mat1 and mat2 shapes cannot be multiplied",
        ),
    ),
    EditPermissions(never=("imports",)),
    DeploymentLimits(("Softmax",), 200_000, 50_000_000),
    "One convolution sees only 3 × 3 pixels. Add a second one, with a stride, before the head.",
)
MISREMEMBERED = """```diff
@@ -7 +7 @@
-        self.stem = nn.Conv2d(in_shape[1], 24, 3, padding=1)
+        self.stem = nn.Conv2d(in_shape[1], 16, 3, stride=2, padding=1)
```"""


def shown(text):
    return f"````text\n{text}\n````\n" in PAGE


@pytest.mark.parametrize("form", AnswerForm)
def test_both_forms_are_shown_in_full(form):
    for message in proposal_prompt(form, ASSIGNMENT).messages:
        assert shown(message.content)


def test_the_reviewer_and_a_repair_are_shown_in_full():
    for message in diagnosis_prompt(ASSIGNMENT).messages:
        assert shown(message.content)
    refused = apply_answer(SOURCE, MISREMEMBERED, AnswerRules())
    assert shown(repair_prompt(SOURCE, MISREMEMBERED, refused))
