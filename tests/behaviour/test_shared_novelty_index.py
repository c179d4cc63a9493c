"""Several filters on one Redis: each knows what the others admit, and none answers without it."""

import pytest

from contracts.jobs import ScreeningRequest
from filter_svc.fingerprints import fingerprint
from filter_svc.index import IndexBroken, NoveltyIndex
from filter_svc.screening import screen
from filter_svc.stores import shared
from filter_svc.stores.shared import SharedStore

SCOPE = "tenant:default"
NET = "from torch import nn\n\n\nclass Net(nn.Module):\n    width = {}\n"


def ask(novelty, width, proposal_id="new"):
    return screen(novelty, ScreeningRequest(SCOPE, proposal_id, NET.format(width), 0.9))


@pytest.fixture
def pair(redis_server):
    both = [NoveltyIndex(SharedStore(redis_server.url)) for _ in range(2)]
    yield both
    for one in both:
        one.close()


def test_what_one_filter_admits_the_other_knows_at_once(pair):
    one, other = pair
    assert ask(other, 1).novel
    for width in range(20):
        first, second = pair if width % 2 else (other, one)
        first.admit(SCOPE, f"p{width}", NET.format(width), structure=bytes([width]))
        assert ask(second, width).nearest[0].id == f"p{width}"
        assert second.with_structure(SCOPE, bytes([width])) == (f"p{width}",)
    assert one.count(SCOPE) == other.count(SCOPE) == 20


def test_what_one_filter_replaces_or_drops_the_other_knows_at_once(pair):
    one, other = pair
    one.admit(SCOPE, "p1", NET.format(1))
    assert not ask(other, 1).novel
    one.admit(SCOPE, "p1", NET.format(2))
    assert ask(other, 1).novel
    assert not ask(other, 2).novel
    one.drop(SCOPE)
    assert ask(other, 2).novel
    assert other.count(SCOPE) == 0
    other.admit(SCOPE, "p2", NET.format(3))
    assert ask(one, 3).nearest[0].id == "p2"


def test_a_scope_that_is_dropped_between_reading_and_comparing_is_read_again(pair, monkeypatch):
    one, other = pair
    for width in range(3):
        one.admit(SCOPE, f"p{width}", NET.format(width))
    assert ask(other, 7).nearest

    def drop_first(self, scope, proposal_ids):
        monkeypatch.undo()
        one.drop(SCOPE)
        return self.shingles(scope, proposal_ids)

    monkeypatch.setattr(SharedStore, "shingles", drop_first)
    screening = ask(other, 7)
    assert (screening.novel, screening.nearest) == (True, ())


def test_a_redis_that_is_away_is_an_error_and_never_novel(pair, redis_server):
    one, _ = pair
    one.admit(SCOPE, "p1", NET.format(1))
    assert not ask(one, 1).novel
    redis_server.kill()
    for call in (
        lambda: ask(one, 1),
        lambda: one.admit(SCOPE, "p2", NET.format(2)),
        lambda: one.count(SCOPE),
        lambda: one.find(SCOPE, "p1"),
        lambda: one.drop(SCOPE),
        one.check,
    ):
        with pytest.raises(IndexBroken, match=str(redis_server.port)):
            call()
    redis_server.start()
    one.check()
    assert one.count(SCOPE) == 0
    assert ask(one, 1).nearest == ()


def test_a_redis_that_has_thrown_a_part_away_is_an_error_and_never_novel(pair, redis_server):
    one, other = pair
    one.admit(SCOPE, "p1", NET.format(1))
    one.admit(SCOPE, "p2", NET.format(2))
    assert not ask(one, 1).novel
    with redis_server.client() as client:
        client.delete(shared._key(SCOPE, "shingles"))
    for novelty in pair:
        with pytest.raises(IndexBroken, match="noeviction"):
            ask(novelty, 1)
    other.drop(SCOPE)
    assert ask(one, 1).novel


def test_what_a_redis_forgot_and_another_filter_admitted_since_is_read_anew(pair, redis_server):
    one, other = pair
    for width in range(3):
        one.admit(SCOPE, f"p{width}", NET.format(width))
    assert not ask(one, 2).novel
    with redis_server.client() as client:
        for part in ("log", "entries", "shingles", "sources"):
            key = shared._key(SCOPE, part)
            client.zrem(key, "p2") if part == "log" else client.hdel(key, "p2")
    assert one.count(SCOPE) == 2
    assert ask(one, 2).novel
    other.admit(SCOPE, "p9", NET.format(9))
    assert not ask(one, 9).novel


def test_a_full_redis_refuses_and_says_so(pair, redis_server):
    one, _ = pair
    with redis_server.client() as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(IndexBroken, match="not full"):
            one.admit(SCOPE, "p1", NET.format(1))
        client.config_set("maxmemory", "0")
    one.admit(SCOPE, "p1", NET.format(1))
    assert not ask(one, 1).novel


def test_what_is_foreign_in_the_store_is_an_error(pair, redis_server):
    one, other = pair
    one.admit(SCOPE, "p1", NET.format(1))
    with redis_server.client() as client:
        client.hset(shared._key(SCOPE, "entries"), "p1", "x")
    with pytest.raises(IndexBroken, match="no filter wrote"):
        ask(other, 1)


def test_a_password_is_nowhere_in_what_an_error_says(tmp_path):
    store = SharedStore("redis://:verysecret@127.0.0.1:1/0")
    with pytest.raises(IndexBroken) as error:
        store.check()
    assert "verysecret" not in str(error.value)
    assert "127.0.0.1:1" in str(error.value)


def test_renewed_fingerprints_never_overwrite_those_of_a_newer_source(pair):
    one, _ = pair
    one.admit(SCOPE, "p1", NET.format(1))
    stale = one._store.find(SCOPE, "p1")
    one.admit(SCOPE, "p1", NET.format(2))
    one._store.renew(SCOPE, stale)
    assert one.compare(SCOPE, fingerprint(NET.format(2)), 0.9, "new")[0].same_digest
