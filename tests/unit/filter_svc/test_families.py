"""Families bound the Jaccard index of their members from above, and closely."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filter_svc import families as families_module
from filter_svc.bitmaps import Numbers, bits_of, bits_of_each, most_alike
from filter_svc.families import FEW_MEMBERS, LEAST_BITS, Families
from filter_svc.fingerprints import Fingerprint, Hashes, Outline, jaccard, sketch_bits, sketch_of
from filter_svc.neighbourhood import Neighbourhood

LEAST, MOST = 1366, 2730
"""Shingles of sketches of LEAST_BITS."""


@pytest.fixture(autouse=True)
def _members_are_few(monkeypatch):
    monkeypatch.setattr(families_module, "FEW_MEMBERS", 1)


def network(seed: int, size: int) -> Hashes:
    return np.unique(np.random.default_rng(seed).integers(0, 2**63, size, dtype=np.uint64))


def variant(founder: Hashes, seed: int, share: float) -> Hashes:
    """Another one, with about that share of the shingles replaced."""
    draw = np.random.default_rng(seed)
    kept = founder[draw.random(len(founder)) >= share]
    others = draw.integers(0, 2**63, len(founder) - len(kept), dtype=np.uint64)
    return np.unique(np.concatenate([kept, others]))


def families_of(sets: list[Hashes]) -> Families:
    families = Families()
    for one in sets:
        families.append(sketch_of(one))
    return families


def bounds(families: Families, sets: list[Hashes], asked: Hashes) -> Numbers:
    sizes = np.array([len(one) for one in sets], dtype=np.int32)
    return families.most_alike(np.arange(len(sets)), sketch_of(asked), len(asked), sizes)


def indices(sets: list[Hashes], asked: Hashes) -> list[float]:
    return [jaccard(asked, one) for one in sets]


def test_the_sizes_here_have_sketches_that_families_are_for():
    assert sketch_bits(LEAST) == sketch_bits(MOST) == LEAST_BITS > sketch_bits(LEAST - 1)


@given(
    st.integers(0, 2**32),
    st.integers(LEAST + 100, MOST - 100),
    st.lists(st.floats(0, 1), min_size=1, max_size=6),
    st.floats(0, 1),
)
def test_no_bound_is_below_the_index(seed, size, shares, apart):
    founder = network(seed, size)
    sets = [founder, *(variant(founder, seed + place, share) for place, share in enumerate(shares))]
    asked = variant(founder, seed + 99, apart)
    assert all(bounds(families_of(sets), sets, asked) >= indices(sets, asked))


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1])
def test_what_is_like_the_founder_is_bounded_nearly_as_by_whole_sketches(share):
    founder = network(1, 1900)
    sets = [founder, *(variant(founder, seed, share) for seed in range(20))]
    asked = variant(founder, 99, 0.08)
    sizes = np.array([len(one) for one in sets], dtype=np.int32)
    sketches, mine = np.stack([sketch_of(one) for one in sets]), sketch_of(asked)
    whole = most_alike(
        len(asked), bits_of(mine), sizes, bits_of_each(sketches), bits_of_each(sketches & mine)
    )
    told = bounds(families_of(sets), sets, asked)
    assert all(told >= whole)
    assert np.max(told - whole) < 0.03


def test_nothing_is_told_of_rows_without_kin_nor_to_sketches_of_another_length():
    sets = [network(1, 1900), network(2, 600), variant(network(1, 1900), 3, 0.05)]
    families = families_of(sets)
    assert list(bounds(families, sets, sets[0]) < 1) == [False, False, True]
    assert all(bounds(families, sets, network(1, MOST + 500)) == 1)


def test_few_members_are_left_to_their_sketches(monkeypatch):
    monkeypatch.setattr(families_module, "FEW_MEMBERS", FEW_MEMBERS)
    founder = network(1, 1900)
    sets = [variant(founder, seed, 0.05) for seed in range(FEW_MEMBERS)]
    families = families_of(sets)
    assert all(bounds(families, sets, founder) < 1)
    families.remove(7)
    assert all(bounds(families, sets[:-1], founder) == 1)


def test_the_smallest_family_makes_room_and_its_rows_can_still_be_removed(monkeypatch):
    monkeypatch.setattr(families_module, "MOST_FAMILIES", 2)
    founders = [network(seed, 1900) for seed in range(3)]
    sets = [founders[0], variant(founders[0], 9, 0.05), founders[1], founders[2]]
    families = families_of(sets)
    probes = [variant(one, 10 + place, 0.05) for place, one in enumerate(founders)]
    told = [list(bounds(families, sets, probe) < 1) for probe in probes]
    assert [row[place] for row, place in zip(told, (0, 2, 3), strict=True)] == [True, False, True]
    families.remove(2)
    del sets[2]
    assert [bounds(families, sets, probe)[2] < 1 for probe in probes] == [True, True, True]


@given(st.integers(0, 2**32), st.lists(st.integers(0, 400), max_size=30))
def test_rows_that_come_and_go_keep_their_own_bounds(seed, removed):
    founders = [network(seed + place, 1700) for place in range(3)]
    sets = [variant(founders[place % 3], seed + place, 0.05 * (place % 5)) for place in range(20)]
    families = families_of(sets)
    for place in removed:
        if place % 4 == 3 or not sets:
            sets.append(variant(founders[place % 3], place, 0.1))
            families.append(sketch_of(sets[-1]))
            continue
        row = place % len(sets)
        families.remove(row)
        last = sets.pop()
        if row < len(sets):
            sets[row] = last
    asked = variant(founders[0], 5, 0.05)
    if sets:
        assert all(bounds(families, sets, asked) >= indices(sets, asked))


def test_the_nearest_of_a_family_are_those_that_comparing_with_every_one_finds():
    founder = network(1, 1900)
    sets = [variant(founder, seed, 0.02 + 0.001 * (seed % 90)) for seed in range(300)]
    neighbourhood = Neighbourhood()
    for place, one in enumerate(sets):
        outline = Outline(place.to_bytes(32, "big"), len(one), sketch_of(one))
        neighbourhood.put(f"p{place}", "", None, outline)
    for seed in range(5):
        asked = variant(founder, 1000 + seed, 0.03)
        made = Fingerprint(b"asked", asked, sketch_of(asked))
        found = neighbourhood.nearest(
            made, 0.85, "", 5, lambda names: [sets[int(name[1:])] for name in names]
        )
        best = sorted(range(300), key=lambda place: (-jaccard(asked, sets[place]), f"p{place}"))[:5]
        assert [one.proposal_id for one in found] == [f"p{place}" for place in best]
        assert found[-1].jaccard >= 0.85
