"""What is said to language models. The words stand in versioned files beside the code that fills them in."""

from generator_svc.prompts.delta import PROMPT_VERSION, delta_answer, delta_prompt
from generator_svc.prompts.repair import repair_prompt

__all__ = ["PROMPT_VERSION", "delta_answer", "delta_prompt", "repair_prompt"]
