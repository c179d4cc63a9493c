"""Fine-tuning jobs as they are asked for, and which deltas of a search a model learns from. Pure.

A model learns from deltas that led to elites, as arXiv 2605.04903 does from those alone that made a network
better. Each is derived anew from the two sources that were measured, and never from what a model wrote.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from contracts.fine_tuning import FineTuneFailure, FineTuneResult, FineTuneState
from gateway.domain.candidate import Slot
from gateway.domain.fine_tune_plan import EliteDeltas
from gateway.domain.reruns import as_of
from gateway.domain.search import derive_number
from gateway.domain.selection import select_elites
from gateway.domain.training_pairs import PairSettings

MAX_REPLAY = 0.9
RETRY_SECONDS = (60.0, 300.0, 900.0)
"""How long each further try is waited for, where a job failed in a way that may pass."""


@dataclass(frozen=True)
class EliteSource:
    """The elites of a search that a model learns from."""

    search_id: str
    through_cycle: int
    """Those of closed cycles up to this one."""
    known_through: int | None = None
    """Elites up to this cycle were learnt before; None: of no cycle."""
    replay: float = 0.0
    """Of the deltas that are learnt from, at most this share is of those learnt before, in [0, 0.9]."""
    deltas: EliteDeltas = EliteDeltas.IMPROVEMENTS


@dataclass(frozen=True)
class GivenPair:
    """A pair that a caller sent, its delta applied: what it said is in nothing but `target_source`."""

    dataset: str
    baseline_source: str
    target_source: str
    baseline_accuracy: float | None = None


@dataclass(frozen=True)
class GivenPairs:
    """The pairs of a caller, by their number and digest; they themselves go when the job has ended."""

    count: int
    sha256: str


def digest_of_pairs(pairs: Sequence[GivenPair]) -> GivenPairs | None:
    """What is kept of pairs; None of none."""
    if not pairs:
        return None
    text = json.dumps([astuple(pair) for pair in pairs], ensure_ascii=True).encode()
    return GivenPairs(len(pairs), hashlib.sha256(text).hexdigest())


@dataclass(frozen=True)
class FineTuneRequest:
    """What was asked for. At least one of `elites`, `pairs` and `given` is set."""

    model: str
    parent_adapter: str | None
    settings: dict[str, Any]
    """Preset, seed, and what the preset shall not decide, by the names of FineTuneSettings."""
    elites: EliteSource | None = None
    pairs: PairSettings | None = None
    given: GivenPairs | None = None


@dataclass(frozen=True)
class FineTuneRecord:
    """A job as stored."""

    id: str
    """Of the job, of its adapter, and of both at the generator."""
    tenant: str
    request: FineTuneRequest
    after_cycle: int | None
    """Set where a search asked for it when this cycle had closed; the search is that of its elites."""
    state: FineTuneState
    phase: str
    """While it runs: `pairing`, or a phase of FineTuneStatus; else empty."""
    chats: dict[str, Any] | None
    """How many were made of what, once they are."""
    progress: dict[str, Any] | None
    """Steps, losses, speed, as the generator last told them."""
    is_submitted: bool
    """Whether the generator has the job."""
    is_lent: bool
    """Whether hosts of agents train it, and the generator only keeps what they need."""
    weights_sha256: str | None
    """Of a lent job's model, where its adapter is to be used."""
    events_seen: int
    """The last event of the generator's that is in the log."""
    retries: int
    """How often it was, or is about to be, tried again."""
    retry_at: datetime | None
    """Set while it waits for its next try."""
    waiting_for: str | None
    failure: FineTuneFailure | None
    result: FineTuneResult | None
    has_adapter: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


def retry_delay(failure: FineTuneFailure | None, retries: int) -> float | None:
    """Seconds until a failed job that was tried again so often is tried once more; None: it has failed."""
    if failure is None or not failure.retryable or retries >= len(RETRY_SECONDS):
        return None
    return RETRY_SECONDS[retries]


def retry_sentence(failure: FineTuneFailure | None, retries: int) -> str:
    """What a job waits for that is about to be tried again."""
    reason = "" if failure is None else f" after {failure.reason}: {failure.message} {failure.remedy}"
    return f"try {retries} of {len(RETRY_SECONDS)}{reason}"


class ChatKind(StrEnum):
    """Where a training chat is from."""

    ELITE = "elite"
    REPLAYED = "replayed"
    LEMUR = "lemur"
    MUTATION = "mutation"
    GIVEN = "given"


@dataclass
class ChatTally:
    """Training chats by where they are from; those left out by reason."""

    made: dict[ChatKind, int] = field(default_factory=lambda: dict.fromkeys(ChatKind, 0))
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count chats that did not come about."""
        if count:
            self.left_out[reason] = self.left_out.get(reason, 0) + count

    @property
    def document(self) -> dict[str, Any]:
        """As it is stored and shown."""
        return {**{kind.value: count for kind, count in self.made.items()}, "left_out": dict(self.left_out)}


@dataclass(frozen=True)
class ElitePair:
    """An elite, and the parent that its delta starts from."""

    kind: ChatKind
    parent: Slot
    elite: Slot


def elite_pairs(population: Sequence[Slot], count: int, source: EliteSource, seed: int) -> list[ElitePair]:
    """The pairs of a source, those learnt for the first time before those replayed; none comes twice.

    `count` is how many elites the search keeps. A baseline that is elite has no delta.
    """
    pairs = {
        key: ends
        for key, ends in _changes(population, count, source.through_cycle).items()
        if source.deltas is EliteDeltas.ALL or _improves(*ends)
    }
    known = () if source.known_through is None else _changes(population, count, source.known_through)
    fresh = [ElitePair(ChatKind.ELITE, *ends) for key, ends in pairs.items() if key not in known]
    old = [ElitePair(ChatKind.REPLAYED, *ends) for key, ends in pairs.items() if key in known]
    return fresh + _replayed(old, len(fresh), source, seed)


def count_not_improving(population: Sequence[Slot], count: int, source: EliteSource) -> int:
    """How many deltas that led to elites are left aside, because the parent was as good."""
    if source.deltas is EliteDeltas.ALL:
        return 0
    changes = _changes(population, count, source.through_cycle)
    return sum(not _improves(*ends) for ends in changes.values())


def ever_elite(population: Sequence[Slot], count: int, through_cycle: int) -> list[Slot]:
    """Who was elite when one of the cycles up to this one closed, in slot order; baselines left out."""
    found: dict[str, Slot] = {}
    for cycle in range(through_cycle + 1):
        for slot in select_elites(as_of(population, cycle), count):
            found[slot.proposal_id] = slot
    return sorted(
        (slot for slot in found.values() if not slot.is_baseline), key=lambda one: (one.cycle, one.slot)
    )


def _changes(
    population: Sequence[Slot], count: int, through_cycle: int
) -> dict[tuple[str | None, str | None], tuple[Slot, Slot]]:
    """Parents and elites by their sources: the same change of the same network is learnt once."""
    by_id = {slot.proposal_id: slot for slot in as_of(population, through_cycle)}
    ends = [
        (by_id[slot.parent_id], by_id[slot.proposal_id])
        for slot in ever_elite(population, count, through_cycle)
        if slot.parent_id is not None
    ]
    return {(parent.candidate_id, elite.candidate_id): (parent, elite) for parent, elite in ends}


def _improves(parent: Slot, elite: Slot) -> bool:
    if parent.score is None or elite.score is None:
        return False
    return elite.score.believed > parent.score.believed


def _replayed(old: list[ElitePair], fresh: int, source: EliteSource, seed: int) -> list[ElitePair]:
    room = int(fresh * source.replay / (1 - source.replay) + 1e-9)
    drawn = sorted(
        old, key=lambda pair: derive_number("replay", seed, source.through_cycle, pair.elite.candidate_id)
    )
    return drawn[:room]
