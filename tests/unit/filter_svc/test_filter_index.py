import sqlite3
import threading
from dataclasses import replace

import numpy as np
import pytest

from contracts.jobs import ScreeningRequest
from contracts.names import NoveltyLayer
from filter_svc import fingerprints, index
from filter_svc.canonical import NotScreenable
from filter_svc.fingerprints import fingerprint
from filter_svc.index import IndexBroken, NoveltyIndex
from filter_svc.screening import screen

SCOPE = "search:se_1"
HEAD = """from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
"""


def source(*widths, note=""):
    lines = "".join(f"        self.l{i} = nn.Linear({w}, {w + 1})\n" for i, w in enumerate(widths))
    return f"{HEAD}{lines}{note}"


MANY = tuple(range(40))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "filter" / "index.db"


@pytest.fixture
def novelty(path):
    opened = NoveltyIndex(path)
    yield opened
    opened.close()


def ask(novelty, text, proposal_id="new", scope=SCOPE, threshold=0.9):
    return screen(novelty, ScreeningRequest(scope, proposal_id, text, threshold))


def test_the_first_architecture_is_novel_and_has_no_neighbours(novelty):
    assert ask(novelty, source(1, 2)) == (type(ask(novelty, source(1))))(True, None, ())


def test_another_wording_is_an_exact_copy_and_names_the_original(novelty):
    novelty.admit(SCOPE, "p1", source(1, 2, 3), "first")
    screening = ask(novelty, source(1, 2, 3, note="        # comment\n"))
    assert (screening.novel, screening.layer) == (False, NoveltyLayer.EXACT)
    assert [(n.id, n.jaccard, n.label) for n in screening.nearest] == [("p1", 1.0, "first")]


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
    ask(novelty, source(1, 2))
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
    assert novelty.find(SCOPE, "p1") == index.Admitted("p1", "first", source(3, 4), b"same")
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


def test_what_is_no_architecture_raises_and_changes_nothing(novelty):
    with pytest.raises(NotScreenable):
        ask(novelty, "x = 1")
    with pytest.raises(NotScreenable):
        novelty.admit(SCOPE, "p1", "def (")
    assert novelty.count(SCOPE) == 0


def test_the_index_outlives_its_process(novelty, path):
    novelty.admit(SCOPE, "p1", source(*MANY), "first")
    near = source(*MANY[:-1], 99)
    before = ask(novelty, near)
    novelty.close()
    reopened = NoveltyIndex(path)
    assert ask(reopened, near) == before
    reopened.close()


def test_more_scopes_than_fit_in_memory_are_all_remembered(novelty):
    for number in range(index.SCOPES_IN_MEMORY + 3):
        novelty.admit(f"search:se_{number}", "p1", source(number))
    for number in range(index.SCOPES_IN_MEMORY + 3):
        assert ask(novelty, source(number), scope=f"search:se_{number}").layer is NoveltyLayer.EXACT


def test_fingerprints_of_another_version_are_made_again(novelty, path, monkeypatch):
    monkeypatch.setattr(index, "FINGERPRINT_VERSION", "old")
    broken = fingerprints.Fingerprint(b"\0" * 32, np.zeros(1, np.uint64), np.zeros(128, np.uint64))
    monkeypatch.setattr(index, "fingerprint", lambda text: broken)
    novelty.admit(SCOPE, "p1", source(1, 2))
    novelty.close()
    monkeypatch.undo()
    reopened = NoveltyIndex(path)
    assert ask(reopened, source(1, 2)).layer is NoveltyLayer.EXACT
    reopened.close()


@pytest.mark.parametrize("damage", ["header", "page", "garbage", "table", "blob"])
def test_a_damaged_file_is_an_error_and_never_novel(novelty, path, damage):
    for number in range(30):
        novelty.admit(SCOPE, f"p{number}", source(*range(number + 5)))
    novelty.close()
    content = bytearray(path.read_bytes())
    if damage == "header":
        path.write_bytes(b"x" * 100 + content[100:])
    elif damage == "page":
        path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    elif damage == "garbage":
        path.write_bytes(b"no database at all" * 1000)
    else:
        with sqlite3.connect(path) as database:
            database.execute(
                "DROP TABLE architectures" if damage == "table" else "UPDATE architectures SET sketch = x'00'"
            )
            if damage == "table":
                database.execute("CREATE TABLE architectures (other TEXT)")
        database.close()
    with pytest.raises(IndexBroken, match="filter/index"):
        ask(NoveltyIndex(path), source(1, 2))


def test_a_second_process_may_not_hold_the_same_file(novelty, path, monkeypatch):
    monkeypatch.setattr(index, "BUSY_SECONDS", 0.1)
    with pytest.raises(IndexBroken, match="no other filter"):
        NoveltyIndex(path)


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "filter").write_text("a file, not a folder")
    with pytest.raises(IndexBroken):
        NoveltyIndex(tmp_path / "filter" / "index.db")


def test_threads_may_admit_and_screen_at_once(novelty):
    failures = []

    def work(worker):
        try:
            for number in range(8):
                novelty.admit(SCOPE, f"w{worker}-{number}", source(worker, number, 100))
                if ask(novelty, source(worker, number, 100)).novel:
                    failures.append((worker, number))
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert novelty.count(SCOPE) == 32


def test_the_neighbourhood_in_memory_equals_the_one_on_disk_after_any_history(novelty, path):
    for step, (name, width) in enumerate(
        [("a", 1), ("b", 2), ("c", 3), ("a", 4), ("b", 2), ("c", 1), ("d", 3)]
    ):
        novelty.admit(SCOPE, name, source(width, step))
        ask(novelty, source(1))
    probes = [fingerprint(source(width, step)) for width in range(5) for step in range(7)]
    in_memory = [novelty.compare(SCOPE, probe, 0.5, "b") for probe in probes]
    novelty.close()
    reopened = NoveltyIndex(path)
    assert [reopened.compare(SCOPE, probe, 0.5, "b") for probe in probes] == in_memory
    reopened.close()
