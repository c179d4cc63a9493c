"""One page of baselines, shipped ones first, then imported ones, with a cursor to go on from."""

import base64
import binascii
import json
from typing import Any

from gateway.domain.baseline_filter import IMPORT_ORIGINS
from gateway.domain.baseline_record import CataloguedBaseline
from gateway.routes.problems import RequestProblem
from gateway.schemas.baseline_document import imported_document, shipped_document
from gateway.schemas.baseline_query import BaselineQuery
from gateway.services import Services

Json = dict[str, Any]

_BY_ACCURACY = "accuracy"


def listed(query: BaselineQuery, services: Services) -> Json:
    """{"items", "next_cursor"}. Raises RequestProblem where the cursor is of another list."""
    if query.sort == _BY_ACCURACY:
        return _by_accuracy(query, services)
    return _by_name(query, services)


def _by_name(query: BaselineQuery, services: Services) -> Json:
    """A cursor is [how many shipped ones were given] or [the last name]."""
    after = _opened(query.cursor, (int,), (str,))
    items: list[Json] = []
    given = 0
    if after is None or isinstance(after[0], int):
        given = after[0] if after else 0
        # Without the generator the imported ones can still be looked through, by their origin.
        shipped = [] if query.origin in IMPORT_ORIGINS else services.generator.baselines()
        admitted = [network for network in shipped if query.filter.admits_shipped(network)]
        items = [shipped_document(network) for network in admitted[given : given + query.limit]]
        given += len(items)
        if given < len(admitted):
            return _page(items, [given])
        after = None
    room = query.limit - len(items)
    found = services.baselines.page(query.filter, room + 1, after[0] if after else None)
    items += [imported_document(baseline) for baseline in found[:room]]
    if len(found) <= room:
        return _page(items, None)
    return _page(items, [found[room - 1].network.name] if room else [given])


def _by_accuracy(query: BaselineQuery, services: Services) -> Json:
    """A cursor is [accuracy, name] of the last one."""
    after = _opened(query.cursor, (float, str))
    found = services.baselines.page_by_accuracy(
        query.filter, query.limit + 1, None if after is None else (after[0], after[1])
    )
    shown: list[tuple[float, CataloguedBaseline]] = found[: query.limit]
    items = [imported_document(baseline) for _, baseline in shown]
    more = len(found) > query.limit
    return _page(items, [shown[-1][0], shown[-1][1].network.name] if more else None)


def _is_plain(last: object) -> bool:
    """Whether the last part of a cursor is a number of items or a name, and nothing that only looks so."""
    if isinstance(last, str):
        return last.isascii() and last.isprintable()
    return isinstance(last, int) and last >= 0


def _page(items: list[Json], after: list[Any] | None) -> Json:
    return {"items": items, "next_cursor": None if after is None else _closed(after)}


def _closed(after: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(after).encode()).decode().rstrip("=")


def _opened(cursor: str | None, *kinds: tuple[type, ...]) -> list[Any] | None:
    """What a cursor says, when its parts are of one of these kinds."""
    if cursor is None:
        return None
    try:
        after = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        after = None
    if isinstance(after, list) and tuple(type(part) for part in after) in kinds and _is_plain(after[-1]):
        return after
    raise RequestProblem(
        422,
        "invalid_request",
        "The cursor is none of this list.",
        field="cursor",
        value=cursor,
        remedy="Send `next_cursor` of the page before, with the same `sort`.",
    )
