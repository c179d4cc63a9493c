"""`/v1/fine-tunes` and `/v1/adapters`: jobs come in as lines, are followed, and end as adapters."""

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from contracts.fine_tuning import AdapterManifest, FineTuneCare, FineTuneEvent, FineTuneStatus
from contracts.problems import problem
from generator_svc.fine_tuning.adapters import AdapterStore, AdapterUnknown
from generator_svc.fine_tuning.desk import (
    AdapterInTheWay,
    CareDiffers,
    ContentDiffers,
    FineTuneDesk,
    JobUnfinished,
    JobUnknown,
)
from generator_svc.fine_tuning.durable_files import disk_failure
from generator_svc.fine_tuning.job_folder import JobDamaged
from generator_svc.fine_tuning.limits import FineTuneLimits
from generator_svc.fine_tuning.settings import NAME
from generator_svc.request_checks import Refused, refuse_field

FINE_TUNES_PATH = "/v1/fine-tunes"
"""Bodies of paths below it and below `ADAPTERS_PATH` are streams that the handler bounds itself."""
ADAPTERS_PATH = "/v1/adapters"
MAX_WAIT_SECONDS = 30.0
COPY_BYTES = 1024 * 1024

_EVENT = TypeAdapter(FineTuneEvent)
_STATUS = TypeAdapter(FineTuneStatus)

After = Annotated[int, Query(ge=0)]
Wait = Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS, allow_inf_nan=False)]


def add_fine_tuning_routes(
    app: FastAPI, home: Path | None, before_training: Callable[[], bool | None] = lambda: None
) -> FineTuneDesk | None:
    """Add the routes. Whoever starts the application starts the desk and stops it; without a home: none."""
    if home is None:
        _add_absence(app)
        return None
    desk = FineTuneDesk(home, FineTuneLimits(), before_training)
    add_desk_routes(app, desk)
    return desk


def add_desk_routes(app: FastAPI, desk: FineTuneDesk) -> None:
    """Add the routes of a desk."""
    _add_jobs(app, desk)
    _add_events(app, desk)
    _add_adapters(app, desk)


def _add_jobs(app: FastAPI, desk: FineTuneDesk) -> None:
    @app.put(
        FINE_TUNES_PATH + "/{job_id}",
        response_model=FineTuneStatus,
        responses={202: {"model": FineTuneStatus, "description": "The job is taken in."}},
    )
    async def put_job(job_id: str, request: Request, care: FineTuneCare = FineTuneCare.OWN) -> Response:
        """Take a job in: settings on the first line, a training chat on each other. 202, or 200 if known."""
        if not NAME.fullmatch(job_id):
            refuse_field("id", "must be 1 to 100 of a-z, 0-9, `.`, `_`, `-`, the first no mark", job_id)
        try:
            with await run_in_threadpool(desk.intake) as intake:
                async for chunk in request.stream():
                    await run_in_threadpool(intake.write, chunk)
                status, is_new = await run_in_threadpool(desk.accept, job_id, intake, care)
        except (ContentDiffers, CareDiffers, AdapterInTheWay, JobDamaged) as conflict:
            raise Refused(_conflict(job_id, conflict)) from conflict
        except OSError as error:
            raise Refused(unwritable(error)) from error
        return Response(
            _STATUS.dump_json(status),
            202 if is_new else 200,
            {"Location": f"{FINE_TUNES_PATH}/{job_id}"},
            "application/json",
        )

    @app.get(FINE_TUNES_PATH)
    def list_jobs() -> dict[str, list[FineTuneStatus]]:
        """Every job, the newest first."""
        return {"items": desk.statuses()}

    @app.get(FINE_TUNES_PATH + "/{job_id}")
    def read_job(job_id: str) -> FineTuneStatus:
        """How a job is."""
        try:
            return desk.status(job_id)
        except JobUnknown as unknown:
            refuse_unknown_job(job_id, unknown)

    @app.post(FINE_TUNES_PATH + "/{job_id}:cancel")
    def cancel_job(job_id: str) -> FineTuneStatus:
        """End a job for good; one that is over stays as it is."""
        try:
            return desk.cancel(job_id)
        except JobUnknown as unknown:
            refuse_unknown_job(job_id, unknown)

    @app.post(FINE_TUNES_PATH + "/{job_id}:retry")
    def retry_job(job_id: str) -> FineTuneStatus:
        """Let a job go on that failed in a way that may pass; any other stays as it is."""
        try:
            return desk.retry(job_id)
        except JobUnknown as unknown:
            refuse_unknown_job(job_id, unknown)

    @app.delete(FINE_TUNES_PATH + "/{job_id}", status_code=204)
    def remove_job(job_id: str) -> None:
        """Remove a job that is over or lent, its chats included. Its adapter stays."""
        try:
            desk.remove(job_id)
        except JobUnknown as unknown:
            refuse_unknown_job(job_id, unknown)
        except JobUnfinished as unfinished:
            raise Refused(
                problem(
                    409,
                    "fine_tune_unfinished",
                    f"The fine-tune {job_id!r} is not over.",
                    remedy="Cancel it first.",
                )
            ) from unfinished
        except OSError as error:
            raise Refused(unwritable(error)) from error


def _add_events(app: FastAPI, desk: FineTuneDesk) -> None:
    @app.get(FINE_TUNES_PATH + "/{job_id}/events", response_class=Response)
    def read_events(job_id: str, after: After = 0, wait: Wait = 0.0) -> Response:
        """FineTuneEvents (NDJSON) after a sequence number, up to 1,000; `wait` seconds for the first of them.

        Nothing before the time is over: the job has ended, and all was told.
        """
        try:
            events = desk.events(job_id, after, wait)
        except JobUnknown as unknown:
            refuse_unknown_job(job_id, unknown)
        return Response(b"".join(map(_event_line, events)), media_type="application/x-ndjson")


def _event_line(event: FineTuneEvent) -> bytes:
    return _EVENT.dump_json(event) + b"\n"


def _add_adapters(app: FastAPI, desk: FineTuneDesk) -> None:
    store = desk.adapters

    @app.get("/v1/adapters")
    def list_adapters() -> dict[str, list[AdapterManifest]]:
        """Every adapter, the newest first."""
        return {"items": store.all()}

    @app.get("/v1/adapters/{adapter_id}")
    def read_adapter(adapter_id: str) -> AdapterManifest:
        """Where an adapter comes from, and how it did."""
        try:
            return store.manifest(adapter_id)
        except AdapterUnknown as unknown:
            refuse_unknown_adapter(adapter_id, unknown)

    @app.get("/v1/adapters/{adapter_id}/files", response_class=StreamingResponse)
    def download_adapter(adapter_id: str) -> StreamingResponse:
        """All files as a tar, in a folder of the adapter's name."""
        files = _files(store, adapter_id)
        headers = {"Content-Disposition": f'attachment; filename="{adapter_id}.tar"'}
        return StreamingResponse(_tar(adapter_id, files), media_type="application/x-tar", headers=headers)

    @app.get("/v1/adapters/{adapter_id}/files/{name}", response_class=FileResponse)
    def download_file(adapter_id: str, name: str) -> FileResponse:
        """One file."""
        for file in _files(store, adapter_id):
            if file.name == name:
                return FileResponse(file, media_type="application/octet-stream", filename=name)
        raise Refused(problem(404, "not_found", f"The adapter {adapter_id!r} has no such file."))

    @app.delete("/v1/adapters/{adapter_id}", status_code=204)
    def remove_adapter(adapter_id: str) -> None:
        """Remove an adapter that no unfinished job goes on from."""
        users = desk.users_of(adapter_id)
        if users:
            raise Refused(
                problem(
                    409,
                    "adapter_in_use",
                    f"Jobs go on from the adapter {adapter_id!r}: {', '.join(users)[:200]}.",
                    remedy="Wait for them, or cancel them.",
                )
            )
        try:
            store.remove(adapter_id)
        except AdapterUnknown as unknown:
            refuse_unknown_adapter(adapter_id, unknown)
        except OSError as error:
            raise Refused(unwritable(error)) from error


def _files(store: AdapterStore, adapter_id: str) -> list[Path]:
    try:
        return store.files(adapter_id)
    except AdapterUnknown as unknown:
        refuse_unknown_adapter(adapter_id, unknown)


def _tar(folder: str, files: list[Path]) -> Iterator[bytes]:
    """A tar of some files, a piece at a time; the same files give the same bytes."""
    for path in files:
        with path.open("rb") as file:
            info = tarfile.TarInfo(f"{folder}/{path.name}")
            info.size = path.stat().st_size
            yield info.tobuf(tarfile.PAX_FORMAT)
            while chunk := file.read(COPY_BYTES):
                yield chunk
            yield bytes(-info.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _conflict(job_id: str, conflict: Exception) -> dict[str, Any]:
    if isinstance(conflict, CareDiffers):
        return problem(
            409,
            "fine_tune_differs",
            f"The fine-tune {job_id!r} is here as {conflict}: this generator is its owner's.",
            remedy="Give each agent that trains a generator and a DELTANAS_HOME of its own.",
        )
    if isinstance(conflict, JobDamaged):
        return problem(409, "fine_tune_damaged", f"{conflict}.", remedy="Send the job under another id.")
    if isinstance(conflict, AdapterInTheWay):
        return problem(
            409,
            "adapter_exists",
            f"There is an adapter {job_id!r}, of a job that is gone.",
            remedy="Send the job under another id, or remove the adapter.",
        )
    return problem(
        409,
        "fine_tune_differs",
        f"There is a fine-tune {job_id!r} with other settings or chats.",
        remedy="Send the job under another id.",
    )


def unwritable(error: OSError) -> dict[str, Any]:
    """The problem where the home's disk is at fault."""
    failure = disk_failure(error)
    return problem(503, failure.reason, failure.message, remedy=failure.remedy)


def refuse_unknown_job(job_id: str, unknown: JobUnknown) -> NoReturn:
    """Raise Refused: 404."""
    raise Refused(problem(404, "not_found", f"There is no fine-tune {job_id[:100]!r}.")) from unknown


def refuse_unknown_adapter(adapter_id: str, unknown: AdapterUnknown) -> NoReturn:
    """Raise Refused: 404."""
    raise Refused(problem(404, "not_found", f"There is no adapter {adapter_id[:100]!r}.")) from unknown


def _add_absence(app: FastAPI) -> None:
    @app.api_route(FINE_TUNES_PATH, methods=["GET"])
    @app.api_route(FINE_TUNES_PATH + "/{rest:path}", methods=["GET", "PUT", "POST", "DELETE"])
    @app.api_route("/v1/adapters", methods=["GET"])
    @app.api_route("/v1/adapters/{rest:path}", methods=["GET", "PUT", "DELETE"])
    @app.api_route("/v1/models", methods=["GET"])
    def no_home(rest: str = "") -> None:
        """Jobs and adapters lie under DELTANAS_HOME."""
        del rest
        raise Refused(
            problem(
                503,
                "no_home",
                "This generator has no DELTANAS_HOME to keep jobs and adapters in.",
                remedy="Set DELTANAS_HOME and start it again.",
            )
        )
