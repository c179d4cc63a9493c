"""How instruments and replays look in JSON. Pure dictionaries."""

from collections.abc import Sequence
from dataclasses import asdict

from gateway.schemas.search_document import Document
from gateway.theory.reading import Reading
from gateway.theory.what_if import Replay, Rules

_SAME = "Under these rules every cycle would have had the same elites in the same order."
_DIVERGES = (
    "From cycle {next} on this search proposed from other parents than it would have: take the cycles after "
    "cycle {cycle} as an indication at most."
)
_UNSCORED = " Copies that would have been let through have no score, so they are in no elite here."
_FEW_RUNS = (
    " Some candidates have fewer runs than were asked for and keep the score of those: a mean of several "
    "runs loses easily to a single lucky one."
)


def theory_document(search_id: str, readings: Sequence[Reading]) -> Document:
    """The instruments' words."""
    return {"search_id": search_id, "readings": [asdict(reading) for reading in readings]}


def filter_effect_document(
    with_filter: Sequence[str], without_filter: Sequence[str], readings: Sequence[Reading]
) -> Document:
    """The pairs, and what they say."""
    return {
        "with_filter": list(with_filter),
        "without_filter": list(without_filter),
        "readings": [asdict(reading) for reading in readings],
    }


def replay_document(search_id: str, rules: Rules, replay: Replay) -> Document:
    """A replay, and how far it can be believed."""
    return {
        "search_id": search_id,
        "rules": asdict(rules),
        "diverges_after": replay.diverges_after,
        "note": _note(replay),
        "cycles": [{**asdict(cycle), "differs": cycle.differs} for cycle in replay.cycles],
    }


def _note(replay: Replay) -> str:
    cycle = replay.diverges_after
    note = _SAME if cycle is None else _DIVERGES.format(cycle=cycle, next=cycle + 1)
    if any(one.unscored for one in replay.cycles):
        note += _UNSCORED
    if any(one.too_few_runs for one in replay.cycles):
        note += _FEW_RUNS
    return note
