"""What became of a batch of evaluations, as the world sees it."""

from dataclasses import dataclass

from gateway.schemas.evaluation_document import EvaluationDocument
from gateway.schemas.problem_document import ProblemDocument
from gateway.schemas.shape import SHOWN


@dataclass(frozen=True)
class BatchItemDocument:
    """What became of one item: one of the two is null."""

    __pydantic_config__ = SHOWN

    index: int
    evaluation: EvaluationDocument | None
    error: ProblemDocument | None


@dataclass(frozen=True)
class BatchDocument:
    """What became of a batch, item by item."""

    __pydantic_config__ = SHOWN

    items: tuple[BatchItemDocument, ...]
