"""How a caller follows something: server-sent events, or one bounded wait. Never blocks the loop."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Query
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from gateway.infra.database import Database
from gateway.infra.events import Event, read_events
from gateway.infra.signals import Signals
from gateway.routes.problems import RequestProblem

T = TypeVar("T")

LOOK_AGAIN = timedelta(seconds=10)
"""A follower reads again at least this often, whatever the signals say."""

STOP_SECONDS = 2.0
"""When the gateway stops, its signals end every stream; one that has not ended by then is cut off."""

WaitSeconds = Annotated[
    float, Query(ge=0, le=60, allow_inf_nan=False, description="Wait for the end, in seconds.")
]


def _last_event_id(last_event_id: Annotated[str | None, Header()] = None) -> int:
    if last_event_id is None:
        return 0
    if not last_event_id.isascii() or not last_event_id.isdigit() or len(last_event_id) > 18:
        raise RequestProblem(
            422,
            "invalid_request",
            "Last-Event-ID is the id of an event of this stream.",
            field="Last-Event-ID",
            value=last_event_id,
            remedy="Send the last id received, or leave it out.",
        )
    return int(last_event_id)


LastEventId = Annotated[int, Depends(_last_event_id)]


def follow(database: Database, topic: str, last_id: int, is_over: Callable[[], bool]) -> EventSourceResponse:
    """Stream a topic's events after `last_id`, past and coming, until `is_over` and all are sent.

    `is_over` runs in a worker thread; it is asked before the last look at the log, so no event is missed.
    """
    return EventSourceResponse(
        _events(database, topic, last_id, is_over), ping=15, shutdown_grace_period=STOP_SECONDS
    )


async def _events(
    database: Database, topic: str, last_id: int, is_over: Callable[[], bool]
) -> AsyncIterator[ServerSentEvent]:
    with database.signals.in_loop(topic) as bell:
        while True:
            bell.clear()
            over = await run_in_threadpool(is_over)
            events: list[Event] = await run_in_threadpool(read_events, database, topic, last_id)
            for event in events:
                last_id = event.id
                yield ServerSentEvent(id=str(event.id), event=event.type, data=json.dumps(event.data))
            if database.signals.ended or (over and not events):
                return
            if not events:
                await _rung(bell, LOOK_AGAIN.total_seconds())


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
