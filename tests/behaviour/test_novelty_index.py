"""The novelty index on each store that may keep it: the same answers, and never a copy called new."""

import random
from dataclasses import replace

import numpy as np
import pytest

from contracts.jobs import ScreeningRequest
from contracts.names import NoveltyLayer
from filter_svc import encoding
from filter_svc import index as subject
from filter_svc.canonical import NotScreenable
from filter_svc.fingerprints import Fingerprint, fingerprint, jaccard, sketch_of
from filter_svc.index import Admitted, IndexBroken, NoveltyIndex
from filter_svc.screening import screen
from filter_svc.stores import port
from filter_svc.stores.file import FileStore
from filter_svc.stores.memory import MemoryStore
from filter_svc.stores.shared import SharedStore

SCOPE = "search:se_1"
HEAD = """from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
"""
MANY = tuple(range(40))


def source(*widths, note=""):
    lines = "".join(f"        self.l{i} = nn.Linear({w}, {w + 1})\n" for i, w in enumerate(widths))
    return f"{HEAD}{lines}{note}"


def ask(novelty, text, proposal_id="new", scope=SCOPE, threshold=0.9):
    return screen(novelty, ScreeningRequest(scope, proposal_id, text, threshold))


@pytest.fixture(params=["memory", "file", "redis"])
def opened(request, tmp_path):
    """Opens the index, the same one again where its store outlives it."""
    if request.param == "memory":
        store = MemoryStore()
        store.close = lambda: None
        return lambda: NoveltyIndex(store)
    if request.param == "file":
        return lambda: NoveltyIndex(FileStore(tmp_path / "index.db"))
    server = request.getfixturevalue("redis_server")
    return lambda: NoveltyIndex(SharedStore(server.url))


@pytest.fixture
def novelty(opened):
    index = opened()
    yield index
    index.close()


def test_the_first_architecture_is_novel_and_has_no_neighbours(novelty):
    screening = ask(novelty, source(1, 2))
    assert (screening.novel, screening.layer, screening.nearest) == (True, None, ())


def test_another_wording_is_an_exact_copy_and_names_the_original(novelty):
    novelty.admit(SCOPE, "p1", source(1, 2, 3), "first – größte")
    screening = ask(novelty, source(1, 2, 3, note="        # comment\n"))
    assert (screening.novel, screening.layer) == (False, NoveltyLayer.EXACT)
    assert [(n.id, n.jaccard, n.label) for n in screening.nearest] == [("p1", 1.0, "first – größte")]


def test_a_near_copy_is_recognised_by_its_shingles_and_a_far_one_is_not(novelty):
    novelty.admit(SCOPE, "p1", source(*MANY))
    near = ask(novelty, source(*MANY[:-1], 99))
    assert (near.novel, near.layer) == (False, NoveltyLayer.JACCARD)
    assert 0.9 <= near.nearest[0].jaccard < 1.0
    far = ask(novelty, source(*(w + 50 for w in MANY)))
    assert (far.novel, far.layer) == (True, None)
    assert 0.0 < far.nearest[0].jaccard < 0.9


def test_only_those_are_compared_that_the_request_names(novelty):
    novelty.admit(SCOPE, "twin", source(*MANY))
    novelty.admit(SCOPE, "parent", source(*MANY[:-1], 99))
    novelty.admit(SCOPE, "other", source(1, 2))
    asked = ScreeningRequest(SCOPE, "new", source(*MANY), 0.9, among=("parent", "new", "unknown"))
    screening = screen(novelty, asked)
    assert screening.layer is NoveltyLayer.JACCARD
    assert [near.id for near in screening.nearest] == ["parent"]
    assert screen(novelty, replace(asked, among=("other",))).novel
    assert screen(novelty, replace(asked, among=())).nearest == ()


def test_the_threshold_of_the_request_decides(novelty):
    novelty.admit(SCOPE, "p1", source(*MANY))
    near = source(*MANY[:-1], 99)
    similarity = ask(novelty, near).nearest[0].jaccard
    assert ask(novelty, near, threshold=similarity).novel is False
    assert ask(novelty, near, threshold=min(1.0, similarity + 1e-9)).novel is True
    assert ask(novelty, source(500), threshold=0.01).novel is False


def test_the_five_nearest_are_listed_nearest_first_also_when_novel(novelty):
    for changed in range(1, 9):
        novelty.admit(
            SCOPE, f"p{changed}", source(*MANY[changed * 4 :], *(w + 900 for w in MANY[: changed * 4]))
        )
    screening = ask(novelty, source(*MANY), threshold=1.0)
    assert screening.novel
    assert [n.id for n in screening.nearest] == ["p1", "p2", "p3", "p4", "p5"]
    similarities = [n.jaccard for n in screening.nearest]
    assert similarities == sorted(similarities, reverse=True)


def test_a_proposal_is_not_a_copy_of_itself_but_of_its_twin(novelty):
    novelty.admit(SCOPE, "p1", source(1, 2))
    assert ask(novelty, source(1, 2), proposal_id="p1").novel is True
    novelty.admit(SCOPE, "p2", source(1, 2))
    assert ask(novelty, source(1, 2), proposal_id="p1").nearest[0].id == "p2"


def test_admitting_again_replaces_and_counts_once(novelty):
    for _ in range(3):
        novelty.admit(SCOPE, "p1", source(1, 2))
    assert novelty.count(SCOPE) == 1
    assert ask(novelty, source(1, 2)).novel is False
    novelty.admit(SCOPE, "p1", source(7, 8, 9), "second")
    assert novelty.count(SCOPE) == 1
    assert ask(novelty, source(1, 2)).novel is True
    assert ask(novelty, source(7, 8, 9)).nearest[0].label == "second"


def test_architectures_are_found_by_their_structure_and_by_their_id(novelty):
    novelty.admit(SCOPE, "p2", source(1, 2), "second", structure=b"same")
    novelty.admit(SCOPE, "p1", source(3, 4), "first", structure=b"same")
    novelty.admit(SCOPE, "p3", source(5, 6), structure=b"other")
    novelty.admit(SCOPE, "p4", source(7, 8))
    novelty.admit("library", "p5", source(1, 2), structure=b"same")
    assert novelty.with_structure(SCOPE, b"same") == ("p1", "p2")
    assert novelty.find(SCOPE, "p1") == Admitted("p1", "first", source(3, 4), b"same")
    assert novelty.find(SCOPE, "p4").structure is None
    assert novelty.find(SCOPE, "p5") is None
    novelty.admit(SCOPE, "p2", source(1, 2), "second")
    assert novelty.with_structure(SCOPE, b"same") == ("p1",)


def test_scopes_know_nothing_of_each_other(novelty):
    novelty.admit(SCOPE, "p1", source(1, 2))
    assert ask(novelty, source(1, 2), scope="library").novel is True
    novelty.admit("library", "p1", source(1, 2))
    novelty.drop(SCOPE)
    assert (novelty.count(SCOPE), novelty.count("library")) == (0, 1)
    assert ask(novelty, source(1, 2)).novel is True
    assert ask(novelty, source(1, 2), scope="library").novel is False


def test_a_dropped_scope_can_be_filled_again(novelty):
    novelty.admit(SCOPE, "p1", source(1, 2))
    assert ask(novelty, source(1, 2)).novel is False
    novelty.drop(SCOPE)
    novelty.admit(SCOPE, "p2", source(3, 4))
    assert ask(novelty, source(1, 2)).novel is True
    assert ask(novelty, source(3, 4)).nearest[0].id == "p2"


def test_what_is_no_architecture_raises_and_changes_nothing(novelty):
    with pytest.raises(NotScreenable):
        ask(novelty, "x = 1")
    with pytest.raises(NotScreenable):
        novelty.admit(SCOPE, "p1", "def (")
    assert novelty.count(SCOPE) == 0


def test_what_is_kept_answers_as_what_was_in_memory(novelty, opened):
    steps = [("a", 1), ("b", 2), ("c", 3), ("a", 4), ("b", 2), ("c", 1), ("d", 3)]
    for step, (name, width) in enumerate(steps):
        novelty.admit(SCOPE, name, source(width, step), f"step {step}")
        ask(novelty, source(1))
    probes = [fingerprint(source(width, step)) for width in range(5) for step in range(7)]
    in_memory = [novelty.compare(SCOPE, probe, 0.5, "b") for probe in probes]
    novelty.close()
    again = opened()
    assert [again.compare(SCOPE, probe, 0.5, "b") for probe in probes] == in_memory
    again.close()


def test_more_scopes_than_fit_in_memory_are_all_remembered(novelty):
    for number in range(subject.SCOPES_IN_MEMORY + 3):
        novelty.admit(f"search:se_{number}", "p1", source(number))
    for number in range(subject.SCOPES_IN_MEMORY + 3):
        assert ask(novelty, source(number), scope=f"search:se_{number}").layer is NoveltyLayer.EXACT


def test_a_scope_of_several_pages_is_read_whole(novelty, monkeypatch):
    for module in ("memory", "file", "shared"):
        monkeypatch.setattr(f"filter_svc.stores.{module}.ENTRIES_A_PAGE", 3)
    for number in range(10):
        novelty.admit(SCOPE, f"p{number}", source(number, 100))
    assert all(ask(novelty, source(number, 100)).nearest[0].id == f"p{number}" for number in range(10))


@pytest.fixture
def fingerprints_without_sources(monkeypatch):
    """Screens and admits sets of shingles that a test names instead of sources."""
    made = {}

    def admit(novelty, name, shingles):
        shingles = np.unique(np.array(shingles, dtype=np.uint64))
        made[name] = Fingerprint(name.encode().ljust(32), shingles, sketch_of(shingles))
        novelty.admit(SCOPE, name, name)
        return made[name]

    monkeypatch.setattr(subject, "fingerprint", lambda name: made[name])
    return admit


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_what_reaches_the_threshold_is_what_comparing_with_every_one_finds(
    novelty, fingerprints_without_sources, threshold
):
    rng = random.Random(threshold)
    clusters = [[rng.getrandbits(64) for _ in range(rng.choice([30, 300, 3000]))] for _ in range(6)]
    known = []
    for number in range(150):
        shingles = list(rng.choice(clusters))
        for _ in range(int(len(shingles) * rng.choice([0, 0, 0.01, 0.03, 0.1, 0.3]))):
            shingles[rng.randrange(len(shingles))] = rng.getrandbits(64)
        known.append(fingerprints_without_sources(novelty, f"p{number:03}", shingles))
    for probe in known[::3]:
        name = probe.digest.decode().strip()
        others = [one for one in known if one is not probe]
        exact = sorted(
            (-jaccard(probe.shingles, one.shingles), one.digest.decode().strip()) for one in others
        )
        wanted = [(name, -negated) for negated, name in exact[: subject.NEAREST] if -negated >= threshold]
        found = novelty.compare(SCOPE, probe, threshold, name)
        assert [(one.proposal_id, one.jaccard) for one in found][: len(wanted)] == wanted
        assert all(one.jaccard < threshold for one in found[len(wanted) :])


def test_fingerprints_of_another_scheme_are_made_again_and_never_mixed(novelty, opened, monkeypatch):
    monkeypatch.setattr(encoding, "HASH_SCHEME", "old")
    other = Fingerprint(b"\0" * 32, np.ones(1, np.uint64), np.zeros(32, np.uint64))
    monkeypatch.setattr(subject, "fingerprint", lambda text: other)
    for number in range(3):
        novelty.admit(SCOPE, f"p{number}", source(1, 2, number), f"label {number}", b"key")
    novelty.close()
    monkeypatch.undo()
    again = opened()
    for number in range(3):
        screening = ask(again, source(1, 2, number))
        assert (screening.layer, screening.nearest[0].id) == (NoveltyLayer.EXACT, f"p{number}")
    assert again.find(SCOPE, "p1") == Admitted("p1", "label 1", source(1, 2, 1), b"key")
    again.close()
    monkeypatch.setattr(subject, "fingerprint", lambda text: pytest.fail("it was made already"))
    third = opened()
    assert len(third.compare(SCOPE, fingerprint(source(1, 2)), 0.1, "new")) == 3
    third.close()


def test_what_is_kept_and_cannot_be_read_is_an_error_and_never_novel(novelty, opened):
    novelty.admit(SCOPE, "p1", source(*MANY))
    record = novelty._store.find(SCOPE, "p1")
    near = source(*MANY[:-1], 99)
    outline, shingles = record.entry.outline, record.shingles
    for entry, kept, text in [
        (record.entry._replace(outline=outline[:-1]), shingles, record.source),
        (record.entry._replace(outline=b""), shingles, record.source),
        (record.entry, shingles[:-1], record.source),
        (record.entry._replace(outline=b"old\0"), b"old\0", b"no text"),
    ]:
        novelty._store.put(SCOPE, port.Record(entry, kept, text))
        with pytest.raises(IndexBroken, match="p1"):
            ask(novelty, near)
    novelty._store.put(SCOPE, record)
    assert ask(novelty, near).novel is False
