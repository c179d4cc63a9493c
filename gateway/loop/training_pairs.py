"""Makes one set of training pairs: the filter finds what is near, the generator writes the chats.

Nothing is stored, and nothing grows with the number of near pairs. What comes out depends on the catalogue
and the settings alone, news of progress included; where anything fails, all of it has failed.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from contracts.training_pairs import NamedSource
from gateway.domain.pair_choice import NearPairs, PairCandidate, PairQueue, mutation_order
from gateway.domain.training_pairs import (
    FamilySplit,
    MadePair,
    PairCounts,
    PairKind,
    PairSettings,
    RecordedNetwork,
    Split,
    catalogue_digest,
)
from gateway.infra.baseline_catalogue import BaselineCatalogue
from gateway.infra.chat_spool import ChatSpool
from gateway.infra.filter_client import FilterClient
from gateway.infra.generator_client import GeneratorClient
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable
from gateway.loop.pair_chats import ORDERS_AT_A_TIME, NetworkSources, PairChats

SOURCES_AT_A_TIME = 200
SHOWN_STEPS = 20
"""News of the comparison come each time that another such part of it is done."""
NEAR_AT_A_TIME = 1000
"""After so many near pairs the caller is asked whether it is still there."""


class NoRecordedNetworks(Exception):
    """The catalogue has no network with a recorded first epoch on the dataset."""


class MakingStopped(Exception):
    """The gateway stops, and with it everything that takes long; or nobody waits for the pairs any more."""


@dataclass(frozen=True)
class MakingProgress:
    """How far a making is: `done` of `total` of what the step counts."""

    step: str
    """`comparing` networks, `trying` near pairs, or `mutations`."""
    done: int
    total: int


@dataclass(frozen=True)
class MakingReport:
    """The end of a making: everything is there."""

    counts: PairCounts
    families: dict[Split, int]
    catalogue_sha256: str
    wheels: list[dict[str, Any]]


MakingEvent = MadePair | MakingProgress | MakingReport | None
"""None: nothing new, but a good moment to stop."""


class PairMaking:
    """One making: `begin`, then all `events`."""

    def __init__(
        self,
        catalogue: BaselineCatalogue,
        novelty: FilterClient,
        generator: GeneratorClient,
        settings: PairSettings,
        scratch_folder: Path,
        is_stopping: Callable[[], bool],
    ) -> None:
        """Chats wait in `scratch_folder` until all are there."""
        self._catalogue = catalogue
        self._novelty = novelty
        self._generator = generator
        self._settings = settings
        self._scratch_folder = scratch_folder
        self._is_stopping = is_stopping
        self._networks: list[RecordedNetwork] = []
        self._sources = NetworkSources(catalogue, self._networks)
        self._chats = PairChats(generator, self._networks, self._sources, settings, self._stop_if_asked)
        self._left_aside: set[int] = set()
        """Copies, and what cannot be compared."""

    def begin(self) -> None:
        """See what there is. Raises NoRecordedNetworks, ServiceUnavailable, StorageUnavailable."""
        self._networks += self._catalogue.first_epochs(self._settings.dataset)
        if not self._networks:
            raise NoRecordedNetworks
        for service in (self._novelty, self._generator):
            problems = service.readiness_problems()
            if problems:
                raise ServiceUnavailable(service.name, "; ".join(problems))

    def events(self) -> Generator[MakingEvent, None, None]:
        """Progress and pairs, last of all the report.

        Raises CatalogueChanged, MakingStopped, ServiceUnavailable, ServiceRefused, StorageUnavailable, and
        OSError on a full disk: then what came before is not all.
        """
        counts = PairCounts(len(self._networks))
        near = NearPairs(self._networks, self._settings)
        yield from self._compare(near, counts)
        counts.left_out[PairKind.LEMUR] = near.left_out
        queue = near.queue()
        # Only when all pairs are known can the families be split so that the shares come out right.
        with closing(ChatSpool(self._scratch_folder)) as chats:
            yield from self._try(queue, chats)
            families = self._split(queue.made)
            yield from self._pairs(queue.made, chats, families, counts)
        yield from self._mutations(families, counts)
        yield self._report(families, counts)

    # --- what is near --------------------------------------------------------------------------

    def _compare(self, near: NearPairs, counts: PairCounts) -> Iterator[MakingEvent]:
        shown = 0
        compared: int | None = None
        with closing(self._novelty.near(self._named_sources(), self._settings.at_least)) as lines:
            for line in lines:
                self._stop_if_asked()
                if line.near is not None:
                    near.add(self._number(line.near.first), self._number(line.near.second), line.near.jaccard)
                    counts.near_pairs += 1
                    if counts.near_pairs % NEAR_AT_A_TIME == 0:
                        yield None
                elif line.copy is not None:
                    counts.copies += 1
                    self._left_aside.add(self._number(line.copy.id))
                elif line.not_comparable is not None:
                    counts.not_comparable += 1
                    self._left_aside.add(self._number(line.not_comparable))
                elif line.progress is not None:
                    yield None
                    while shown < min(int(line.progress * SHOWN_STEPS), SHOWN_STEPS - 1):
                        shown += 1
                        yield MakingProgress("comparing", shown, SHOWN_STEPS)
                elif line.failed is not None:
                    raise ServiceRefused.in_stream(self._novelty.name, line.failed)
                compared = line.compared
        if compared is None:
            raise ServiceUnavailable(self._novelty.name, "the near pairs ended before their last line")
        for step in range(shown, SHOWN_STEPS):
            yield MakingProgress("comparing", step + 1, SHOWN_STEPS)

    def _named_sources(self) -> Iterator[NamedSource]:
        for start in range(0, len(self._networks), SOURCES_AT_A_TIME):
            self._stop_if_asked()
            numbers = range(start, min(start + SOURCES_AT_A_TIME, len(self._networks)))
            sources = self._sources.of(numbers)
            for number in numbers:
                yield NamedSource(f"{number:06d}", sources[number])

    def _number(self, name: str) -> int:
        if not (name.isascii() and name.isdigit() and int(name) < len(self._networks)):
            raise ServiceUnavailable(self._novelty.name, f"named a source that was not sent: {name[:60]!r}")
        return int(name)

    # --- chats ---------------------------------------------------------------------------------

    def _try(self, queue: PairQueue, chats: ChatSpool) -> Iterator[MakingEvent]:
        while candidates := queue.take(ORDERS_AT_A_TIME):
            self._stop_if_asked()
            for candidate, chat in zip(candidates, self._chats.between(candidates), strict=True):
                if isinstance(chat, str):
                    queue.settle(candidate, left_out=chat)
                else:
                    queue.settle(candidate)
                    chats.add(chat)
            yield MakingProgress("trying", queue.done, queue.total)

    def _split(self, made: Sequence[PairCandidate]) -> FamilySplit:
        networks = self._networks
        kin = Counter((networks[pair.baseline].family, networks[pair.target].family) for pair in made)
        families = {network.family for network in networks}
        return FamilySplit(families, kin, self._settings.validation_share, self._settings.seed)

    def _pairs(
        self,
        made: Sequence[PairCandidate],
        chats: ChatSpool,
        families: FamilySplit,
        counts: PairCounts,
    ) -> Iterator[MakingEvent]:
        for candidate, chat in zip(made, chats, strict=True):
            self._stop_if_asked()
            baseline, target = self._networks[candidate.baseline], self._networks[candidate.target]
            split = families.of(baseline.family)
            if families.of(target.family) is not split:
                counts.left_out[PairKind.LEMUR]["across_splits"] += 1
                continue
            pair = MadePair(split, PairKind.LEMUR, baseline, target, candidate.jaccard, chat)
            counts.count_pair(pair)
            yield pair

    def _mutations(self, families: FamilySplit, counts: PairCounts) -> Iterator[MakingEvent]:
        settings = self._settings
        validation = round(settings.validation_share * settings.mutation_pairs)
        wanted = {Split.TRAIN: settings.mutation_pairs - validation, Split.VALIDATION: validation}
        comparable = [n for n in range(len(self._networks)) if n not in self._left_aside]
        for split, room in wanted.items():
            order = mutation_order(self._networks, comparable, families, split, settings.seed)
            while room > 0 and (numbers := list(islice(order, min(room, ORDERS_AT_A_TIME)))):
                for pair in self._mutated(numbers, split, counts):
                    room -= 1
                    yield pair
                made = sum(counts.made[part, PairKind.MUTATION] for part in Split)
                yield MakingProgress("mutations", made, settings.mutation_pairs)

    def _mutated(self, numbers: Sequence[int], split: Split, counts: PairCounts) -> Iterator[MadePair]:
        self._stop_if_asked()
        for number, chat in zip(numbers, self._chats.mutated(numbers), strict=True):
            if isinstance(chat, str):
                counts.left_out[PairKind.MUTATION][chat] += 1
                continue
            pair = MadePair(split, PairKind.MUTATION, self._networks[number], None, None, chat)
            counts.count_pair(pair)
            yield pair

    # --- the end -------------------------------------------------------------------------------

    def _stop_if_asked(self) -> None:
        if self._is_stopping():
            raise MakingStopped

    def _report(self, families: FamilySplit, counts: PairCounts) -> MakingReport:
        named = {network.family for network in self._networks}
        return MakingReport(
            counts,
            {split: sum(families.of(family) is split for family in named) for split in Split},
            catalogue_digest(self._networks),
            self._catalogue.wheels(sorted({network.import_id for network in self._networks})),
        )
