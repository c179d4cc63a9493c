"""What the calls of all resources share: one connection, pages, and the times to wait."""

from typing import Any
from urllib.parse import quote

from deltanas.transport import Transport

Json = dict[str, Any]

LONG_POLL_SECONDS = 15
LONGEST_WAIT_SECONDS = 20
"""Of one question: an answer must come before the transport gives it up."""
LARGEST_PAGE = 500
TERMINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})
"""Of evaluations, searches and fine-tunes alike."""


class Resource:
    """Calls over one connection. All errors are of `deltanas.errors`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _page(self, path: str, limit: int, cursor: str | None) -> Json:
        parameters: Json = {"limit": limit, **({"cursor": cursor} if cursor else {})}
        return self._transport.json("GET", path, params=parameters)

    def _all(self, path: str, limit: int | None = None, filters: Json | None = None) -> list[Json]:
        """All items of a list, page by page, or the first `limit` of them."""
        items: list[Json] = []
        parameters: Json = dict(filters or {})
        while limit is None or len(items) < limit:
            if limit is not None:
                parameters["limit"] = min(limit - len(items), LARGEST_PAGE)
            page = self._transport.json("GET", path, params=parameters)
            items += page["items"]
            if not page.get("next_cursor"):
                break
            parameters["cursor"] = page["next_cursor"]
        return items


def part(identifier: str) -> str:
    """One segment of a path, whatever characters it has."""
    return quote(identifier, safe="")


def waiting(seconds: float) -> Json:
    """The parameter that makes the server wait before it answers, as long as one question may take."""
    return {"wait": min(seconds, LONGEST_WAIT_SECONDS)} if seconds else {}
