"""Prepares datasets in the background, one thread for each name, and tells how it goes."""

import logging
from dataclasses import replace
from threading import Lock, Thread

from contracts.jobs import DatasetReport
from sandbox_runner.datasets.errors import DatasetError
from sandbox_runner.datasets.library import Library

logger = logging.getLogger(__name__)


class DatasetDesk:
    """The library's reports, with what is being prepared and what went wrong the last time."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = Lock()
        self._progress: dict[str, str] = {}
        self._problems: dict[str, str] = {}

    def reports(self) -> list[DatasetReport]:
        """Every known dataset, ready or not."""
        return [self._annotated(report) for report in self._library.reports()]

    def prepare(self, name: str) -> DatasetReport:
        """Begin to prepare a dataset, unless it is ready or under way. Raises DatasetUnknown."""
        report = self._library.report(name)
        with self._lock:
            if not report.ready and name not in self._progress:
                self._progress[name] = "preparing"
                self._problems.pop(name, None)
                thread = Thread(target=self._prepare, args=(name,), name=f"prepare-{name}", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    del self._progress[name]
                    self._problems[name] = f"the host could not begin to prepare it: {error}"
        return self._annotated(report)

    def _prepare(self, name: str) -> None:
        problem = ""
        try:
            self._library.prepare(name, lambda what, done, total: self._note(name, what, done, total))
        except DatasetError as error:
            problem = str(error)
        except Exception as error:
            logger.exception("dataset %s could not be prepared", name)
            problem = f"{type(error).__name__} while preparing {name}; the runner's log has the details."
        with self._lock:
            self._progress.pop(name, None)
            if problem:
                self._problems[name] = problem

    def _note(self, name: str, what: str, done: int, total: int) -> None:
        with self._lock:
            self._progress[name] = f"preparing: {what}, {done} of {total}"

    def _annotated(self, report: DatasetReport) -> DatasetReport:
        with self._lock:
            note = self._progress.get(report.name) or self._problems.get(report.name)
        return replace(report, problem=note) if note and not report.ready else report
