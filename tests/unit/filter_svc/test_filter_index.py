"""The index in a file of this machine; what holds for every store is in tests/behaviour."""

import sqlite3
import threading

import pytest

from contracts.jobs import ScreeningRequest
from contracts.names import NoveltyLayer
from filter_svc.index import IndexBroken, NoveltyIndex, open_store
from filter_svc.screening import screen
from filter_svc.stores import file as subject
from filter_svc.stores.file import FileStore
from filter_svc.stores.memory import MemoryStore
from filter_svc.stores.shared import SharedStore

SCOPE = "search:se_1"
HEAD = """from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
"""


def source(*widths):
    return HEAD + "".join(f"        self.l{i} = nn.Linear({w}, {w + 1})\n" for i, w in enumerate(widths))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "filter" / "index.db"


@pytest.fixture
def novelty(path):
    opened = NoveltyIndex(FileStore(path))
    yield opened
    opened.close()


def ask(novelty, text):
    return screen(novelty, ScreeningRequest(SCOPE, "new", text, 0.9))


def test_the_setting_says_where_the_index_is_kept(tmp_path):
    assert isinstance(open_store("memory:", tmp_path), MemoryStore)
    assert isinstance(open_store("redis://:secret@127.0.0.1:1/0", tmp_path), SharedStore)
    for location, path in [("", "filter/index.db"), ("other.db", "other.db"), (str(tmp_path / "x"), "x")]:
        open_store(location, tmp_path).close()
        assert (tmp_path / path).is_file()


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
                "DROP TABLE entries"
                if damage == "table"
                else "UPDATE entries SET outline = substr(outline, 1, 60)"
            )
            if damage == "table":
                database.execute("CREATE TABLE entries (other TEXT)")
        database.close()
    with pytest.raises(IndexBroken, match="the index"):
        ask(NoveltyIndex(FileStore(path)), source(1, 2))


def test_a_file_of_an_earlier_version_is_empty_and_can_be_filled(novelty, path):
    novelty.close()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE architectures (scope TEXT, proposal_id TEXT)")
    database.close()
    again = NoveltyIndex(FileStore(path))
    assert again.count(SCOPE) == 0
    again.admit(SCOPE, "p1", source(1, 2))
    assert ask(again, source(1, 2)).layer is NoveltyLayer.EXACT
    again.close()


def test_a_second_process_may_not_hold_the_same_file(novelty, path, monkeypatch):
    monkeypatch.setattr(subject, "BUSY_SECONDS", 0.1)
    with pytest.raises(IndexBroken, match="no other filter"):
        FileStore(path)


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "filter").write_text("a file, not a folder")
    with pytest.raises(IndexBroken):
        FileStore(tmp_path / "filter" / "index.db")


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
