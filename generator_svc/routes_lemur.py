"""`POST /v1/baselines:read`: a wheel comes in, its networks go out as a stream. Nothing is kept here.

The wheel lies in a file without a name, which ends with the process, however that ends. One is read at a
time: each takes a minute of a core, and room on disk.
"""

import tempfile
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from contracts.jobs import NetworkImportLine
from contracts.problems import PROBLEM_MEDIA_TYPE, problem
from generator_svc.seeds.lemur import MAX_WHEEL_BYTES, LemurWheel, WheelRefused

READ_NETWORKS_PATH = "/v1/baselines:read"
"""Its body is a stream that the handler bounds itself."""

CHUNK_BYTES = 128 * 1024
"""So much goes out at a time: each time changes between threads, which a busy machine makes dear."""

_LINE = TypeAdapter(NetworkImportLine)


class _Reading:
    """A wheel on its way in and its networks on their way out. Over when closed, or when nobody holds it."""

    def __init__(self) -> None:
        self.is_over = False
        self._file: IO[bytes] | None = None
        self._size = 0
        self._lines: Iterator[NetworkImportLine] = iter(())

    def begin(self, folder: Path | None) -> None:
        """Make room for the wheel. Raises OSError."""
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it outlives this call

    def write(self, chunk: bytes) -> None:
        """Take in the next bytes. Raises WheelRefused (too_large), OSError."""
        self._size += len(chunk)
        if self._size > MAX_WHEEL_BYTES:
            raise WheelRefused("too_large", f"The file has more than {MAX_WHEEL_BYTES} bytes.")
        self._received.write(chunk)

    def open(self) -> None:
        """Look at the whole wheel. Raises WheelRefused, OSError."""
        self._received.flush()
        self._lines = LemurWheel(self._received).lines()

    def close(self) -> None:
        """Let go of the file."""
        self.is_over = True
        if self._file is not None:
            with suppress(OSError):  # on a full disk closing writes once more, in vain
                self._file.close()

    @property
    def _received(self) -> IO[bytes]:
        if self._file is None:
            raise RuntimeError("the reading has not begun")
        return self._file

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = bytearray()
        try:
            while len(chunk) < CHUNK_BYTES:
                chunk += _LINE.dump_json(next(self._lines)) + b"\n"
        except StopIteration:
            if not chunk:
                self.close()
                raise
        except WheelRefused as refused:
            self._lines = iter(())
            chunk += _LINE.dump_json(NetworkImportLine(failed=_problem_of(refused))) + b"\n"
        except BaseException:
            self.close()
            raise
        return bytes(chunk)


class _Answer(StreamingResponse):
    """The lines of a reading, which is over when they are sent, or when the client has gone."""

    def __init__(self, reading: _Reading) -> None:
        super().__init__(reading, media_type="application/x-ndjson")
        self._reading = reading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await run_in_threadpool(self._reading.close)


def add_lemur_routes(app: FastAPI, scratch_folder: Path | None) -> None:
    """Add the route. Wheels wait in `scratch_folder`, or where the system keeps temporary files."""
    readings: weakref.WeakSet[_Reading] = weakref.WeakSet()

    @app.post(READ_NETWORKS_PATH, response_class=StreamingResponse)
    async def read_networks(request: Request, origin: Literal["lemur"]) -> Response:
        """One NetworkImportLine a line (NDJSON); the last has `summary` or `failed`. Else it broke off."""
        del origin
        if any(not reading.is_over for reading in readings):
            return _answer(
                problem(
                    409,
                    "import_running",
                    "Another wheel is being read.",
                    remedy="Come again when that import has ended.",
                )
            )
        reading = _Reading()
        readings.add(reading)
        try:
            await run_in_threadpool(reading.begin, scratch_folder)
            async for chunk in request.stream():
                await run_in_threadpool(reading.write, chunk)
            await run_in_threadpool(reading.open)
        except WheelRefused as refused:
            reading.close()
            return _answer(_problem_of(refused))
        except OSError as error:
            reading.close()
            return _answer(_no_room(error))
        except BaseException:
            reading.close()
            raise
        return _Answer(reading)


def _problem_of(refused: WheelRefused) -> dict[str, Any]:
    return problem(
        413 if refused.code == "too_large" else 422,
        f"wheel_{refused.code}",
        refused.message,
        field="body",
        remedy=refused.remedy,
    )


def _no_room(error: OSError) -> dict[str, Any]:
    return problem(
        503,
        "no_room",
        f"The wheel could not be written: {error.strerror or error}.",
        remedy="Free some disk space.",
    )


def _answer(document: dict[str, Any]) -> JSONResponse:
    return JSONResponse(document, document["status"], media_type=PROBLEM_MEDIA_TYPE)
