"""Copies and near pairs of many sources, held against comparing every two of them."""

from itertools import combinations

import pytest

from contracts.training_pairs import CopyOf, NamedSource, NearnessLine, NearPair
from filter_svc import all_pairs
from filter_svc import nearness as subject
from filter_svc.fingerprints import fingerprint, jaccard
from filter_svc.nearness import Near, nearness
from filter_svc.request_checks import Refused

HEAD = (
    "from torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
)
LAYERS = ("Conv2d", "Linear", "BatchNorm2d", "MaxPool2d")


def net(*layers):
    """A network of layers such as ("Conv2d", 8)."""
    return HEAD + "".join(f"        self.l{i} = nn.{kind}({n}, {n})\n" for i, (kind, n) in enumerate(layers))


def named(**sources):
    return [NamedSource(id_, source) for id_, source in sources.items()]


def told(sources, near=Near(0.5)):
    return list(nearness(iter(sources), len(sources), near))


def pairs_in(lines):
    return [(one.near.first, one.near.second, one.near.jaccard) for one in lines if one.near is not None]


@pytest.fixture(scope="module")
def family():
    """Three clusters of variants: 48 networks, each its own architecture."""
    sources = {}
    for cluster, kind in enumerate(LAYERS[:3]):
        for variant in range(16):
            layers = [(kind, 8 + number) for number in range(6 + variant % 5)]
            layers[variant % 6] = (LAYERS[variant % 4], 90 + variant)
            sources[f"c{cluster}v{variant:02d}"] = net(*layers)
    return named(**sources)


@pytest.fixture(scope="module")
def exact(family):
    """The Jaccard index of every two."""
    shingles = {one.id: fingerprint(one.source).shingles for one in family}
    assert len({fingerprint(one.source).digest for one in family}) == len(family)
    return {(a, b): jaccard(shingles[a], shingles[b]) for a, b in combinations(sorted(shingles), 2)}


@pytest.mark.parametrize(
    "near", [Near(0.3), Near(0.5), Near(0.5, 0.6), Near(0.7)], ids=lambda near: str(near)
)
def test_the_near_pairs_are_those_of_comparing_every_two(family, exact, near, monkeypatch):
    monkeypatch.setattr(all_pairs, "BLOCK_ROWS", 7)
    expected = {pair: value for pair, value in exact.items() if near.at_least <= value <= near.at_most}
    found = pairs_in(told(family, near))
    assert 10 < len(expected) < len(exact)
    assert len(found) == len(expected)
    assert {(first, second): value for first, second, value in found} == pytest.approx(expected)


@pytest.mark.parametrize("neighbours", [1, 3])
def test_with_a_number_of_neighbours_each_pair_is_among_the_nearest_of_one_of_its_two(
    family, exact, neighbours
):
    found = pairs_in(told(family, Near(0.3, 1.0, neighbours)))
    assert len({pair[:2] for pair in found}) == len(found) <= neighbours * len(family)
    of = {one.id: [] for one in family}
    for (first, second), value in exact.items():
        of[first].append(value)
        of[second].append(value)
    bar = {id_: sorted(values)[-neighbours] for id_, values in of.items()}
    assert found
    for first, second, value in found:
        assert value == exact[first, second]
        assert value >= min(bar[first], bar[second])
    for id_, values in of.items():
        best = [value for first, second, value in found if id_ in (first, second)]
        expected = [value for value in sorted(values, reverse=True)[:neighbours] if value >= 0.3]
        assert sorted(best, reverse=True)[: len(expected)] == expected


def test_a_copy_is_told_by_its_first_and_takes_no_further_part():
    one, other = net(*[("Linear", 8)] * 5), net(*[("Linear", 8)] * 4, ("Linear", 9))
    lines = told(named(b=one, a=one.replace("self.l", "self.layer"), d=other, c=other + "# again\n"))
    assert [line.copy for line in lines if line.copy] == [CopyOf("a", "b"), CopyOf("c", "d")]
    assert [pair[:2] for pair in pairs_in(lines)] == [("b", "d")]
    assert lines[-1] == NearnessLine(compared=2)


def test_what_is_no_architecture_is_named_and_the_others_are_compared():
    one, other = net(*[("Linear", 8)] * 5), net(*[("Linear", 8)] * 4, ("Linear", 9))
    lines = told(named(x="class Net(", y="x = 1", a=one, b=other))
    assert [line.not_comparable for line in lines if line.not_comparable] == ["x", "y"]
    assert [pair[:2] for pair in pairs_in(lines)] == [("a", "b")]
    assert lines[-1] == NearnessLine(compared=2)


@pytest.mark.parametrize("neighbours", [None, 2])
def test_no_source_and_one_source_have_no_neighbours(neighbours):
    assert told([], Near(0.5, 1.0, neighbours)) == [NearnessLine(compared=0)]
    lines = told(named(a=net(("Linear", 8))), Near(0.5, 1.0, neighbours))
    assert [line for line in lines if line.progress is None] == [NearnessLine(compared=1)]


def test_progress_grows_and_every_line_says_one_thing(family, monkeypatch):
    monkeypatch.setattr(subject, "SOURCES_A_STEP", 5)
    lines = told(family)
    shares = [line.progress for line in lines if line.progress is not None]
    assert len(shares) > 10
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1
    fields = NearnessLine.__dataclass_fields__
    assert all(sum(getattr(line, field) is not None for field in fields) == 1 for line in lines)


def test_the_lesser_id_comes_first_whatever_the_order_of_the_sources():
    one, other = net(*[("Linear", 8)] * 5), net(*[("Linear", 8)] * 4, ("Linear", 9))
    for sources in (named(a=one, b=other), named(b=other, a=one)):
        ((first, second, _),) = pairs_in(told(sources))
        assert (first, second) == ("a", "b")


def test_more_shingles_than_memory_has_room_for_are_refused_by_name(family, monkeypatch):
    monkeypatch.setattr(subject, "MAX_SHINGLES", 300)
    with pytest.raises(Refused) as refused:
        told(family)
    assert refused.value.document["code"] == "too_many_shingles"
    assert refused.value.document["remedy"]


def test_a_near_pair_has_its_exact_jaccard_index():
    one, other = net(*[("Linear", 8)] * 5), net(*[("Linear", 8)] * 4, ("Linear", 9))
    expected = jaccard(fingerprint(one).shingles, fingerprint(other).shingles)
    assert NearnessLine(near=NearPair("a", "b", expected)) in told(named(a=one, b=other))
