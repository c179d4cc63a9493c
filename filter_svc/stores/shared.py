"""The store of a farm: one Redis that several filters share. Each follows what the others admit.

A scope is five keys: `log` (a sorted set: ids by when they were put, in microseconds of the server's
clock), `entries`, `shingles` and `sources` (hashes by id), and `epoch`, drawn anew whenever a scope
begins. Scripts make every step whole. Where the keys of a scope disagree, the server has thrown some
away, which is an error: it must run with `maxmemory-policy noeviction`, and with `appendonly yes` if an
index is to outlive it.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError

from filter_svc.stores.packing import packed, unpacked
from filter_svc.stores.port import ENTRIES_A_PAGE, Entry, IndexBroken, News, Record

PREFIX = "deltanas:novelty:"
ANSWER_SECONDS = 5.0
CONNECT_SECONDS = 2.0

PUT = """
redis.call('SET', KEYS[5], ARGV[5], 'NX')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if last[2] and tonumber(last[2]) >= now then now = tonumber(last[2]) + 1 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[4], ARGV[1], ARGV[4])
"""
RENEW = """
if redis.call('HGET', KEYS[4], ARGV[1]) == ARGV[4] then
    redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
    redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
end
"""
NEWS = """
local page = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local found = {redis.call('GET', KEYS[5]) or ''}
found[2] = redis.call('ZCARD', KEYS[1])
for at = 2, 4 do found[at + 1] = redis.call('HLEN', KEYS[at]) end
for at = 1, #page, 2 do
    found[#found + 1] = page[at]
    found[#found + 1] = string.format('%.0f', tonumber(page[at + 1]))
    found[#found + 1] = redis.call('HGET', KEYS[2], page[at]) or ''
end
return found
"""


class SharedStore:
    """One Redis. Whatever is wrong with it raises IndexBroken; the next call tries again."""

    def __init__(self, url: str) -> None:
        """`redis://`, `rediss://` or `unix://`. Connects when first used."""
        try:
            parts = urlsplit(url)
            self._name = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
            """Without the password."""
            self._redis = Redis.from_url(
                url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=CONNECT_SECONDS
            )
        except ValueError as error:
            raise IndexBroken("DELTANAS_FILTER_INDEX is no address of a Redis") from error
        self._put = self._redis.register_script(PUT)
        self._renew = self._redis.register_script(RENEW)
        self._news = self._redis.register_script(NEWS)

    def put(self, scope: str, record: Record) -> None:
        """Keep an architecture; the same id again replaces it."""
        with self._guarded():
            self._put(_keys(scope), [*_values(record), secrets.token_hex(8)])

    def renew(self, scope: str, record: Record) -> None:
        """Keep another outline and other shingles of the same source."""
        with self._guarded():
            self._renew(_keys(scope), _values(record))

    def news(self, scope: str, since: int) -> News:
        """What was put after the mark, by whichever filter."""
        with self._guarded():
            epoch, count, *held = cast(
                "list[Any]", self._news(_keys(scope), [str(since), str(ENTRIES_A_PAGE)])
            )
        lengths, page = held[:3], held[3:]
        if any(length != count for length in lengths):
            raise self._incomplete(scope)
        entries = [self._unpacked(entry) for entry in page[2::3]]
        mark = int(page[-2]) if page else since
        return News(epoch.decode(), mark, entries, len(entries) == ENTRIES_A_PAGE, count)

    def shingles(self, scope: str, proposal_ids: Sequence[str]) -> list[bytes | None]:
        """Of each of these architectures, fetched at once."""
        if not proposal_ids:
            return []
        with self._guarded():
            return cast("list[bytes | None]", self._redis.hmget(_key(scope, "shingles"), list(proposal_ids)))

    def find(self, scope: str, proposal_id: str) -> Record | None:
        """One architecture."""
        with self._guarded(), self._redis.pipeline(transaction=True) as together:
            for part in ("entries", "shingles", "sources"):
                together.hget(_key(scope, part), proposal_id)
            entry, shingles, source = cast("list[bytes | None]", together.execute())
        if entry is None and shingles is None and source is None:
            return None
        if entry is None or shingles is None or source is None:
            raise self._incomplete(scope)
        return Record(self._unpacked(entry), shingles, source)

    def count(self, scope: str) -> int:
        """How many architectures a scope holds."""
        with self._guarded():
            return self._redis.zcard(_key(scope, "log"))

    def drop(self, scope: str) -> None:
        """Forget a scope; filters that follow it see that it begins anew."""
        with self._guarded():
            self._redis.unlink(*_keys(scope))

    def check(self) -> None:
        """Whether the server answers, and may be written to."""
        with self._guarded():
            self._redis.ping()

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _unpacked(self, entry: bytes) -> Entry:
        try:
            return unpacked(entry)
        except ValueError as error:
            raise IndexBroken(
                f"the index at {self._name} holds what no filter wrote there: {error}"
            ) from error

    def _incomplete(self, scope: str) -> IndexBroken:
        return IndexBroken(
            f"the index at {self._name} has lost a part of {scope}; let that Redis run with "
            "`maxmemory-policy noeviction`, and with memory enough"
        )

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise IndexBroken(
                f"the index at {self._name} cannot be used ({type(error).__name__}: {error}); see that this "
                "Redis runs, that DELTANAS_FILTER_INDEX is right, and that its memory is not full"
            ) from error


def _key(scope: str, part: str) -> str:
    return f"{PREFIX}{{{scope}}}:{part}"


def _keys(scope: str) -> list[str]:
    return [_key(scope, part) for part in ("log", "entries", "shingles", "sources", "epoch")]


def _values(record: Record) -> list[str | bytes]:
    return [record.entry.proposal_id, packed(record.entry), record.shingles, record.source]
