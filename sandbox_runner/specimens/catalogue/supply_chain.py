"""Attacks through what is loaded: modules, pickles, files of weights."""

from contracts.failures import FailureReason as Reason
from sandbox_runner.specimens.specimen import Section, denied, fails

SECTION = Section(
    "Supply chain",
    (
        denied("plants_modules", "Plants modules that a later import might pick up."),
        denied(
            "leaves_pickles", "Leaves pickles, object arrays and torch files that act when they are opened."
        ),
        fails("answers_with_a_pickle", "Answers with a pickle instead of numbers.", Reason.INVALID_RESULT),
        fails(
            "claims_a_pickle",
            "Sends a pickle and a YAML tag as its claims.",
            Reason.INVALID_RESULT,
            "JSON object",
        ),
        denied(
            "poisons_bytecode",
            "Writes bytecode beside the sources that everyone imports, and moves where Python keeps it.",
        ),
        fails(
            "injects_a_prompt",
            "Raises an error that tells the language model who reads it what to do.",
            Reason.TRAIN_ERROR,
            "Ignore all previous",
        ),
    ),
)
