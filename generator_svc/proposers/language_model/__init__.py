"""The proposer that asks a language model, whoever runs it: prompt, answer, a try, and repairs."""

from generator_svc.proposers.language_model.proposer import LanguageModelProposer

__all__ = ["LanguageModelProposer"]
