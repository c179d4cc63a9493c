"""What is said to language models. The words stand in versioned files beside the code that fills them in."""

from generator_svc.prompts.assignment import Assignment, assignment_of
from generator_svc.prompts.proposal import (
    PROMPT_VERSION,
    Prompt,
    baseline_of_prompt,
    delta_answer,
    delta_prompt,
    diagnosis_prompt,
    proposal_prompt,
    source_answer,
)
from generator_svc.prompts.repair import REPAIR_VERSION, repair_conversation, repair_prompt

__all__ = [
    "PROMPT_VERSION",
    "REPAIR_VERSION",
    "Assignment",
    "Prompt",
    "assignment_of",
    "baseline_of_prompt",
    "delta_answer",
    "delta_prompt",
    "diagnosis_prompt",
    "proposal_prompt",
    "repair_conversation",
    "repair_prompt",
    "source_answer",
]
