"""Where a caller lets deltas change a network."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_REGIONS = 32

Region = Annotated[str, Field(pattern=r"^[\p{L}_][\w]{0,99}(\.[\p{L}_][\w]{0,99})?$")]


class EditsBody(BaseModel):
    """Regions by name: `imports`, `module` (other top-level statements), a method of `Net`, a top-level
    function or class, or `CLASS.METHOD`. `only` empty: everywhere that `never` does not name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    only: Annotated[list[Region], Field(max_length=MAX_REGIONS)] = Field(default_factory=list)
    never: Annotated[list[Region], Field(max_length=MAX_REGIONS)] = Field(default_factory=list)
