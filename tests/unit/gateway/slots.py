"""Slots by hand, for the tests of the pure rules."""

from contracts.names import SlotState
from gateway.domain.candidate import Score, Slot


def slot(
    cycle: int, place: int, accuracy: float | None = 0.5, family: str = "plain", root: int = 0, **fields
) -> Slot:
    """A judged slot; without an accuracy, a failed one."""
    score = (
        None if accuracy is None else Score(accuracy, 0.01, None, 1.0, 1, None, fields.pop("plausible", True))
    )
    usual = {
        "proposal_id": f"se_0-c{cycle:03d}-s{place:03d}",
        "search_id": "se_0",
        "cycle": cycle,
        "slot": place,
        "state": SlotState.FAILED if accuracy is None else SlotState.JUDGED,
        "name": f"{family}-{place}",
        "root_id": f"se_0-c000-s{root:03d}",
        "family": family,
        "candidate_id": f"{cycle}/{place}",
        "score": score,
    }
    return Slot(**{**usual, **fields})
