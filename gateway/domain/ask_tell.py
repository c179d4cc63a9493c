"""Who holds an open slot, and what may be told: leases of outside agents. Pure; the clock is passed in.

An agent asks and is given tasks: open slots, each under a lease. Without a heartbeat a lease lapses, and its
slot may be given to somebody else. What counts in the end is one answer for each slot: a lapsed lease whose
slot nobody else holds can still be told.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from contracts.names import EXTERNAL_PROPOSER
from contracts.proposals import AnswerForm

MAX_TASKS = 8
"""In one answer to an agent that asks."""
LEASE_SECONDS = (10.0, 3600.0)
"""The shortest and the longest lease that an agent may ask for."""
DEFAULT_LEASE_SECONDS = 300.0


@dataclass(frozen=True)
class Lease:
    """One task: an open slot in the hands of one agent. A slot that lapsed has several of them in the end."""

    task_id: str
    search_id: str
    proposal_id: str
    agent: str
    """As the agent names itself; may be empty."""
    lease_seconds: float
    """What a heartbeat extends it to, from then on."""
    expires_at: datetime
    told_at: datetime | None = None
    told_digest: str | None = None
    """Of the answer that was accepted for this task."""

    def holds(self, now: datetime) -> bool:
        """Whether nobody else may be given the slot.

        A lease that ends further ahead than it ever lasts was given before the clock was set back: how long
        ago nobody knows, so it holds nothing until a heartbeat renews it. Another length is for clocks that
        differ.
        """
        latest = end_of_lease(now, 2 * self.lease_seconds)
        return self.told_at is None and now < self.expires_at <= latest

    @property
    def was_told_late(self) -> bool:
        """Whether its answer came after it had lapsed, or had been given back."""
        return self.told_at is not None and self.told_at >= self.expires_at


@dataclass(frozen=True)
class AgentAnswer:
    """What an agent tells: untrusted, as any proposer's answer."""

    form: AnswerForm
    text: str
    summary: str

    @property
    def digest(self) -> str:
        """Tells one answer from another; hex."""
        digest = hashlib.sha256()
        for part in (self.form.value, self.text, self.summary):
            content = part.encode("utf-8", "surrogatepass")
            digest.update(len(content).to_bytes(8, "big") + content)
        return digest.hexdigest()


class TellVerdict(StrEnum):
    """What becomes of an answer. The last two are refused, by these names."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    """The same answer was accepted before: nothing changes, and nothing is wrong."""
    ALREADY_TOLD = "already_told"
    LEASE_LOST = "lease_lost"


def judge_answer(
    lease: Lease, answer: AgentAnswer, slot_is_open: bool, leases: Iterable[Lease], now: datetime
) -> TellVerdict:
    """Whether an answer for `lease` is accepted; `leases` are all of the search that may hold a slot."""
    if lease.told_digest is not None:
        return TellVerdict.REPEATED if lease.told_digest == answer.digest else TellVerdict.ALREADY_TOLD
    return TellVerdict.ACCEPTED if may_keep(lease, slot_is_open, leases, now) else TellVerdict.LEASE_LOST


def may_keep(lease: Lease, slot_is_open: bool, leases: Iterable[Lease], now: datetime) -> bool:
    """Whether an agent may go on with its task: nobody else has answered for its slot or holds it now."""
    others = (
        other for other in leases if other.proposal_id == lease.proposal_id and other.task_id != lease.task_id
    )
    return slot_is_open and not any(other.holds(now) for other in others)


def free_slots(open_slots: Sequence[str], leases: Iterable[Lease], now: datetime) -> list[str]:
    """Those of the open slots, in their order, that no agent holds."""
    held = {lease.proposal_id for lease in leases if lease.holds(now)}
    return [slot for slot in open_slots if slot not in held]


def end_of_lease(now: datetime, lease_seconds: float) -> datetime:
    """When a lease that is given or renewed now lapses."""
    return now + timedelta(seconds=lease_seconds)


def proposer_name(agent: str) -> str:
    """How a slot names who answered for it."""
    return f"{EXTERNAL_PROPOSER}/{agent}" if agent else EXTERNAL_PROPOSER
