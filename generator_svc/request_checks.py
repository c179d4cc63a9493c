"""What every route refuses in the same words: texts that are too large, fields that cannot be served."""

from typing import Any, NoReturn

from contracts.problems import problem
from contracts.proposals import EditPermissions

MAX_SEED = 2**63 - 1
MAX_REGIONS = 64
MAX_REGION_CHARACTERS = 250


class Refused(Exception):
    """A well-formed request asks for something impossible. Carries its problem document."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(document["detail"])
        self.document = document


def refuse_field(field: str, message: str, value: object, remedy: str = "Correct this field.") -> NoReturn:
    """Raise Refused: 422, with the field at fault."""
    raise Refused(
        problem(422, "invalid_request", f"{field}: {message}", field=field, value=value, remedy=remedy)
    )


def check_size(field: str, text: str, limit: int) -> None:
    """Raise Refused for a text of more than `limit` bytes."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limit:
        refuse_field(field, f"has {size} bytes; at most {limit} are allowed", None)


def check_edits(edits: EditPermissions) -> None:
    """Raise Refused for more regions than anybody names, or longer ones."""
    for field, regions in (("edits.only", edits.only), ("edits.never", edits.never)):
        if len(regions) > MAX_REGIONS:
            refuse_field(field, f"names {len(regions)} regions; at most {MAX_REGIONS} are allowed", None)
        for index, region in enumerate(regions):
            if len(region) > MAX_REGION_CHARACTERS:
                refuse_field(f"{field}.{index}", f"has more than {MAX_REGION_CHARACTERS} characters", None)
