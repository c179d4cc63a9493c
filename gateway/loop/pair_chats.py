"""The chats of training pairs: sources come from the catalogue, the generator makes a chat of two of them."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from contracts.training_pairs import PairOrder, TrainingPair
from gateway.domain.pair_choice import PairCandidate
from gateway.domain.search import derive_number
from gateway.domain.training_pairs import PairSettings, RecordedNetwork
from gateway.infra.baseline_catalogue import BaselineCatalogue
from gateway.infra.generator_client import GeneratorClient
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable

ORDERS_AT_A_TIME = 32
"""Their sources go out in one request, and stand in memory."""


class CatalogueChanged(Exception):
    """A network has gone from the catalogue in the meantime."""


class NetworkSources:
    """The sources of the networks of a list, by their number in it; read when they are needed."""

    def __init__(self, catalogue: BaselineCatalogue, networks: Sequence[RecordedNetwork]) -> None:
        self._catalogue = catalogue
        self._networks = networks

    def of(self, numbers: Sequence[int]) -> dict[int, str]:
        """Of some hundreds at most. Raises CatalogueChanged."""
        wanted = {number: self._networks[number].candidate_id for number in numbers}
        found = self._catalogue.sources(sorted(set(wanted.values())))
        if len(found) < len(set(wanted.values())):
            raise CatalogueChanged
        return {number: found[candidate_id] for number, candidate_id in wanted.items()}


class PairChats:
    """Asks the generator for chats, at most `ORDERS_AT_A_TIME`. Gives each, or the reason why there is none.

    Raises CatalogueChanged, ServiceUnavailable, ServiceRefused.
    """

    def __init__(
        self,
        generator: GeneratorClient,
        networks: Sequence[RecordedNetwork],
        sources: NetworkSources,
        settings: PairSettings,
        stop_if_asked: Callable[[], None],
    ) -> None:
        """`stop_if_asked` is called for each chat; what it raises passes through."""
        self._generator = generator
        self._networks = networks
        self._sources = sources
        self._settings = settings
        self._stop_if_asked = stop_if_asked

    def between(self, candidates: Sequence[PairCandidate]) -> list[TrainingPair | str]:
        """From the baseline of each candidate to its target."""
        sources = self._sources.of([end for pair in candidates for end in (pair.baseline, pair.target)])
        return self._made(
            [
                self._order(place, pair.baseline, sources, target_source=sources[pair.target])
                for place, pair in enumerate(candidates)
            ]
        )

    def mutated(self, numbers: Sequence[int]) -> list[TrainingPair | str]:
        """From each network to what the mutation proposer makes of it."""
        sources = self._sources.of(numbers)
        return self._made(
            [
                self._order(place, number, sources, seed=self._mutation_seed(number))
                for place, number in enumerate(numbers)
            ]
        )

    def _mutation_seed(self, number: int) -> int:
        return derive_number("mutation pair", self._settings.seed, self._networks[number].name)

    def _order(self, place: int, baseline: int, sources: dict[int, str], **more: Any) -> PairOrder:
        return PairOrder(
            id=str(place),
            dataset=self._settings.dataset,
            baseline_source=sources[baseline],
            baseline_accuracy=self._networks[baseline].accuracy,
            **more,
        )

    def _made(self, orders: Sequence[PairOrder]) -> list[TrainingPair | str]:
        lengths = self._settings.fewest_lines, self._settings.most_lines
        return chats_of(self._generator, orders, lengths, self._stop_if_asked)


def chats_of(
    generator: GeneratorClient,
    orders: Sequence[PairOrder],
    lengths: tuple[int, int],
    stop_if_asked: Callable[[], None],
) -> list[TrainingPair | str]:
    """The chat of each order, or the reason why there is none; the orders' ids are their places, from 0.

    `lengths` are the fewest and most lines of a delta; `stop_if_asked` is called for each chat.
    Raises ServiceUnavailable, ServiceRefused.
    """
    if not orders:
        return []
    name = generator.name
    found: list[TrainingPair | str] = []
    is_whole = False
    with closing(generator.training_pairs(orders, *lengths)) as lines:
        for line in lines:
            stop_if_asked()
            if line.failed is not None:
                raise ServiceRefused.in_stream(name, line.failed)
            is_whole = line.made is not None
            answer = line.pair or line.left_out
            if answer is not None and answer.id != str(len(found)):
                raise ServiceUnavailable(name, "answered in another order than asked")
            if line.pair is not None:
                found.append(line.pair)
            elif line.left_out is not None:
                found.append(line.left_out.reason[:60])
    if not is_whole or len(found) != len(orders):
        raise ServiceUnavailable(name, "the training pairs ended before their last line")
    return found
