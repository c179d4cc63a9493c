"""What every route refuses in the same words."""

from typing import Any, NoReturn

from contracts.problems import problem


class Refused(Exception):
    """A request that cannot be served. Carries its problem document."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(document["detail"])
        self.document = document


def refuse_field(field: str, value: Any, remedy: str) -> NoReturn:
    """Raise Refused: 422, with the field at fault."""
    raise Refused(
        problem(422, "invalid_request", f"{field}: not allowed", field=field, value=value, remedy=remedy)
    )
