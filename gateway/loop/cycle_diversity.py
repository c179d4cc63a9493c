"""How diverse a cycle came out, counted once, as it closes."""

from dataclasses import asdict

from gateway.infra.slot_records import SlotRecords
from gateway.schemas.search_document import Document
from gateway.theory.cycle_figures import cycle_figures, drawn_for_comparison


def cycle_diversity(records: SlotRecords, cycle: int, seed: int) -> Document:
    """As the cycle's JSON shows it. `seed` is the search's."""
    slots = records.slots(cycle)
    sources = records.sources(drawn_for_comparison(slots, seed))
    keys = [slot.structure_key for slot in slots if slot.structure_key is not None]
    return asdict(cycle_figures(slots, [sources[name] for name in sorted(sources)], keys))
