"""`POST /v1/architectures:near`: sources come in, copies and near pairs go out. Nothing is kept here.

Both ways are streams of lines. One comparison runs at a time: each takes minutes of a core and, beside
its file, memory for all fingerprints.
"""

import time
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from contracts.names import MAX_SOURCE_BYTES
from contracts.problems import PROBLEM_MEDIA_TYPE, problem, validation_problem
from contracts.training_pairs import NamedSource, NearnessLine
from filter_svc.line_spool import LineSpool
from filter_svc.nearness import Near, nearness
from filter_svc.request_checks import Refused

NEAR_PATH = "/v1/architectures:near"
"""Its body is a stream that the handler bounds itself."""

LEAST_SIMILARITY = 0.1
"""Below, everything is near everything."""
MAX_NEIGHBOURS = 1_000
MAX_ID_CHARACTERS = 200

CHUNK_BYTES = 128 * 1024
CHUNK_SECONDS = 1.0
"""So much goes out at a time, or after so long: each time changes between threads."""

_SOURCE = TypeAdapter(NamedSource)
_LINE = TypeAdapter(NearnessLine)

Similarity = Annotated[float, Query(ge=LEAST_SIMILARITY, le=1.0, allow_inf_nan=False)]


class _LineCheck:
    """Holds every line to the contract, and every id to being the only one."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def __call__(self, number: int, line: bytes) -> None:
        """Raise Refused unless the line is a source of an id of its own."""
        try:
            named = _SOURCE.validate_json(line)
        except ValidationError as error:
            document = validation_problem(error.errors(include_url=False))
            remedy = 'Write {"id": …, "source": …} on each line, as JSON in UTF-8.'
            _refuse(number, document["field"], document["errors"][0]["message"], remedy)
        if not (0 < len(named.id) <= MAX_ID_CHARACTERS and named.id.isprintable()):
            _refuse(number, "id", "not allowed", f"Use 1 to {MAX_ID_CHARACTERS} printable characters.")
        if named.id in self._ids:
            _refuse(number, "id", "an earlier line has it too", "Send every source once, under its own id.")
        size = len(named.source.encode())
        if size > MAX_SOURCE_BYTES:
            _refuse(
                number, "source", f"has {size} bytes", f"Send sources of at most {MAX_SOURCE_BYTES} bytes."
            )
        self._ids.add(named.id)


def _refuse(number: int, field: str, message: str, remedy: str) -> None:
    where = f"lines.{number}" if field == "body" else f"lines.{number}.{field}"
    raise Refused(problem(422, "invalid_request", f"{where}: {message}", field=where, remedy=remedy))


class _Answer(StreamingResponse):
    """The lines of a comparison, which is over when they are sent, or when the client has gone."""

    def __init__(self, spool: LineSpool, near: Near) -> None:
        sources = map(_SOURCE.validate_json, spool)
        lines = nearness(sources, spool.lines, near)
        super().__init__(_in_chunks(_with_failure(lines)), media_type="application/x-ndjson")
        self._spool = spool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await run_in_threadpool(self._spool.close)


def _with_failure(lines: Iterable[NearnessLine]) -> Iterator[NearnessLine]:
    try:
        yield from lines
    except Refused as refused:
        yield NearnessLine(failed=refused.document)


def _in_chunks(lines: Iterable[NearnessLine]) -> Iterator[bytes]:
    chunk = bytearray()
    due = time.monotonic() + CHUNK_SECONDS
    for line in lines:
        chunk += _LINE.dump_json(line, exclude_none=True, ensure_ascii=True) + b"\n"
        if len(chunk) >= CHUNK_BYTES or time.monotonic() >= due:
            yield bytes(chunk)
            chunk.clear()
            due = time.monotonic() + CHUNK_SECONDS
    yield bytes(chunk)


def add_nearness_routes(app: FastAPI, scratch_folder: Path) -> None:
    """Add the route. Bodies wait in `scratch_folder`."""
    spools: weakref.WeakSet[LineSpool] = weakref.WeakSet()

    @app.post(NEAR_PATH, response_class=StreamingResponse)
    async def near(
        request: Request,
        at_least: Similarity = 0.5,
        at_most: Similarity = 1.0,
        neighbours: Annotated[int | None, Query(ge=1, le=MAX_NEIGHBOURS)] = None,
    ) -> Response:
        """One NearnessLine a line (NDJSON); the last has `compared` or `failed`. Else it broke off."""
        if any(not spool.is_over for spool in spools):
            return _answer(
                problem(
                    409,
                    "comparison_running",
                    "Other architectures are being compared.",
                    remedy="Come again when that comparison has ended.",
                )
            )
        spool = LineSpool(_LineCheck())
        spools.add(spool)
        try:
            await run_in_threadpool(spool.begin, scratch_folder)
            async for chunk in request.stream():
                await run_in_threadpool(spool.write, chunk)
            await run_in_threadpool(spool.end)
        except OSError as error:
            spool.close()
            return _answer(_no_room(error))
        except BaseException:
            spool.close()
            raise
        return _Answer(spool, Near(at_least, at_most, neighbours))


def _no_room(error: OSError) -> dict[str, Any]:
    return problem(
        503,
        "no_room",
        f"The sources could not be written: {error.strerror or error}.",
        remedy="Free some disk space.",
    )


def _answer(document: dict[str, Any]) -> JSONResponse:
    return JSONResponse(document, document["status"], media_type=PROBLEM_MEDIA_TYPE)
