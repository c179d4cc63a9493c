"""`POST /v1/architectures:near`: sources come in, copies and near pairs go out. Nothing is kept here.

Both ways are streams of lines. One comparison runs at a time: each takes minutes of a core and, beside
its file, memory for all fingerprints.
"""

import asyncio
import time
import weakref
from collections.abc import AsyncIterable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Receive, Scope, Send

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

ENDING_SECONDS = 60.0
"""How long the next comparison waits for one whose client has gone: it ends with the source or block of
networks that it has in hand."""
NOTICING_SECONDS = 1.0
"""How long it takes at most until a client is seen to have gone."""
LOOK_AGAIN_SECONDS = 0.05

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


class _ClientGone(Exception):
    """Nobody waits for the answer any more."""


class _Comparison:
    """Sources on their way in, and the answer about them. Over when closed, or when nobody holds it."""

    def __init__(self) -> None:
        self.is_over = False
        self.is_abandoned = False
        """Its client has gone: it will be over soon."""
        self._spool: LineSpool | None = None

    async def receive(self, body: AsyncIterable[bytes], folder: Path) -> LineSpool:
        """Keep all lines. Raises Refused, OSError, and what `body` raises."""
        self._spool = spool = await run_in_threadpool(LineSpool, folder, _LineCheck())
        async for chunk in body:
            await run_in_threadpool(spool.write, chunk)
        await run_in_threadpool(spool.end)
        return spool

    def lines(self, spool: LineSpool, near: Near) -> Iterator[NearnessLine]:
        """The answer; it ends early when it is abandoned."""
        try:
            for line in nearness(self._sources(spool), spool.lines, near):
                if self.is_abandoned:
                    return
                yield line
        except _ClientGone:
            return
        except Refused as refused:
            yield NearnessLine(failed=refused.document)

    def close(self) -> None:
        """Make room for the next one."""
        if self._spool is not None:
            self._spool.close()
        self.is_over = True

    def _sources(self, spool: LineSpool) -> Iterator[NamedSource]:
        for line in spool:
            if self.is_abandoned:
                raise _ClientGone
            yield _SOURCE.validate_json(line)


async def _may_begin(comparisons: Iterable[_Comparison]) -> bool:
    """Whether nothing else is being compared; waits for what nobody waits for."""
    begun = time.monotonic()
    while not all(other.is_over for other in comparisons):
        ends_soon = all(other.is_over or other.is_abandoned for other in comparisons)
        if time.monotonic() - begun > (ENDING_SECONDS if ends_soon else NOTICING_SECONDS):
            return False
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    return True


class _Answer(StreamingResponse):
    """The lines of a comparison, which is over when they are sent, or when the client has gone."""

    def __init__(self, comparison: _Comparison, lines: Iterator[NearnessLine]) -> None:
        super().__init__(_in_chunks(lines), media_type="application/x-ndjson")
        self._comparison = comparison

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_and_notice() -> Message:
            message = await receive()
            self._comparison.is_abandoned |= message["type"] == "http.disconnect"
            return message

        try:
            await super().__call__(scope, receive_and_notice, send)
        finally:
            await run_in_threadpool(self._comparison.close)


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
    comparisons: weakref.WeakSet[_Comparison] = weakref.WeakSet()

    @app.post(NEAR_PATH, response_class=StreamingResponse)
    async def compare(
        request: Request,
        at_least: Similarity = 0.5,
        at_most: Similarity = 1.0,
        neighbours: Annotated[int | None, Query(ge=1, le=MAX_NEIGHBOURS)] = None,
    ) -> Response:
        """One NearnessLine a line (NDJSON); the last has `compared` or `failed`. Else it broke off."""
        if not await _may_begin(comparisons):
            return _answer(
                problem(
                    409,
                    "comparison_running",
                    "Other architectures are being compared.",
                    remedy="Come again when that comparison has ended.",
                )
            )
        comparison = _Comparison()
        comparisons.add(comparison)
        try:
            spool = await comparison.receive(request.stream(), scratch_folder)
        except OSError as error:
            comparison.close()
            return _answer(_no_room(error))
        except BaseException:
            comparison.close()
            raise
        near = Near(at_least, at_most, neighbours)
        return _Answer(comparison, comparison.lines(spool, near))


def _no_room(error: OSError) -> dict[str, Any]:
    return problem(
        503,
        "no_room",
        f"The sources could not be written: {error.strerror or error}.",
        remedy="Free some disk space.",
    )


def _answer(document: dict[str, Any]) -> JSONResponse:
    return JSONResponse(document, document["status"], media_type=PROBLEM_MEDIA_TYPE)
