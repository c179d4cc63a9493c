"""Brings one import to its end: the generator reads the file as data, the catalogue stores what it finds.

Nothing is held in memory that matters: cut off anywhere, an import begins anew and finds its own rows.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta

from contracts.jobs import BaselineNetwork, NetworkImportLine
from gateway.domain.baseline_import import ImportFailure, ImportRecord
from gateway.infra.baseline_import_journal import ImportJournal
from gateway.infra.baseline_spool import BaselineSpool
from gateway.infra.database import StorageUnavailable, utc_now
from gateway.infra.generator_client import GeneratorClient
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable
from gateway.infra.work_leases import WorkLeaseLost

BATCH = 200
"""Networks a transaction: short enough that nobody else waits for long."""
TRIES = 5
"""An import fails after the platform has lost it so often in a row."""
AWAITED_FOR = timedelta(days=1)
"""So long an import waits for the gateway that has its file."""
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 15.0
_BUSY = 409
_UNWRITABLE = "database_unwritable"

logger = logging.getLogger(__name__)


class Stopped(Exception):
    """The gateway stops; the import goes on at its next start."""


class BaselineImporter:
    """One import at a time. `stopping` ends it between two batches.

    Where its gateway `is_one_of_many`, files that are not here may be at another one.
    """

    def __init__(
        self,
        journal: ImportJournal,
        spool: BaselineSpool,
        generator: GeneratorClient,
        stopping: threading.Event,
        *,
        is_one_of_many: bool = False,
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._generator = generator
        self._stopping = stopping
        self._is_one_of_many = is_one_of_many
        self._is_clear = False  # an earlier life may have left hidden networks behind

    def import_next(self) -> bool:
        """Bring the oldest open import whose file is here to its end. False: there is none. Raises Stopped.

        Raises StorageUnavailable while the database cannot be read, or be cleared of what nobody has seen.
        """
        waiting = self._journal.open_imports()
        if not waiting:
            self._clear()
        record = next((one for one in waiting if self._is_ours(one)), None)
        if record is None:
            return False
        failure = self._outcome(record)
        if failure is not None and failure.code == _UNWRITABLE:
            # On a full disk even a failure can be written down only once there is some room.
            self._spool.discard(record.id)
        if failure is not None:
            self._end(record, failure)
        self._spool.discard(record.id)
        return True

    def _is_ours(self, record: ImportRecord) -> bool:
        """Whether the file is here, or nobody can have it any more."""
        if not self._is_one_of_many or self._spool.path(record.id).exists():
            return True
        return record.created_at < utc_now() - AWAITED_FOR

    def _outcome(self, record: ImportRecord) -> ImportFailure | None:
        """Read until it is published (None), or until it is clear that it never will be."""
        tries = 0
        while True:
            try:
                self._read_once(record)
                return None
            except ServiceRefused as error:
                if error.status != _BUSY:
                    return _refusal(error)
                self._rest(record, "the generator still reads another file", 1)
            except ServiceUnavailable as error:
                tries += 1
                logger.warning("import %s: %s", record.id, error)
                if tries >= TRIES:
                    return _lost(str(error))
                self._wait_for_generator(record, str(error), tries)
            except StorageUnavailable as error:
                tries += 1
                logger.warning("import %s: the database cannot be written (%s)", record.id, error)
                if tries >= TRIES:
                    return _unwritable(str(error))
                self._pause(tries)
            except FileNotFoundError:
                return _file_lost()
            except (Stopped, WorkLeaseLost):
                raise
            except Exception as error:
                tries += 1
                logger.exception("an unexpected error in import %s", record.id)
                if tries >= TRIES:
                    return _broken(type(error).__name__)
                self._pause(tries)

    def _read_once(self, record: ImportRecord) -> None:
        self._journal.begin(record.id)
        batch: list[BaselineNetwork] = []
        refused: list[str] = []
        seen: set[str] = set()
        for line in self._lines(record):
            if line.total is not None:
                self._journal.expect(record.id, line.total)
            elif line.network is not None and line.network.name not in seen:
                seen.add(line.network.name)
                batch.append(line.network)
            elif line.network is not None:
                refused.append("name_repeated")
            elif line.refused is not None:
                refused.append(line.refused.reason[:60])
            if len(batch) + len(refused) >= BATCH:
                self._journal.fill(record.id, batch, refused)
                batch, refused = [], []
            if line.failed is not None:
                raise ServiceRefused("generator", 422, line.failed)
            if line.summary is not None:
                self._journal.fill(record.id, batch, refused)
                self._journal.publish(record.id, asdict(line.summary))
                return
        raise ServiceUnavailable("generator", "the list of networks ended before its summary")

    def _lines(self, record: ImportRecord) -> Iterator[NetworkImportLine]:
        with self._spool.path(record.id).open("rb") as file:
            for line in self._generator.read_baselines(record.origin, file):
                if self._stopping.is_set():
                    raise Stopped
                yield line

    def _end(self, record: ImportRecord, failure: ImportFailure) -> None:
        """Write the failure down, however long the disk stays full; then clear away what nobody has seen."""
        failures = 0
        while True:
            try:
                self._journal.fail(record.id, failure)
                break
            except StorageUnavailable:
                failures += 1
                self._pause(failures)
        self._is_clear = False
        with suppress(StorageUnavailable):  # then the next look for an import tries again
            self._clear()

    def _clear(self) -> None:
        """Take away what imports that failed have left. Raises StorageUnavailable."""
        if not self._is_clear:
            self._journal.clear()
            self._is_clear = True

    def _wait_for_generator(self, record: ImportRecord, reason: str, tries: int) -> None:
        """Until it says that it is ready; being away does not count as a try."""
        self._rest(record, reason, tries)
        failures = tries
        while problems := self._generator.readiness_problems():
            failures += 1
            self._rest(record, "; ".join(problems), failures)

    def _rest(self, record: ImportRecord, reason: str, failures: int) -> None:
        try:
            self._journal.wait_for(record.id, reason)
        except StorageUnavailable:
            logger.warning("import %s waits: %s", record.id, reason)
        self._pause(failures)

    def _pause(self, failures: int) -> None:
        delay = min(FIRST_DELAY_SECONDS * 2 ** min(failures - 1, 10), LONGEST_DELAY_SECONDS)
        if self._stopping.wait(delay):
            raise Stopped


def _refusal(error: ServiceRefused) -> ImportFailure:
    document = error.document
    return ImportFailure(
        str(document.get("code") or "file_refused")[:60],
        str(document.get("detail") or f"The reader answered {error.status}.")[:2000],
        str(document.get("remedy") or "Send the wheel of nn-dataset 2.1.2 as it was published.")[:500],
    )


def _lost(detail: str) -> ImportFailure:
    return ImportFailure(
        "reader_lost",
        f"The file could not be read in {TRIES} tries; the last: {detail}"[:2000],
        "Look into the generator's log, then import the file again.",
    )


def _broken(error: str) -> ImportFailure:
    return ImportFailure(
        "import_broken",
        f"The gateway broke off {TRIES} times while it stored the networks; the last time: {error}"[:2000],
        "Look into the gateway's log, then import the file again.",
    )


def _unwritable(detail: str) -> ImportFailure:
    return ImportFailure(
        _UNWRITABLE,
        f"The database could not be written in {TRIES} tries: {detail}"[:2000],
        "Free some space where the disk of DELTANAS_HOME is full, else mend what the database says; "
        "then import the file again.",
    )


def _file_lost() -> ImportFailure:
    return ImportFailure(
        "file_lost", "The uploaded file is gone from DELTANAS_HOME.", "Import the file again."
    )
