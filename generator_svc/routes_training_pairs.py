"""`POST /v1/training-pairs`: orders come in as lines, chats for fine-tuning go out as lines."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool

from contracts.names import MAX_SOURCE_BYTES
from contracts.problems import validation_problem
from contracts.training_pairs import PairOrder, TrainingPairLine
from generator_svc.fine_tuning import Lengths, training_pair_line
from generator_svc.proposers import Proposer
from generator_svc.request_checks import MAX_SEED, check_size, refuse_field

TRAINING_PAIRS_PATH = "/v1/training-pairs"

MAX_ORDERS_BYTES = 16 * 1024 * 1024
"""Of a body; a caller with more orders sends several."""
MAX_ORDERS = 1_000
MAX_LINES = 10_000
"""Of a delta that can be asked for."""
MAX_ID_CHARACTERS = 200
DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_ORDER = TypeAdapter(PairOrder)
_LINE = TypeAdapter(TrainingPairLine)

Lines = Annotated[int, Query(ge=1, le=MAX_LINES)]


def add_training_pair_routes(app: FastAPI, mutation: Proposer) -> None:
    """Add the route. `mutation` makes the targets of orders that have none."""

    @app.post(TRAINING_PAIRS_PATH, response_class=StreamingResponse)
    async def make_pairs(
        request: Request, fewest_lines: Lines = 5, most_lines: Lines = 60
    ) -> StreamingResponse:
        """One TrainingPairLine a line (NDJSON) for each order, then `made`. Else it broke off."""
        if fewest_lines > most_lines:
            refuse_field("fewest_lines", "is more than `most_lines`", fewest_lines)
        orders = await run_in_threadpool(_orders, await request.body())
        lines = _lines(orders, Lengths(fewest_lines, most_lines), mutation)
        return StreamingResponse(lines, media_type="application/x-ndjson")


def _lines(orders: Sequence[PairOrder], lengths: Lengths, mutation: Proposer) -> Iterator[bytes]:
    made = 0
    for order in orders:
        line = training_pair_line(order, lengths, mutation)
        made += line.pair is not None
        yield _encoded(line)
    yield _encoded(TrainingPairLine(made=made))


def _encoded(line: TrainingPairLine) -> bytes:
    """In ASCII: sources may contain what some readers take for the end of a line."""
    return _LINE.dump_json(line, exclude_none=True, ensure_ascii=True) + b"\n"


def _orders(body: bytes) -> list[PairOrder]:
    """Every order of a body. Raises Refused with the number of the line at fault, from 1."""
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
    if len(lines) > MAX_ORDERS:
        refuse_field("body", f"has {len(lines)} lines; at most {MAX_ORDERS} are allowed", None)
    return [_order(number, line) for number, line in lines]


def _order(number: int, line: bytes) -> PairOrder:
    where = f"lines.{number}"
    try:
        order = _ORDER.validate_json(line)
    except ValidationError as error:
        first = validation_problem(error.errors(include_url=False))["errors"][0]
        field = where if first["field"] == "body" else f"{where}.{first['field']}"
        refuse_field(field, first["message"], first["value"], "Write one order as JSON on each line.")
    if not (0 < len(order.id) <= MAX_ID_CHARACTERS and order.id.isprintable()):
        refuse_field(f"{where}.id", f"must have 1 to {MAX_ID_CHARACTERS} printable characters", order.id)
    if not DATASET.fullmatch(order.dataset):
        refuse_field(f"{where}.dataset", "is no name of a dataset", order.dataset)
    check_size(f"{where}.baseline_source", order.baseline_source, MAX_SOURCE_BYTES)
    check_size(f"{where}.target_source", order.target_source or "", MAX_SOURCE_BYTES)
    if not 0 <= order.seed <= MAX_SEED:
        refuse_field(f"{where}.seed", f"must lie between 0 and {MAX_SEED}", str(order.seed))
    if order.baseline_accuracy is not None and not 0 <= order.baseline_accuracy <= 1:
        refuse_field(f"{where}.baseline_accuracy", "must lie between 0 and 1", order.baseline_accuracy)
    return order
