"""How diverse the sources of one cycle are, before the filter turned any away. Pure.

What the instrument of `diversity` makes of a course over cycles is another question, and has its own sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.names import SlotState
from gateway.domain.candidate import Slot
from gateway.domain.search import derive_number
from gateway.theory.diversity import mean_distance, sketch_of, token_entropy

MOST_COMPARED = 64
"""Sources that are compared with each other: 2,016 pairs."""


@dataclass(frozen=True)
class CycleFigures:
    """Rates are None of nothing, and so is the mean distance of fewer than two sources."""

    sources: int
    new: int
    """That the filter knew nothing like."""
    unique_source_rate: float | None
    """Distinct texts per source."""
    traced: int
    """Sources whose computation graph is known."""
    unique_graph_rate: float | None
    """Distinct graphs per traced source."""
    compared: int
    mean_distance: float | None
    """Jaccard, of token shingles."""
    token_entropy: float | None
    """In nats."""


def with_sources(slots: Sequence[Slot]) -> list[Slot]:
    """Those slots of a cycle of which a source came; what the platform lost is nobody's."""
    return [slot for slot in slots if slot.candidate_id is not None and slot.state is not SlotState.LOST]


def is_new(slot: Slot) -> bool:
    """Whether the filter knew nothing like a slot's source; a copy that was evaluated is not new either."""
    return slot.likeness is None and slot.state is not SlotState.DUPLICATE


def drawn_for_comparison(slots: Sequence[Slot], seed: int) -> list[str]:
    """The proposal ids of those whose sources are compared: all, or as many as may be, drawn by the seed."""
    order = sorted(
        with_sources(slots), key=lambda slot: derive_number("figures", seed, slot.cycle, slot.slot)
    )
    return sorted(slot.proposal_id for slot in order[:MOST_COMPARED])


def cycle_figures(
    slots: Sequence[Slot], compared: Sequence[str], graph_hashes: Sequence[str] = ()
) -> CycleFigures:
    """Of the slots of one cycle, the sources that were drawn of them, and the hashes of all traced graphs."""
    made = with_sources(slots)
    return CycleFigures(
        sources=len(made),
        new=sum(is_new(slot) for slot in made),
        unique_source_rate=_distinct([slot.candidate_id for slot in made]),
        traced=len(graph_hashes),
        unique_graph_rate=_distinct(graph_hashes),
        compared=len(compared),
        mean_distance=mean_distance([sketch_of(source) for source in compared]),
        token_entropy=token_entropy(compared),
    )


def _distinct(values: Sequence[str | None]) -> float | None:
    return len(set(values)) / len(values) if values else None
