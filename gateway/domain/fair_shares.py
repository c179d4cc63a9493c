"""Which tenant gets the next free slot: start-time fair queueing over slot seconds. Pure.

Each tenant has a virtual time, which grows by the slot seconds that it uses, divided by its weight; the one
that is furthest back comes next (Goyal, Vin, Cheng 1996). What an attempt takes is known only when it has
ended: it is charged what attempts of its tenant took of late, and set right afterwards.

Whoever was away for long starts near the present: its credit is what one attempt takes, and no more.

What nobody else waits for is held against nobody: who is given such slots pays what is expected of it and no
more, however long it takes. So a tenant that was alone is never further ahead of the present than by what one
attempt is taken to last. What others did wait for counts to the last second.

An attempt with many threads takes several slots. Where it is next and they are not free, they are kept for it
as they become free: narrower ones would else always be there first.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

FIRST_ESTIMATE_SECONDS = 60.0
"""What the first attempt of a tenant is taken to last."""
LEAST_SECONDS = 1.0
"""No attempt is taken to be shorter: every slot that is given out moves its tenant back in the queue."""
MEMORY = 0.25
"""How much of the estimate the latest attempt makes."""


@dataclass(frozen=True)
class Demand:
    """What one attempt asks for."""

    slots: int = 1
    is_kept_for: bool = False
    """Where so many are not free, those that are wait for it."""


@dataclass(frozen=True)
class Contender:
    """A tenant with attempts that could begin now in a pool of slots."""

    tenant: str
    weight: float
    virtual_seconds: float
    """All that it was charged, over its weight."""
    overrun_seconds: float
    """Slot seconds that its running attempts have taken beyond what was charged for them."""
    usual_seconds: float
    """What one of its attempts is taken to last."""
    waiting: int
    room: int | None = None
    """How many more attempts it may have running; None: as many as there are slots."""
    demands: Sequence[Demand] = ()
    """What the first of those that wait ask for; the others, one slot each."""

    @property
    def cost(self) -> float:
        """What one slot moves its virtual time by."""
        return max(LEAST_SECONDS, self.usual_seconds) / self.weight

    def start(self, present: float) -> float:
        """The virtual time at which its next attempt would begin."""
        due = self.virtual_seconds + self.overrun_seconds / self.weight
        return max(due, present - self.cost)

    def demand(self, place: int) -> Demand:
        """What the attempt at this place of its queue asks for."""
        return self.demands[place] if place < len(self.demands) else Demand()


@dataclass(frozen=True)
class Grant:
    """An attempt of a tenant gets its slots. `start` and `end` are virtual times."""

    tenant: str
    start: float
    end: float
    slots: int
    place: int
    """In the tenant's queue, from 0."""
    is_contended: bool = True
    """Another tenant waits for such slots, too."""


@dataclass(frozen=True)
class Round:
    """Who gets slots, in this order."""

    grants: list[Grant]
    kept: Grant | None = None
    """For this one slots are kept: what is left goes to nobody else, and it is charged as if it had them."""

    @property
    def in_order(self) -> list[Grant]:
        """All that are charged."""
        return self.grants if self.kept is None else [*self.grants, self.kept]


def grant_slots(
    contenders: Sequence[Contender], present: float, slots: int, at_most: int | None = None
) -> Round:
    """Give out up to so many slots, to so many attempts at most.

    `present` is the pool's virtual time: the latest at which an attempt was given out so far. What takes more
    slots than are left is passed over, unless they are kept for it.
    """
    by_name = {contender.tenant: contender for contender in contenders}
    room = {c.tenant: c.waiting if c.room is None else min(c.waiting, c.room) for c in contenders}
    queue = [(c.start(present), c.tenant, 0) for c in contenders if room[c.tenant] > 0]
    heapq.heapify(queue)
    granted: list[Grant] = []
    while queue and slots > 0 and (at_most is None or len(granted) < at_most):
        start, tenant, place = heapq.heappop(queue)
        contender = by_name[tenant]
        demand = contender.demand(place)
        end = start + contender.cost * demand.slots
        grant = Grant(tenant, start, end, demand.slots, place, is_contended=bool(queue))
        if demand.slots <= slots:
            granted.append(grant)
            slots -= demand.slots
            room[tenant] -= 1
            start = end
        elif demand.is_kept_for:
            return Round(granted, grant)
        if room[tenant] > 0 and place + 1 < contender.waiting:
            heapq.heappush(queue, (start, tenant, place + 1))
    return Round(granted)


def owed(charged_seconds: float, taken_seconds: float, *, is_contended: bool) -> float:
    """Slot seconds that a tenant owes, or gets back (negative), for what took other than it was charged."""
    difference = taken_seconds - charged_seconds
    return difference if is_contended else min(0.0, difference)


def new_estimate(usual_seconds: float, taken_seconds: float) -> float:
    """What a tenant's next attempt is taken to last, after one has taken so long."""
    return (1 - MEMORY) * usual_seconds + MEMORY * max(LEAST_SECONDS, taken_seconds)
