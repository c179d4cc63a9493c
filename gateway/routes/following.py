"""How a caller follows something: server-sent events, or one bounded wait. Never blocks the loop."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Query, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from gateway.infra.database import Database
from gateway.infra.events import Event, events_after, newest_event_id
from gateway.infra.signals import Signals
from gateway.routes.problems import RequestProblem, problem_of

T = TypeVar("T")

LOOK_AGAIN = timedelta(seconds=10)
"""A follower reads again at least this often, whatever the signals say."""

_NOT_FOUND = 404

PAGE_EVENTS = 100
"""So many events of a follower are in memory at a time."""

HEARTBEAT_SECONDS = 15
"""A comment this often keeps proxies from cutting off a stream in which nothing happens."""

STOP_SECONDS = 2.0
"""When the gateway stops, its signals end every stream; one that has not ended by then is cut off."""

_EVENT = {
    "type": "object",
    "properties": {
        "id": {
            "type": "string",
            "pattern": "^[0-9]{1,18}$",
            "examples": ["42"],
            "description": "Sent as `Last-Event-ID` it gives what came later.",
        },
        "event": {"type": "string", "examples": ["state"], "description": "What has happened."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "examples": ['{"state": "queued"}'],
            "description": "One JSON object.",
        },
    },
    "required": ["id", "event", "data"],
    "additionalProperties": False,
}
STREAM_ENDS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The events.", "content": {"text/event-stream": {"itemSchema": _EVENT}}},
    204: {"description": "All has happened, and Last-Event-ID names the last of it."},
}
"""What a stream may answer in place of events, for the document of the API."""

WaitSeconds = Annotated[
    float, Query(ge=0, le=60, allow_inf_nan=False, description="Wait for the end, in seconds.")
]


def _last_event_id(
    last_event_id: Annotated[str | None, Header(json_schema_extra={"pattern": "^[0-9]{0,18}$"})] = None,
) -> int:
    if last_event_id is None:
        return 0
    if not last_event_id:
        # What an EventSource has before the first event.
        return 0
    if not last_event_id.isascii() or not last_event_id.isdigit() or len(last_event_id) > 18:
        raise RequestProblem(
            422,
            "invalid_request",
            "Last-Event-ID is the id of an event of this stream, a whole number.",
            field="Last-Event-ID",
            value=last_event_id,
            remedy="Send the last id received, or leave it out.",
        )
    return int(last_event_id)


LastEventId = Annotated[int, Depends(_last_event_id)]


async def follow(database: Database, topic: str, last_id: int, is_over: Callable[[], bool]) -> Response:
    """Stream a topic's events after `last_id`, past and coming, until `is_over` and all are sent.

    `is_over` runs in a worker thread. Where nothing is left to tell, the answer is 204: it stops browsers
    from asking again. Raises RequestProblem for an id that the topic has not come to yet.
    """
    if last_id and await run_in_threadpool(_has_nothing_after, database, topic, last_id, is_over):
        return Response(status_code=204)
    return EventSourceResponse(
        _events(database, topic, last_id, is_over),
        ping=HEARTBEAT_SECONDS,
        shutdown_grace_period=STOP_SECONDS,
    )


async def _events(
    database: Database, topic: str, last_id: int, is_over: Callable[[], bool]
) -> AsyncIterator[ServerSentEvent]:
    # A page is read once the one before it is on its way: who reads slowly is waited for, not stored for.
    with database.signals.in_loop(topic) as bell:
        while True:
            bell.clear()
            events = await run_in_threadpool(_page, database, topic, last_id)
            if not events and (database.signals.ended or await run_in_threadpool(_has_ended, is_over)):
                # What came with the end, or just before it, is told, too.
                events = await run_in_threadpool(_page, database, topic, last_id)
                if not events:
                    return
            for event in events:
                last_id = event.id
                yield ServerSentEvent(id=str(event.id), event=event.type, data=json.dumps(event.data))
            if database.signals.ended:
                return
            if not events:
                await _rung(bell, LOOK_AGAIN.total_seconds())


def _page(database: Database, topic: str, last_id: int) -> list[Event]:
    with database.read() as session:
        return events_after(session, topic, last_id, PAGE_EVENTS)


def _has_nothing_after(database: Database, topic: str, last_id: int, is_over: Callable[[], bool]) -> bool:
    """Whether all has happened, and been told."""
    over = _has_ended(is_over)
    with database.read() as session:
        if events_after(session, topic, last_id, 1):
            return False
        newest = newest_event_id(session, topic)
    # Of what ended long ago no event may be left.
    if newest and last_id > newest:
        raise RequestProblem(
            422,
            "last_event_id_unknown",
            f"This stream has not come to an event {last_id} yet; its newest is {newest}.",
            field="Last-Event-ID",
            value=str(last_id),
            remedy="Leave it out to be told everything from the start, as after a restored backup.",
        )
    return over


def _has_ended(is_over: Callable[[], bool]) -> bool:
    """Whether what is followed is over; what was removed meanwhile is."""
    try:
        return is_over()
    except Exception as error:
        found = problem_of(error)
        if found is None or found.document["status"] != _NOT_FOUND:
            raise
        return True


async def wait_until(
    signals: Signals,
    topic: str,
    read: Callable[[], T],
    is_done: Callable[[T], bool],
    seconds: float,
    look_again: timedelta = LOOK_AGAIN,
) -> T:
    """Read, in a worker thread, until `is_done` or the time is over. Gives what was read last."""
    deadline = asyncio.get_running_loop().time() + seconds
    with signals.in_loop(topic) as bell:
        while True:
            bell.clear()
            found = await run_in_threadpool(read)
            left = deadline - asyncio.get_running_loop().time()
            if is_done(found) or left <= 0 or signals.ended:
                return found
            await _rung(bell, min(left, look_again.total_seconds()))


async def _rung(bell: asyncio.Event, seconds: float) -> None:
    wait: Awaitable[bool] = bell.wait()
    try:
        await asyncio.wait_for(wait, seconds)
    except TimeoutError:
        return
