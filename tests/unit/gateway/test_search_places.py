"""Which searches a gateway drives where there are more than it has places for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.search_places import TURN_SECONDS, NoPlace, Place, in_fair_order, who_makes_room

PLACES = 4


def places(*names: str, seconds: float = 1.0) -> list[Place]:
    """Named by tenant and number: "a1"."""
    return [Place(name, name[0], seconds) for name in names]


def order(waiting: str, held: list[Place], turned_away: dict[str, float] | None = None) -> list[str]:
    return in_fair_order([(name, name[0]) for name in waiting.split()], held, turned_away or {})


def test_a_tenants_own_searches_come_oldest_first():
    assert order("a3 a1 a2", []) == ["a1", "a2", "a3"]


def test_tenants_with_fewer_places_come_first_however_late_their_searches():
    assert order("a1 a2 b7 b8 c9", places("a0")) == ["b7", "c9", "a1", "b8", "a2"]


def test_who_made_room_comes_after_those_that_never_did():
    assert order("a1 b2 c3", [], {"a1": 20.0, "b2": 10.0}) == ["c3", "b2", "a1"]


def test_while_there_are_free_places_nobody_makes_room():
    assert who_makes_room("b", places("a1", "a2", "a3"), PLACES) is None


def test_the_newest_search_of_the_tenant_with_most_makes_room_for_another_tenant():
    assert who_makes_room("b", places("a1", "a4", "a2", "b0"), PLACES).search == "a4"


def test_a_tenant_that_has_its_share_waits():
    with pytest.raises(NoPlace):
        who_makes_room("b", places("a1", "a2", "b1", "b2"), PLACES)


def test_a_tenant_alone_does_not_turn_itself_away():
    with pytest.raises(NoPlace):
        who_makes_room("a", places("a1", "a2", "a3", "a4", seconds=2 * TURN_SECONDS), PLACES)


def test_more_tenants_than_places_take_turns():
    held = [Place(tenant, tenant, TURN_SECONDS - 1 + seconds) for seconds, tenant in enumerate("abcd")]
    assert who_makes_room("e", held, PLACES).search == "d"
    with pytest.raises(NoPlace):
        who_makes_room("e", [Place(tenant, tenant, TURN_SECONDS - 1) for tenant in "abcd"], PLACES)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 99)), max_size=40, unique=True))
def test_whatever_comes_no_tenant_has_two_places_more_than_one_that_waits(arrivals):
    held: list[Place] = []
    waiting = [f"{tenant}{number:02}" for tenant, number in arrivals]
    for name in order(" ".join(waiting), held):
        try:
            rests = who_makes_room(name[0], held, PLACES)
        except NoPlace:
            continue
        held = [place for place in held if place is not rests] + places(name)
    counts = {tenant: sum(place.tenant == tenant for place in held) for tenant in "abcde"}
    left_waiting = {name[0] for name in waiting if name not in {place.search for place in held}}
    assert len(held) == min(PLACES, len(waiting))
    assert all(max(counts.values()) - counts[tenant] <= 1 for tenant in left_waiting)
