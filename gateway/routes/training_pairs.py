"""`POST /v1/training-pairs`: pairs of networks as chats to fine-tune a language model on, as one stream."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Receive, Scope, Send

from contracts.problems import problem
from gateway.domain.training_pairs import PairSettings
from gateway.infra.answer_spool import AnswerSpool
from gateway.loop.pair_chats import CatalogueChanged
from gateway.loop.training_pairs import MakingStopped, NoRecordedNetworks, PairMaking
from gateway.routes.api_document import may_answer, may_send
from gateway.routes.dependencies import ServicesOf, Tenant
from gateway.routes.problems import RequestProblem, problem_of
from gateway.schemas.training_pairs_body import TrainingPairsBody
from gateway.schemas.training_pairs_document import PairLines, failed_line
from gateway.schemas.training_pairs_shape import TrainingPairsLine
from gateway.services import Services

router = APIRouter(prefix="/v1", tags=["training pairs"])

BUSY_RETRY_SECONDS = 30
STALLED_SECONDS = 120.0
"""A client that takes nothing for so long is gone: others wait for their turn."""

log = logging.getLogger(__name__)


@router.post(
    "/training-pairs",
    response_class=StreamingResponse,
    responses=may_answer(502, 507) | may_send("application/x-ndjson", "The lines.", TrainingPairsLine),
)
def make_training_pairs(body: TrainingPairsBody, services: ServicesOf, tenant: Tenant) -> StreamingResponse:
    """Pairs (baseline → better network) of a dataset as chats, split by family, with deltas of some length.

    NDJSON: each line has `progress`, `pair`, or at the end `summary`; or `failed`, a problem document: then
    what came before is not all. Nothing is stored. The same catalogue and body give the same bytes.
    """
    stream = _PairStream(services, body.settings)
    if not services.pair_makings.enter(stream):
        raise RequestProblem(
            429,
            "training_pairs_being_made",
            "Training pairs are being made for somebody; one set is made at a time.",
            remedy="Ask again when that one is done; it takes some minutes.",
            headers={"retry-after": str(BUSY_RETRY_SECONDS)},
        )
    try:
        stream.begin()
        return _answer(stream, services, tenant)
    except NoRecordedNetworks as error:
        stream.close()
        raise _nothing_recorded(services, body.dataset) from error
    except BaseException:
        stream.close()
        raise


def _answer(stream: "_PairStream", services: Services, tenant: str) -> StreamingResponse:
    answer = _Answer(stream, services.settings.home)
    if not services.pair_answers.enter(answer, tenant):
        raise RequestProblem(
            429,
            "training_pairs_unread",
            "As many sets of training pairs as may wait on disk have not been read to their end yet.",
            remedy="Read yours, or ask again when others have read theirs.",
            headers={"retry-after": str(BUSY_RETRY_SECONDS)},
        )
    return answer


class _PairStream:
    """The lines of one making. Over when they are all given, when closed, or when nobody holds it."""

    def __init__(self, services: Services, settings: PairSettings) -> None:
        self.is_over = False
        self._gone = gone = threading.Event()
        # What it calls must not hold the stream: a stream that nobody holds is over.
        self._making = PairMaking(
            services.baselines,
            services.filter,
            services.generator,
            settings,
            services.settings.home,
            lambda: gone.is_set() or services.database.signals.ended,
        )
        self._events = self._making.events()
        self._lines = PairLines(settings)

    @property
    def is_abandoned(self) -> bool:
        """Its client has gone: it will be over soon."""
        return self._gone.is_set()

    def abandon(self) -> None:
        """Nobody waits for the rest. From any thread."""
        self._gone.set()

    def begin(self) -> None:
        """See whether there is anything to make, as `PairMaking.begin` does."""
        self._making.begin()

    def close(self) -> None:
        """Let go of the other services."""
        self._events.close()
        self.is_over = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.is_over:
            raise StopIteration
        try:
            return self._lines.render(next(self._events))
        except StopIteration:
            self.close()
            raise
        except Exception as error:  # noqa: BLE001 - a stream that has begun can tell of it in no other way
            self.close()
            return failed_line(_problem(error))


class _Answer(StreamingResponse):
    """The lines of a stream, which is over when they are sent, or when the client has gone."""

    def __init__(self, stream: _PairStream, folder: Path) -> None:
        """Lines that are made and not read yet wait on the disk of `folder`."""
        self._spool = AnswerSpool(folder)
        super().__init__(self._spool.pages(), media_type="application/x-ndjson")
        self._stream = stream
        self.is_over = False

    def _make(self) -> None:
        """All lines, as fast as they are made: others wait for the making, and not for its client."""
        last = b""
        try:
            for lines in self._stream:
                self._spool.add(lines)
        except OSError as error:
            last = failed_line(_problem(error))
        finally:
            self._stream.close()
            self._spool.end(last)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_and_notice() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                self._stream.abandon()
            return message

        async def send_soon(message: Message) -> None:
            async with asyncio.timeout(STALLED_SECONDS):
                await send(message)

        making = threading.Thread(target=self._make, name="training pairs", daemon=True)
        making.start()
        try:
            with suppress(TimeoutError):
                await super().__call__(scope, receive_and_notice, send_soon)
        finally:
            self._stream.abandon()
            await run_in_threadpool(making.join)
            self._spool.close()
            self.is_over = True


def _problem(error: Exception) -> dict[str, Any]:
    if isinstance(error, CatalogueChanged):
        return problem(
            409,
            "catalogue_changed",
            "An import has replaced networks in the meantime.",
            remedy="Make the pairs again.",
        )
    if isinstance(error, MakingStopped):
        return problem(503, "server_stopping", "The server stops.", remedy="Make the pairs again later.")
    if isinstance(error, OSError):
        log.warning("training pairs cannot be made: %s", error)
        return problem(
            507,
            "disk_full",
            f"The pairs could not be kept in DELTANAS_HOME: {error.strerror or error}.",
            remedy="Free some space on that disk, then make the pairs again.",
        )
    known = problem_of(error)
    if known is None:
        log.error("training pairs cannot be made", exc_info=error)
        return problem(500, "internal_error", "The gateway failed.")
    log.warning("training pairs cannot be made: %s", error)
    return known.document


def _nothing_recorded(services: Services, dataset: str) -> RequestProblem:
    recorded = [facet.value for facet in services.baselines.facets()["datasets"]]
    if recorded:
        detail = f"No imported network has a recorded first epoch on {dataset!r}."
        remedy = f"Use one of: {', '.join(recorded)}."
    else:
        detail = "No network is imported yet."
        remedy = "Run `deltanas baselines import lemur --download` first."
    return RequestProblem(422, "no_recorded_networks", detail, field="dataset", value=dataset, remedy=remedy)
