"""What the shapes of answers have in common, and the words that many of them use.

Answers are made as plain dictionaries, or of dataclasses; these shapes tell of them in the API's document.
Nothing is checked against a shape when it is sent: what is on disk since an older version is answered as it
is, and never as an error. Tests hold every answer that they see to its shape.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

DESCRIBED = ConfigDict(use_attribute_docstrings=True, json_schema_serialization_defaults_required=False)
"""`__pydantic_config__` of a dataclass that is answered without the fields that are None."""


def _leave_the_others_out(schema: dict[str, Any], cls: Any) -> None:
    """pydantic asks the object around a TypedDict whether fields that may be left out are always there."""
    schema["required"] = [name for name in schema["properties"] if name in cls.__required_keys__]


SOME = ConfigDict(use_attribute_docstrings=True, json_schema_extra=_leave_the_others_out)
"""`__pydantic_config__` of a TypedDict that is answered, some of whose fields are `NotRequired`."""

SHOWN = ConfigDict(use_attribute_docstrings=True, json_schema_serialization_defaults_required=True)
"""`__pydantic_config__` of a dataclass that is answered with all of its fields."""


class Shape(BaseModel):
    """A JSON object of an answer. Every field is always there; one that does not apply is null."""

    model_config = ConfigDict(**SHOWN, frozen=True)


def _id(prefix: str, what: str) -> object:
    example = f"{prefix}_0660e45623b96d15d2303adc6729"
    pattern = f"^{prefix}_[0-9a-f]{{1,40}}$"
    return Field(pattern=pattern, examples=[example], description=f"The id of {what}.")


SearchId = Annotated[str, _id("se", "a search")]
EvaluationId = Annotated[str, _id("ev", "an evaluation")]
FineTuneId = Annotated[str, _id("ft", "a fine-tune and of its adapter")]
ImportId = Annotated[str, _id("bi", "an import")]
SmokeRunId = Annotated[str, _id("sm", "a smoke run")]
TaskId = Annotated[str, _id("tk", "an agent's task")]
ProposalId = Annotated[
    str,
    Field(
        pattern=r"^se_[0-9a-f]{1,40}-c[0-9]{3}-s[0-9]{3}$",
        examples=["se_0660e45623b96d15d2303adc6729-c001-s003"],
        description="The search's id with the cycle and the slot.",
    ),
]
Sha256 = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{64}$",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    ),
]
Moment = Annotated[datetime, Field(examples=["2026-11-22T21:40:00.123456Z"])]
"""RFC 3339, in UTC."""
Share = Annotated[float, Field(ge=0, le=1, examples=[0.8731])]
"""A fraction: 0.5 is 50 per cent."""
Count = Annotated[int, Field(ge=0, examples=[12])]
Seconds = Annotated[float, Field(ge=0, examples=[14.2])]
Bytes = Annotated[int, Field(ge=0, examples=[104_857_600])]
Untrusted = Annotated[str, Field(description="Bounded; may quote a model or a candidate: untrusted.")]
Hyperparameters = Annotated[
    dict[str, float | int | str | bool], Field(examples=[{"lr": 0.01, "momentum": 0.9, "transform": "norm"}])
]
