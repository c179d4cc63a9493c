"""What was asked of a farm and acknowledged, and whether all of it came out right: once each, once only."""

import time
from collections import Counter
from contextlib import suppress

import httpx
from sample_networks import LINEAR
from sqlalchemy import func, select
from whole_farm import START_SECONDS, WholeFarm

from contracts.failures import FailureReason
from contracts.names import AttemptState, EvaluationState
from gateway.domain.lifecycle import MAX_TRIES
from gateway.infra.database import StorageUnavailable
from gateway.infra.evaluation_transitions import evaluation_topic
from gateway.infra.events import read_events
from gateway.infra.search_store import search_topic
from gateway.infra.search_tables import SlotRow
from gateway.infra.tables import AttemptRow, EvaluationRow
from sandbox_runner.specimens import quadrants

PATIENT = {"wall_seconds": 3600, "startup_seconds": 600, "predict_batch_seconds": 120}
"""However busy the machine is, no candidate is to be blamed for it."""
SMALLEST = {
    "source": LINEAR,
    "dataset": quadrants.NAME,
    "train_images": 64,
    "reuse": False,
    "limits": PATIENT,
}
"""The cheapest thing that a real sandbox trains and the host scores."""
SEARCH = {
    "name": "in the midst of it",
    "dataset": quadrants.NAME,
    "baselines": ["plain-cnn", "conv-mixer"],
    "cycles": 2,
    "candidates_per_cycle": 3,
    "elites": 2,
    "final_seeds": 1,
    "train_images": 64,
    "limits": PATIENT,
    "seed": 3,
}
PLATFORM = FailureReason.INFRASTRUCTURE
OPEN = {AttemptState.QUEUED, AttemptState.LEASED}


def slow(seconds: float) -> str:
    """The source of a candidate that takes so long at least: what is done to the farm hits it at work."""
    return f"import time\ntime.sleep({seconds})\n{LINEAR}"


class Ledger:
    """Submits until it is acknowledged, and holds the farm to it."""

    def __init__(self, farm: WholeFarm, key: str) -> None:
        """`key`: of its own among the ledgers of one farm; in all that is submitted."""
        self._farm = farm
        self._key = key
        self.accepted: dict[str, str] = {}
        """Evaluations by the key that they were submitted under."""
        self.searches: list[str] = []
        self.refusals: Counter[int] = Counter()

    # --- asking ----------------------------------------------------------------------------------

    def submit(self, count: int, **fields: object) -> list[str]:
        return [self.submit_one(**fields) for _ in range(count)]

    def submit_one(self, **fields: object) -> str:
        """Ask again under the same key until it is accepted, as the client library does."""
        key = f"{self._key}-{len(self.accepted)}"
        body = self._body(len(self.accepted), fields)
        self.accepted[key] = self._insist("/v1/evaluations", body, key)
        return self.accepted[key]

    def _body(self, seed: int, fields: dict[str, object]) -> dict[str, object]:
        return {**SMALLEST, "seed": seed, "tags": [self._key], **fields}

    def keep_open(self, count: int, **fields: object) -> None:
        """Submit as many more as it takes for so many to be open."""
        self.submit(count - (len(self.accepted) - self.ended), **fields)

    def submit_again(self, **fields: object) -> None:
        """Ask for the first one again, with the same fields, at each gateway: it is the same."""
        key, first = next(iter(self.accepted.items()))
        for gateway in self._farm.gateways:
            with self._farm.client_of(gateway) as client:
                answer = client.post(
                    "/v1/evaluations", json=self._body(0, fields), headers={"Idempotency-Key": key}
                )
            assert answer.status_code == 202, answer.text
            assert answer.json()["id"] == first

    def try_once(self) -> httpx.Response | None:
        """Ask for one more; the answer, if it was refused."""
        key = f"{self._key}-{len(self.accepted)}"
        body = self._body(len(self.accepted), {})
        answer = self._farm.http.post("/v1/evaluations", json=body, headers={"Idempotency-Key": key})
        if answer.status_code != 202:
            return answer
        self.accepted[key] = answer.json()["id"]
        return None

    def start_search(self) -> str:
        key = f"{self._key}-search-{len(self.searches)}"
        self.searches.append(self._insist("/v1/searches", SEARCH, key))
        return self.searches[-1]

    def _insist(self, path: str, body: dict[str, object], key: str) -> str:
        give_up = time.monotonic() + START_SECONDS
        while True:
            self._farm.tend()
            with suppress(httpx.HTTPError):
                answer = self._farm.http.post(path, json=body, headers={"Idempotency-Key": key})
                if answer.status_code == 202:
                    return str(answer.json()["id"])
                assert answer.status_code in {500, 502, 503}, answer.text
                assert answer.status_code == 503, answer.text
                self.refusals[answer.status_code] += 1
            assert time.monotonic() < give_up, self._farm.words()
            time.sleep(0.2)

    # --- waiting ---------------------------------------------------------------------------------

    def count(self, *states: EvaluationState) -> int:
        """How many of the accepted evaluations are in one of these states; 0 while the database is away."""
        with suppress(StorageUnavailable), self._farm.database.read() as session:
            ids = list(self.accepted.values())
            query = select(func.count()).where(EvaluationRow.id.in_(ids), EvaluationRow.state.in_(states))
            return int(session.scalar(query) or 0)
        return 0

    @property
    def running(self) -> int:
        return self.count(EvaluationState.RUNNING)

    @property
    def ended(self) -> int:
        return self.count(*(state for state in EvaluationState if state.is_terminal))

    def held_by(self, host: str) -> int:
        """How many attempts at what was accepted the agent of that name holds."""
        with suppress(StorageUnavailable), self._farm.database.read() as session:
            held = select(func.count()).where(
                AttemptRow.evaluation_id.in_(list(self.accepted.values())),
                AttemptRow.state == AttemptState.LEASED,
                AttemptRow.agent_id == host,
            )
            return int(session.scalar(held) or 0)
        return 0

    @property
    def is_over(self) -> bool:
        """Whether all has ended, searches too."""
        if self.ended < len(self.accepted):
            return False
        with suppress(httpx.HTTPError):
            states = [self._read(f"/v1/searches/{search}").get("state") for search in self.searches]
            return all(state in {"succeeded", "failed", "cancelled"} for state in states)
        return False

    def wait_until_over(self, seconds: float) -> None:
        self._farm.tend_until(lambda: self.is_over, seconds)

    def _read(self, path: str) -> dict:
        document: dict = self._farm.http.get(path).json()
        return document

    # --- the reckoning ---------------------------------------------------------------------------

    def settle_up(self) -> Counter[str]:
        """That each evaluation ended once, none was added and searches are whole; how each attempt ended."""
        ends: Counter[str] = Counter()
        with self._farm.database.read() as session:
            rows = session.scalars(select(EvaluationRow).where(EvaluationRow.search_id.is_(None))).all()
            ours = [row for row in rows if row.request["tags"] == [self._key]]
            assert {row.id for row in ours} == set(self.accepted.values())
            assert len(set(self.accepted.values())) == len(self.accepted)
            for row in ours:
                ends.update(_ended_once(row))
                events = read_events(self._farm.database, evaluation_topic(row.id), 0)
                assert [event.type for event in events].count("finished") == 1, events
        for search in self.searches:
            ends.update(self._search_is_whole(search))
        self._counters_agree()
        return ends

    def _search_is_whole(self, search_id: str) -> Counter[str]:
        document = self._read(f"/v1/searches/{search_id}")
        assert document["state"] == "succeeded", document["failure"]
        database = self._farm.database
        events = Counter(event.type for event in read_events(database, search_topic(search_id), 0))
        cycles = SEARCH["cycles"] + 1
        assert (events["cycle_started"], events["cycle_finished"], events["finished"]) == (cycles, cycles, 1)
        ends: Counter[str] = Counter()
        with database.read() as session:
            of_search = EvaluationRow.search_id == search_id
            origins = session.scalars(select(EvaluationRow.origin_key).where(of_search)).all()
            assert len(set(origins)) == len(origins)
            slots = session.scalar(select(func.count()).where(SlotRow.search_id == search_id))
            assert slots == len(SEARCH["baselines"]) + SEARCH["cycles"] * SEARCH["candidates_per_cycle"]
            for row in session.scalars(select(EvaluationRow).where(of_search)):
                ends.update(_ended_once(row))
        return ends

    def _counters_agree(self) -> None:
        """What the metrics say has ended is what has ended, at gateways that have just come back, too."""
        self._farm.tend_until(lambda: all(map(self._farm.answers, self._farm.gateways)))
        with self._farm.database.read() as session:
            stored = session.scalar(select(func.count()).select_from(EvaluationRow))
        for gateway in self._farm.gateways:
            with self._farm.client_of(gateway) as client:
                page = client.get("/metrics").text.splitlines()
            counted = [line for line in page if line.startswith("deltanas_evaluations_finished_total{")]
            assert sum(float(line.rpartition(" ")[2]) for line in counted) == stored, counted


def _ended_once(row: EvaluationRow) -> Counter[str]:
    """How its attempts ended, if it ended by one result, or by as many losses as may be."""
    attempts = [(attempt.state, attempt.failure, attempt.measurement) for attempt in row.attempts]
    story = f"{row.id} {row.state} {row.failure}: {attempts}"
    measured = [state for state, _, measurement in attempts if measurement is not None]
    lost = [state for state, failure, _ in attempts if failure and failure["reason"] == PLATFORM]
    assert len(lost) <= MAX_TRIES, story
    assert {state for state, _, _ in attempts}.isdisjoint(OPEN), story
    if row.state == EvaluationState.SUCCEEDED:
        # A search may have found the same in an earlier one's record: then nothing was run.
        is_recorded = row.reused_from is not None and not attempts
        assert measured == [AttemptState.REPORTED] or is_recorded, story
        assert row.measurement is not None, story
    else:
        # Nothing here is a candidate's fault but what its own search has made of it.
        assert row.state == EvaluationState.FAILED, story
        assert measured == [], story
        assert row.search_id is not None or (row.failure or {})["reason"] == PLATFORM, story
        if (row.failure or {})["reason"] == PLATFORM:
            assert len(lost) == MAX_TRIES, story
    return Counter(str(state) for state, _, _ in attempts)
