"""Which words belong together: those of a proposal, and of the diagnosis and the repairs around it."""

from dataclasses import dataclass

from contracts.proposals import AnswerForm


@dataclass(frozen=True)
class WordSet:
    """The versions of all that is said in one conversation."""

    delta: str
    source: str
    diagnosis: str
    repair: str

    def proposal(self, form: AnswerForm) -> str:
        """The version in which an answer of this form is asked for."""
        return self.source if form is AnswerForm.SOURCE else self.delta


NEWEST = WordSet("delta_v3", "source_v2", "diagnosis_v2", "repair_v3")
WORD_SETS = (NEWEST, WordSet("delta_v2", "source_v1", "diagnosis_v1", "repair_v2"))
"""All that can still be asked in, the newest first."""


def word_set(version: str) -> WordSet | None:
    """The words that a version of a proposal belongs to; None where there is no such version."""
    return next((words for words in WORD_SETS if version in {words.delta, words.source}), None)
