"""After any history a tenant gets its share again soon, and owes what others waited for and nothing more."""

import heapq
import math
from dataclasses import dataclass, field, replace
from itertools import cycle, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.fair_shares import FIRST_ESTIMATE_SECONDS, Contender, grant_slots, new_estimate, owed

LONGEST = 3600.0


@dataclass(frozen=True, order=True)
class Attempt:
    end: float
    number: int
    tenant: str
    start: float
    charged: float
    is_contended: bool


@dataclass
class Farm:
    """Several slots, and tenants whose attempts take what nobody knows before."""

    slots: int
    lengths: dict[str, cycle]
    waiting: dict[str, int] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    now: float = 0.0
    present: float = 0.0
    virtual: dict[str, float] = field(default_factory=dict)
    usual: dict[str, float] = field(default_factory=dict)
    running: list[Attempt] = field(default_factory=list)
    given: list[Attempt] = field(default_factory=list)

    def run(self, grants: int) -> None:
        """Until so many more attempts were given out, or nothing waits any more."""
        last = len(self.given) + grants
        while len(self.given) < last and any(self.waiting.values()):
            self._give(min(self.slots - len(self.running), last - len(self.given)))
            if len(self.running) == self.slots:
                self._end_one()

    def drain(self) -> None:
        while self.running:
            self._end_one()

    def _give(self, slots: int) -> None:
        contenders = [self._contender(tenant) for tenant in self.waiting]
        for grant in grant_slots(contenders, self.present, slots).grants:
            self.present = max(self.present, grant.start)
            self.virtual[grant.tenant] = grant.end
            self.waiting[grant.tenant] -= 1
            charged = (grant.end - grant.start) * self.weights.get(grant.tenant, 1.0)
            end = self.now + next(self.lengths[grant.tenant])
            attempt = Attempt(end, len(self.given), grant.tenant, self.now, charged, grant.is_contended)
            heapq.heappush(self.running, attempt)
            self.given.append(attempt)

    def _end_one(self) -> None:
        ended = heapq.heappop(self.running)
        self.now, taken = ended.end, ended.end - ended.start
        due = owed(ended.charged, taken, is_contended=ended.is_contended)
        self.virtual[ended.tenant] += due / self.weights.get(ended.tenant, 1.0)
        self.usual[ended.tenant] = new_estimate(self._usual(ended.tenant), taken)

    def _usual(self, tenant: str) -> float:
        return self.usual.get(tenant, FIRST_ESTIMATE_SECONDS)

    def _contender(self, tenant: str) -> Contender:
        overrun = sum(
            max(0.0, owed(one.charged, self.now - one.start, is_contended=one.is_contended))
            for one in self.running
            if one.tenant == tenant
        )
        weight, virtual = self.weights.get(tenant, 1.0), self.virtual.get(tenant, 0.0)
        return Contender(tenant, weight, virtual, overrun, self._usual(tenant), self.waiting[tenant])


lengths = st.lists(st.floats(1.0, LONGEST), min_size=1, max_size=8)
slots = st.integers(1, 12)
weights = st.sampled_from([0.5, 1.0, 2.0, 4.0])


@given(slots, lengths, weights, weights, st.integers(1, 60), st.booleans())
@settings(max_examples=80, deadline=None)
def test_who_was_alone_gets_its_share_again_within_one_attempt_whoever_comes(
    slots, lengths, old, new, history, is_idle_between
):
    farm = Farm(slots, {"old": cycle(lengths), "new": cycle([FIRST_ESTIMATE_SECONDS])}, {"old": history})
    farm.weights = {"old": old, "new": new}
    farm.run(history)
    if is_idle_between:
        farm.drain()
    known = max([FIRST_ESTIMATE_SECONDS, *lengths])
    farm.waiting |= {"old": 10_000, "new": 10_000}
    farm.given.clear()
    # What one of its attempts is taken to last, in attempts of the other; both begin one ahead.
    bound = math.ceil(known / FIRST_ESTIMATE_SECONDS * new / old) + 2
    farm.run(bound + slots)
    assert "old" in [attempt.tenant for attempt in farm.given[: bound + slots]]


@given(slots, lengths, lengths, st.integers(1, 80))
@settings(max_examples=50, deadline=None)
def test_nobody_waits_longer_than_some_attempts_last_whatever_was_before(slots, some, others, history):
    farm = Farm(slots, {"ann": cycle(some), "bob": cycle(others), "new": cycle([60.0])})
    farm.waiting = {"ann": history, "bob": history}
    farm.run(history)
    farm.waiting = dict.fromkeys(("ann", "bob", "new"), 100_000)
    farm.given.clear()
    came = farm.now
    farm.run(600)
    longest = max([60.0, *some, *others])
    for tenant in farm.waiting:
        starts = [came, *(attempt.start for attempt in farm.given if attempt.tenant == tenant), farm.now]
        assert max(later - earlier for earlier, later in pairwise(starts)) <= 5 * longest


@given(slots, lengths, st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_the_one_attempt_of_a_newcomer_is_among_the_next_two_however_long_others_were_alone(
    slots, lengths, history
):
    farm = Farm(slots, {"old": cycle(lengths), "new": cycle([60.0])}, {"old": 10_000})
    farm.run(history)
    farm.waiting["new"] = 1
    farm.given.clear()
    farm.run(2)
    assert "new" in [attempt.tenant for attempt in farm.given]


def test_what_nobody_waited_for_is_given_back_where_it_took_less_and_not_owed_where_it_took_more():
    assert owed(60.0, 10.0, is_contended=False) == owed(60.0, 10.0, is_contended=True) == -50.0
    assert (owed(60.0, 600.0, is_contended=False), owed(60.0, 600.0, is_contended=True)) == (0.0, 540.0)


def test_slots_are_contended_as_long_as_another_tenant_waits_for_them():
    ann = Contender("ann", 1.0, 0.0, 0.0, 10.0, waiting=3)
    bob = replace(ann, tenant="bob", waiting=1)
    grants = grant_slots([ann, bob], 0.0, 10).grants
    assert [(grant.tenant, grant.is_contended) for grant in grants] == [
        ("ann", True),
        ("bob", True),
        ("ann", False),
        ("ann", False),
    ]
    away = replace(bob, room=0)
    assert not any(grant.is_contended for grant in grant_slots([ann, away], 0.0, 10).grants)
