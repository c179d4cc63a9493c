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
    version_of_prompt,
)
from generator_svc.prompts.repair import repair_conversation, repair_prompt
from generator_svc.prompts.versions import NEWEST, WORD_SETS, WordSet, word_set

__all__ = [
    "NEWEST",
    "PROMPT_VERSION",
    "WORD_SETS",
    "Assignment",
    "Prompt",
    "WordSet",
    "assignment_of",
    "baseline_of_prompt",
    "delta_answer",
    "delta_prompt",
    "diagnosis_prompt",
    "proposal_prompt",
    "repair_conversation",
    "repair_prompt",
    "source_answer",
    "version_of_prompt",
    "word_set",
]
