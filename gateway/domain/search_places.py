"""Which searches a gateway drives where there are more than it has places for. Pure.

Places are shared evenly between the tenants that want them. A tenant's own searches come oldest first; they
give places back to a tenant with fewer, the newest first. Where there are more tenants than places, they take
turns.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

TURN_SECONDS = 600.0
"""After so long, a search makes room for a tenant that has none at all."""


@dataclass(frozen=True)
class Place:
    """What one search that is being driven holds. Identifiers grow with time."""

    search: str
    tenant: str
    held_seconds: float


class NoPlace(Exception):
    """A search has to wait until another one ends."""


def in_fair_order(
    waiting: Iterable[tuple[str, str]], held: Collection[Place], turned_away: Mapping[str, float]
) -> list[str]:
    """Searches by who is to have the next place, first those of tenants with the fewest.

    `waiting`: searches with their tenants, in any order. `turned_away`: when a search last made room for
    another, by any clock; those that never did come before those.
    """
    taken = Counter(place.tenant for place in held)
    ranked = []
    for search, tenant in sorted(waiting):
        ranked.append((taken[tenant], turned_away.get(search, float("-inf")), search))
        taken[tenant] += 1
    return [search for *_, search in sorted(ranked)]


def who_makes_room(tenant: str, held: Collection[Place], places: int) -> Place | None:
    """Who has to rest for another search of a tenant to be driven; None: there is a free place.

    Raises NoPlace where the tenant has what it is due.
    """
    if len(held) < places:
        return None
    taken = Counter(place.tenant for place in held)
    most = max(taken.values())
    if taken[tenant] + 1 < most:
        return max((place for place in held if taken[place.tenant] == most), key=lambda place: place.search)
    longest = max(held, key=lambda place: place.held_seconds)
    if not taken[tenant] and longest.held_seconds >= TURN_SECONDS:
        return longest
    raise NoPlace
