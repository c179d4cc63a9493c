"""One line for people on what an answer changes: made from what was understood of it, not its words."""

from contracts.edit_regions import changed_places
from contracts.jobs import AppliedDelta

MAX_PLACES = 4
MAX_PLACE_CHARACTERS = 40
FILE_HEADERS = 2


def change_summary(baseline_source: str, applied: AppliedDelta) -> str:
    """Such as `+3 −1 lines: forward, Block`; of a refused answer its code."""
    if applied.source is None or applied.canonical_delta is None:
        return f"not applied: {applied.reason}"
    lines = applied.canonical_delta.split("\n")[FILE_HEADERS:]
    added = sum(line.startswith("+") for line in lines)
    removed = sum(line.startswith("-") for line in lines)
    places = changed_places(baseline_source, applied.source)
    shown = [ascii(place.removeprefix("Net."))[1:-1][:MAX_PLACE_CHARACTERS] for place in places[:MAX_PLACES]]
    more = f" and {len(places) - MAX_PLACES} more" if len(places) > MAX_PLACES else ""
    return f"+{added} −{removed} lines: {', '.join(shown)}{more}"
