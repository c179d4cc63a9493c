"""What generators of one farm bring each other by way of the gateway: chats one way, adapters both ways."""

import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from contracts.fine_tuning import FineTuneStatus
from contracts.problems import problem
from generator_svc.fine_tuning.adapters import AdapterUnknown
from generator_svc.fine_tuning.desk import AdapterInTheWay, AdapterNotAwaited, FineTuneDesk, JobUnknown
from generator_svc.fine_tuning.parcels import open_parcel
from generator_svc.fine_tuning.settings import NAME
from generator_svc.fine_tuning.training_chats import sent_again
from generator_svc.request_checks import Refused, refuse_field
from generator_svc.routes_fine_tuning import (
    ADAPTERS_PATH,
    FINE_TUNES_PATH,
    refuse_unknown_adapter,
    refuse_unknown_job,
    unwritable,
)

Fence = Annotated[int | None, Query(ge=1)]


def add_loan_routes(app: FastAPI, desk: FineTuneDesk) -> None:
    """Add the routes of a desk."""

    @app.get("/v1/models")
    def list_models() -> dict[str, dict[str, str]]:
        """The SHA-256 of the weights of each model that can be trained here, by its name."""
        return {"items": desk.weights_of_models()}

    @app.get(FINE_TUNES_PATH + "/{job_id}/chats", response_class=StreamingResponse)
    def read_chats(job_id: str) -> StreamingResponse:
        """A job as it is sent: every setting on the first line, a chat on each other."""
        try:
            record, path = desk.content(job_id)
            chats = path.open("rb")
        except JobUnknown as unknown:
            refuse_unknown_job(job_id, unknown)
        except OSError as error:
            detail = f"The chats of the fine-tune {job_id!r} are not kept any more."
            raise Refused(problem(404, "not_found", detail)) from error
        settings = json.dumps(asdict(record.settings)).encode() + b"\n"
        return StreamingResponse(sent_again(settings, chats), media_type="application/x-ndjson")

    @app.post(FINE_TUNES_PATH + "/{job_id}:rest")
    def rest_job(job_id: str) -> FineTuneStatus:
        """Let a borrowed job rest until it is sent again; any other stays as it is."""
        try:
            return desk.rest(job_id)
        except JobUnknown as unknown:
            refuse_unknown_job(job_id, unknown)

    @app.get(ADAPTERS_PATH + "/{adapter_id}/parcel", response_class=StreamingResponse)
    def send_parcel(adapter_id: str) -> StreamingResponse:
        """An adapter for another generator: its manifest on a line, then the bytes of its files."""
        try:
            length, chunks = open_parcel(desk.adapters, adapter_id)
        except AdapterUnknown as unknown:
            refuse_unknown_adapter(adapter_id, unknown)
        headers = {"Content-Length": str(length)}
        return StreamingResponse(chunks, media_type="application/octet-stream", headers=headers)

    @app.put(ADAPTERS_PATH + "/{adapter_id}", status_code=204)
    async def take_parcel(adapter_id: str, request: Request, fence: Fence = None) -> None:
        """Take an adapter in: with `fence` that of an attempt at a lent job, else one to go on from."""
        if not NAME.fullmatch(adapter_id):
            refuse_field("id", "must be 1 to 100 of a-z, 0-9, `.`, `_`, `-`, the first no mark", adapter_id)
        try:
            with await run_in_threadpool(desk.parcel_intake, adapter_id) as intake:
                async for chunk in request.stream():
                    await run_in_threadpool(intake.write, chunk)
                await run_in_threadpool(desk.keep_parcel, intake, fence)
        except (AdapterInTheWay, AdapterNotAwaited) as conflict:
            raise Refused(_adapter_conflict(adapter_id, conflict)) from conflict
        except OSError as error:
            raise Refused(unwritable(error)) from error


def _adapter_conflict(adapter_id: str, conflict: Exception) -> dict[str, Any]:
    if isinstance(conflict, AdapterNotAwaited):
        return problem(409, "adapter_not_awaited", f"Nobody waits here for the adapter {adapter_id!r}.")
    return problem(
        409,
        "adapter_exists",
        f"There is another adapter {adapter_id!r}.",
        remedy="Remove it on the host that trains, if nobody uses it there.",
    )
