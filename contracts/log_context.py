"""What a log record is about: the request, search, evaluation, attempt and tenant at hand.

Kept in a context variable, so tasks and the worker threads of a request have it without passing it on. A
thread of one's own begins without: it opens a block itself.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

REQUEST_ID_HEADER = "x-request-id"

_fields: ContextVar[dict[str, str] | None] = ContextVar("log_fields", default=None)


@contextmanager
def log_context(**fields: str) -> Iterator[None]:
    """Records written in the block bear these fields, and those of the blocks around it."""
    token = _fields.set({**(_fields.get() or {}), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def note(**fields: str) -> None:
    """Add to the block at hand what was learnt on the way, such as whose request it is."""
    current = _fields.get()
    if current is not None:
        current.update(fields)


def log_fields() -> Mapping[str, str]:
    """The fields of the block at hand."""
    return _fields.get() or {}


def request_headers() -> dict[str, str]:
    """What a call to another service says, so that its log can be joined with this one."""
    request_id = log_fields().get("request_id")
    return {REQUEST_ID_HEADER: request_id} if request_id else {}
