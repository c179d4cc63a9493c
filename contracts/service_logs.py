"""Sets up the log of a process: one record a line on standard error, in the format of DELTANAS_LOG_FORMAT.

`json`, or `text`, which is the default on a terminal; DELTANAS_LOG_LEVEL is debug, info, warning or error.
"""

import logging
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from urllib.parse import urlsplit

from contracts.log_context import log_fields
from contracts.log_lines import Blotter, Line, json_line, text_line

FORMATS = {"json": json_line, "text": text_line}
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
OURS = ("gateway", "generator_svc", "filter_svc", "sandbox_runner", "contracts", "deltanas", "__main__")

_TRACE_BEGINS = "Traceback (most recent call last):"
_SECRET_SETTING = re.compile(r"KEY|TOKEN|SECRET|PASSWORD")
_TOLD_ALREADY = "Exception in ASGI application"
"""uvicorn's words for an error that `request_log` has written down with its request."""


def set_up_logs(service: str) -> None:
    """Send every record of this process to standard error. Settings that make no sense become the default."""
    wanted = os.environ.get("DELTANAS_LOG_FORMAT", "").lower()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(service, wanted or _default_format(), os.environ))
    handler.addFilter(lambda record: not str(record.msg).startswith(_TOLD_ALREADY))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    level = LEVELS.get(os.environ.get("DELTANAS_LOG_LEVEL", "").lower(), logging.INFO)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a log that cannot be written must not take the service along
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


class LineFormatter(logging.Formatter):
    """Records as lines of a service's log, with the fields of the context that they are written in."""

    def __init__(self, service: str, form: str, environment: Mapping[str, str]) -> None:
        """Nothing secret of the environment gets into a line."""
        super().__init__()
        self._service = service
        self._line = FORMATS.get(form, json_line)
        self._blotter = Blotter(_secrets_in(environment))

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = datetime.fromtimestamp(record.created, UTC)
        event, trace = record.getMessage(), self.formatException(record.exc_info) if record.exc_info else ""
        if event.startswith(_TRACE_BEGINS) and not trace:
            # uvicorn tells of a failed start by its trace alone, whose last line says what it is.
            event, trace = event.rstrip().rpartition("\n")[2], event
        return self._line(
            Line(
                time=moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                level=record.levelname,
                service=self._service,
                logger=record.name,
                event=event,
                trace=trace,
                fields=log_fields(),
                details=getattr(record, "details", {}),
            ),
            self._blotter,
        )


def _secrets_in(environment: Mapping[str, str]) -> Iterator[str]:
    """Values of variables whose names speak of keys, tokens or passwords, and passwords in addresses."""
    for name, value in environment.items():
        if _SECRET_SETTING.search(name.upper()):
            yield value
        elif "://" in value:
            with suppress(ValueError):
                yield urlsplit(value).password or ""


def _default_format() -> str:
    return "text" if sys.stderr.isatty() else "json"


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger(__name__).critical("the process ends", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is None or issubclass(given.exc_type, SystemExit):
        return
    name = given.thread.name if given.thread is not None else "?"
    logging.getLogger(__name__).critical(
        "the thread %s ended", name, exc_info=(given.exc_type, given.exc_value, given.exc_traceback)
    )
