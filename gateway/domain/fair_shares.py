"""Which tenant gets the next free slot: start-time fair queueing over slot seconds. Pure.

Each tenant has a virtual time, which grows by the slot seconds that it uses, divided by its weight; the one
that is furthest back comes next (Goyal, Vin, Cheng 1996). What an attempt takes is known only when it has
ended: it is charged what attempts of its tenant took of late, and set right afterwards.

Whoever was away for long starts near the present: its credit is what one attempt takes, and no more.
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

    @property
    def cost(self) -> float:
        """What one attempt moves its virtual time by."""
        return max(LEAST_SECONDS, self.usual_seconds) / self.weight

    def start(self, present: float) -> float:
        """The virtual time at which its next attempt would begin."""
        due = self.virtual_seconds + self.overrun_seconds / self.weight
        return max(due, present - self.cost)


@dataclass(frozen=True)
class Grant:
    """One slot for a tenant. `start` and `end` are virtual times."""

    tenant: str
    start: float
    end: float


def grant_slots(contenders: Sequence[Contender], present: float, slots: int) -> list[Grant]:
    """Give out up to so many slots, in this order.

    `present` is the pool's virtual time: the latest at which an attempt was given out so far.
    """
    by_name = {contender.tenant: contender for contender in contenders}
    left = {c.tenant: c.waiting if c.room is None else min(c.waiting, c.room) for c in contenders}
    queue = [(c.start(present), c.tenant) for c in contenders if left[c.tenant] > 0]
    heapq.heapify(queue)
    granted: list[Grant] = []
    while queue and len(granted) < slots:
        start, tenant = heapq.heappop(queue)
        end = start + by_name[tenant].cost
        granted.append(Grant(tenant, start, end))
        left[tenant] -= 1
        if left[tenant] > 0:
            heapq.heappush(queue, (end, tenant))
    return granted


def new_estimate(usual_seconds: float, taken_seconds: float) -> float:
    """What a tenant's next attempt is taken to last, after one has taken so long."""
    return (1 - MEMORY) * usual_seconds + MEMORY * max(LEAST_SECONDS, taken_seconds)
