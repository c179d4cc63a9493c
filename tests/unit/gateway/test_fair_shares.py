"""Whoever has used least for its weight comes next, and nobody starves."""

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.fair_shares import Contender, Demand, Grant, Round, grant_slots, new_estimate

TENANTS = ("ann", "bob", "cat", "dan")


@dataclass
class Farm:
    """One slot that is never idle; every attempt of a tenant takes as long as its last one did."""

    weights: dict[str, float]
    seconds: dict[str, float]
    present: float = 0.0
    virtual: dict[str, float] = field(default_factory=dict)
    usual: dict[str, float] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def run(self, waiting: dict[str, int], turns: int) -> None:
        left = dict(waiting)
        for _ in range(turns):
            granted = grant_slots([self._contender(t, n) for t, n in left.items()], self.present, 1).grants
            if not granted:
                return
            (grant,) = granted
            tenant, taken = grant.tenant, self.seconds[grant.tenant]
            left[tenant] -= 1
            self.order.append(tenant)
            self.present = max(self.present, grant.start)
            self.virtual[tenant] = grant.start + taken / self.weights[tenant]
            self.usual[tenant] = new_estimate(self.usual.get(tenant, 60.0), taken)
            self.used[tenant] = self.used.get(tenant, 0.0) + taken

    def _contender(self, tenant: str, waiting: int) -> Contender:
        virtual, usual = self.virtual.get(tenant, 0.0), self.usual.get(tenant, 60.0)
        return Contender(tenant, self.weights[tenant], virtual, 0.0, usual, waiting)


weights = st.fixed_dictionaries({name: st.sampled_from([0.5, 1.0, 2.0, 4.0]) for name in TENANTS})
seconds = st.fixed_dictionaries({name: st.sampled_from([1.0, 5.0, 60.0, 600.0]) for name in TENANTS})


@given(weights, seconds)
@settings(max_examples=50, deadline=None)
def test_weights_are_respected_in_slot_seconds_however_long_attempts_take(weights, seconds):
    farm = Farm(weights, seconds)
    farm.run(dict.fromkeys(TENANTS, 100_000), 4000)
    shares = {name: farm.used[name] / weights[name] for name in TENANTS}
    # Nobody is ahead of another by more than what a few attempts take.
    slack = 4 * max(seconds[name] / weights[name] for name in TENANTS) + 240
    assert max(shares.values()) - min(shares.values()) <= slack


@given(weights, seconds, st.dictionaries(st.sampled_from(TENANTS), st.integers(1, 30), min_size=1))
@settings(max_examples=50, deadline=None)
def test_everything_that_waits_comes_to_its_turn(weights, seconds, waiting):
    farm = Farm(weights, seconds)
    farm.run(waiting, sum(waiting.values()))
    assert {name: farm.order.count(name) for name in waiting} == waiting


@given(weights, seconds, st.integers(1, 300))
@settings(max_examples=50, deadline=None)
def test_ten_thousand_attempts_of_one_delay_the_one_of_another_by_no_more_than_a_slot(
    weights, seconds, before
):
    farm = Farm(weights, seconds)
    farm.run({"ann": 10_000}, before)
    farm.order.clear()
    farm.run({"ann": 10_000, "bob": 1}, 2)
    assert "bob" in farm.order


@given(seconds, st.integers(2, 200))
@settings(max_examples=50, deadline=None)
def test_who_was_away_for_long_has_a_credit_of_one_attempt(seconds, before):
    farm = Farm(dict.fromkeys(TENANTS, 1.0), seconds)
    farm.run({"ann": 10_000, "bob": 1}, before)
    usual = farm.usual.get("bob", 60.0)
    back = farm._contender("bob", 100)
    ahead = 0
    for grant in grant_slots([farm._contender("ann", 10_000), back], farm.present, 100).grants:
        if grant.tenant != "bob":
            break
        ahead += 1
    behind = farm._contender("ann", 1).start(farm.present) - farm.present
    # Its credit, the slot that is its due, and what the other is ahead of the present by its last attempt.
    assert ahead <= 2 + (behind + usual) / max(1.0, usual)


def test_a_tenant_gets_no_more_slots_than_it_has_room_for():
    ann = Contender("ann", 1.0, 0.0, 0.0, 10.0, waiting=5, room=2)
    bob = replace(ann, tenant="bob", room=0)
    assert [grant.tenant for grant in grant_slots([ann, bob], 0.0, 10).grants] == ["ann", "ann"]


def test_what_runs_longer_than_it_was_charged_counts_while_it_runs():
    ann = Contender("ann", 1.0, 100.0, 500.0, 10.0, waiting=1)
    bob = Contender("bob", 1.0, 300.0, 0.0, 10.0, waiting=1)
    assert [grant.tenant for grant in grant_slots([ann, bob], 0.0, 2).grants] == ["bob", "ann"]


def test_several_slots_at_once_are_given_out_as_one_by_one():
    ann = Contender("ann", 2.0, 0.0, 0.0, 10.0, waiting=100)
    bob = Contender("bob", 1.0, 0.0, 0.0, 10.0, waiting=100)
    names = [grant.tenant for grant in grant_slots([ann, bob], 0.0, 30).grants]
    assert (names.count("ann"), names.count("bob")) == (20, 10)


def test_what_is_kept_for_a_wide_attempt_goes_to_nobody_behind_it():
    ann = Contender("ann", 1.0, 0.0, 0.0, 10.0, waiting=2, demands=(Demand(3, is_kept_for=True), Demand()))
    bob = Contender("bob", 1.0, 50.0, 0.0, 10.0, waiting=5)
    assert grant_slots([ann, bob], 0.0, 2) == Round(
        [], Grant("ann", 0.0, 30.0, slots=3, place=0, is_contended=True)
    )
    fits = grant_slots([ann, bob], 0.0, 4)
    assert [(grant.tenant, grant.slots, grant.end - grant.start) for grant in fits.grants] == [
        ("ann", 3, 30.0),
        ("ann", 1, 10.0),
    ]


def test_what_is_kept_elsewhere_is_passed_over_here():
    ann = Contender("ann", 1.0, 0.0, 0.0, 10.0, waiting=2, demands=(Demand(3), Demand()))
    bob = Contender("bob", 1.0, 5.0, 0.0, 10.0, waiting=1)
    given = grant_slots([ann, bob], 0.0, 2)
    assert [(grant.tenant, grant.place) for grant in given.grants] == [("ann", 1), ("bob", 0)]
    assert given.kept is None


demands = st.lists(st.builds(Demand, st.integers(1, 5), st.booleans()), max_size=6)


@given(st.lists(demands, min_size=1, max_size=4), st.integers(1, 8))
def test_no_more_slots_are_given_out_than_there_are(wanted, slots):
    contenders = [
        Contender(name, 1.0, 0.0, 0.0, 10.0, waiting=len(asked), demands=asked)
        for name, asked in zip(TENANTS, wanted, strict=False)
    ]
    given = grant_slots(contenders, 0.0, slots)
    assert sum(grant.slots for grant in given.grants) <= slots
    assert len({(grant.tenant, grant.place) for grant in given.grants}) == len(given.grants)
    left = slots - sum(grant.slots for grant in given.grants)
    given_out = {(grant.tenant, grant.place) for grant in given.grants}
    passed_over = [
        demand
        for contender in contenders
        for place, demand in enumerate(contender.demands)
        if (contender.tenant, place) not in given_out
    ]
    # Nothing that fits is left lying unless slots are kept, and then for one that does not fit.
    if given.kept is None:
        assert all(demand.slots > left for demand in passed_over)
    else:
        assert given.kept.slots > left
