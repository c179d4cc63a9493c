"""How datasets look in answers; the runners make their reports."""

from typing import Annotated

from pydantic import Field

from gateway.schemas.shape import Count, Shape


class DatasetDocument(Shape):
    """One dataset of the farm's or of one's own."""

    name: Annotated[str, Field(examples=["fashion-mnist"])]
    ready: bool
    input_shape: Annotated[list[Count] | None, Field(min_length=3, max_length=3, examples=[[1, 28, 28]])]
    """Channels, height and width of an image in pixels; null until it is prepared."""
    classes: Count | None
    train_images: Count | None
    evaluation_images: Count | None
    content_hash: str | None
    """SHA-256 over images and labels."""
    source: str
    """Where it came from."""
    problem: str
    """Why it is not ready, and the command that prepares it; empty when it is."""


class DatasetList(Shape):
    """All that there are."""

    items: list[DatasetDocument]
