"""A broker that delivers everything again and again, to whoever listens: every claim but one is refused."""

import json
import threading
from collections import Counter

import pytest
from ledger import Ledger
from whole_farm import START_SECONDS

from contracts.dispatch import Resource

QUEUE = Resource.CPU.value
TIMES = 6
"""So often each message is delivered in all."""
LOOK_AGAIN_SECONDS = 0.05
EVALUATIONS = 12


class Redelivering:
    """Puts each message that somebody has taken out of the queue into it again, at either end, in turn."""

    def __init__(self, redis_server):
        self._server = redis_server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.seen = Counter()
        self._of_the_dead = set()

    def __enter__(self):
        # What agents had taken that other scenes killed: the broker keeps it longer than any attempt takes.
        with self._server.client() as redis:
            self._of_the_dead = set(redis.hkeys("unacked"))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _work(self):
        with self._server.client() as redis:
            while not self._over.wait(LOOK_AGAIN_SECONDS):
                for entry in redis.hvals("unacked"):
                    self._deliver_again(redis, json.loads(entry)[0])

    def all_are_taken(self):
        """Whether nothing waits in the queue, and nothing that a live agent has taken is unacknowledged."""
        with self._server.client() as redis:
            return redis.llen(QUEUE) == 0 and set(redis.hkeys("unacked")) <= self._of_the_dead

    def _deliver_again(self, redis, message):
        attempt_id = message["headers"]["id"]
        if self.seen[attempt_id] == 0:
            for number in range(TIMES - 1):
                # Under a name of its own, or one acknowledgement would be for all of them.
                message["properties"]["delivery_tag"] = f"again-{number}-{attempt_id}"
                (redis.lpush, redis.rpush)[number % 2](QUEUE, json.dumps(message))
        self.seen[attempt_id] = TIMES


@pytest.fixture
def redelivering(farm):
    with Redelivering(farm.redis) as redelivering:
        yield redelivering


def test_what_is_delivered_many_times_over_is_run_once(farm, redelivering):
    ledger = Ledger(farm, "redelivered")
    ledger.start_search()
    ledger.submit(EVALUATIONS)
    ledger.wait_until_over(START_SECONDS)
    ends = ledger.settle_up()
    print(f"{len(redelivering.seen)} messages were delivered {TIMES} times each; {dict(ends)}")
    assert len(redelivering.seen) >= EVALUATIONS
    farm.tend_until(redelivering.all_are_taken)
    assert set(ends) == {"reported"}, "an attempt was lost, or begun twice"
