"""Makes the chats of a fine-tuning job: of elites, of a caller's pairs, of recorded networks, of mutations.

Whatever it is of, a chat is made by the generator from two sources, and its answer is the canonical delta
between them: what a model once wrote is in none of it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from pydantic import TypeAdapter

from contracts.fine_tuning import ChatSplit, TrainingChat
from contracts.training_pairs import PairOrder, TrainingPair
from gateway.domain.fine_tuning import (
    ChatKind,
    ChatTally,
    ElitePair,
    FineTuneRecord,
    FineTuneRequest,
    count_not_improving,
    elite_pairs,
)
from gateway.domain.training_pairs import MadePair, PairSettings
from gateway.infra.baseline_catalogue import BaselineCatalogue
from gateway.infra.filter_client import FilterClient
from gateway.infra.fine_tune_journal import FineTuneJournal
from gateway.infra.generator_client import GeneratorClient
from gateway.loop.one_at_a_time import OneAtATime
from gateway.loop.pair_chats import ORDERS_AT_A_TIME, chats_of
from gateway.loop.training_pairs import MakingReport, PairMaking

LENGTHS = (1, 2_000)
"""Fewest and most lines of an elite's delta; the trainer leaves out what is too long for the model."""

_CHAT = TypeAdapter(TrainingChat)


class PairsBeingMade(Exception):
    """Training pairs are being made for somebody else; one set is made at a time."""


class NothingToLearn(Exception):
    """No chat came about."""

    def __init__(self, tally: ChatTally) -> None:
        super().__init__("no chat came about")
        self.tally = tally


@dataclass(eq=False)
class _Turn:
    """The right to make training pairs."""

    is_over: bool = False
    is_abandoned: bool = False


class ChatFile:
    """The body of a job, settings first: in a file without a name, which ends with the process."""

    def __init__(self, folder: Path, request: FineTuneRequest) -> None:
        """The file lies on the disk of `folder`. Raises OSError, as `add` does."""
        self.tally = ChatTally()
        self._file: IO[bytes] = TemporaryFile(dir=folder)  # noqa: SIM115 - it outlives this call
        settings = {**request.settings, "model": request.model, "parent_adapter": request.parent_adapter}
        self._file.write(json.dumps(settings).encode() + b"\n")

    def add(self, kind: ChatKind, split: ChatSplit, chat: TrainingPair) -> None:
        """One more chat."""
        line = _CHAT.dump_json(TrainingChat(split, chat.messages), ensure_ascii=True)
        self._file.write(line + b"\n")
        self.tally.made[kind] += 1

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        return iter(self._file)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class FineTuneChats:
    """Makes the bodies of jobs, one after the other."""

    def __init__(
        self,
        journal: FineTuneJournal,
        catalogue: BaselineCatalogue,
        novelty: FilterClient,
        generator: GeneratorClient,
        makings: OneAtATime,
        scratch_folder: Path,
    ) -> None:
        self._journal = journal
        self._catalogue = catalogue
        self._novelty = novelty
        self._generator = generator
        self._makings = makings
        self._scratch_folder = scratch_folder

    def make(self, job: FineTuneRecord, go_on: Callable[[], None]) -> ChatFile:
        """All chats of a job. `go_on` is called between two steps, and raises where it shall end.

        Raises NothingToLearn, PairsBeingMade, NoRecordedNetworks, CatalogueChanged, ServiceUnavailable,
        ServiceRefused, StorageUnavailable, and OSError on a full disk.
        """
        file = ChatFile(self._scratch_folder, job.request)
        try:
            self._add_elites(job.request, file, go_on)
            self._add_given(job.id, file, go_on)
            if job.request.pairs is not None:
                self._add_pairs(job.request.pairs, file, go_on)
            if not any(file.tally.made.values()):
                raise NothingToLearn(file.tally)
        except BaseException:
            file.close()
            raise
        return file

    def _add_elites(self, request: FineTuneRequest, file: ChatFile, go_on: Callable[[], None]) -> None:
        if request.elites is None:
            return
        population, count, dataset = self._journal.population(request.elites.search_id)
        pairs = elite_pairs(population, count, request.elites, int(request.settings.get("seed", 0)))
        file.tally.leave_out("no_improvement", count_not_improving(population, count, request.elites))
        for start in range(0, len(pairs), ORDERS_AT_A_TIME):
            some = pairs[start : start + ORDERS_AT_A_TIME]
            chats = chats_of(self._generator, self._orders(some, dataset), LENGTHS, go_on)
            for pair, chat in zip(some, chats, strict=True):
                if isinstance(chat, str):
                    file.tally.leave_out(chat)
                else:
                    file.add(pair.kind, _split(pair.kind), chat)

    def _add_given(self, job_id: str, file: ChatFile, go_on: Callable[[], None]) -> None:
        for pairs in self._journal.given_pairs(job_id):
            orders = [
                PairOrder(
                    id=str(place),
                    dataset=pair.dataset,
                    baseline_source=pair.baseline_source,
                    target_source=pair.target_source,
                    baseline_accuracy=pair.baseline_accuracy,
                )
                for place, pair in enumerate(pairs)
            ]
            for chat in chats_of(self._generator, orders, LENGTHS, go_on):
                if isinstance(chat, str):
                    file.tally.leave_out(chat)
                else:
                    file.add(ChatKind.GIVEN, ChatSplit.TRAIN, chat)

    def _orders(self, pairs: Sequence[ElitePair], dataset: str) -> list[PairOrder]:
        sources = self._journal.sources(pairs)
        return [
            PairOrder(
                id=str(place),
                dataset=dataset,
                baseline_source=sources[pair.parent.proposal_id],
                target_source=sources[pair.elite.proposal_id],
                baseline_accuracy=None if pair.parent.score is None else pair.parent.score.accuracy,
            )
            for place, pair in enumerate(pairs)
        ]

    def _add_pairs(self, settings: PairSettings, file: ChatFile, go_on: Callable[[], None]) -> None:
        making = PairMaking(
            self._catalogue, self._novelty, self._generator, settings, self._scratch_folder, lambda: False
        )
        turn = _Turn()
        if not self._makings.enter(turn):
            raise PairsBeingMade
        try:
            making.begin()
            with closing(making.events()) as events:
                for event in events:
                    if isinstance(event, MadePair):
                        file.add(ChatKind(event.kind.value), ChatSplit(event.split.value), event.chat)
                        continue
                    go_on()
                    if isinstance(event, MakingReport):
                        for reasons in event.counts.left_out.values():
                            for reason, left_out in reasons.items():
                                file.tally.leave_out(reason, left_out)
        finally:
            turn.is_over = True


def _split(kind: ChatKind) -> ChatSplit:
    return ChatSplit.REPLAY if kind is ChatKind.REPLAYED else ChatSplit.TRAIN
