"""What became of each proposal of an arm, read off the documents of a search. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

Json = dict[str, Any]

ANSWERS = frozenset({"proposal", "repair"})
"""Roles of a model's calls that answer with a delta or a source."""
INFRASTRUCTURE = "infrastructure"


class Outcome(StrEnum):
    """The end of a proposal. The last two are in no share."""

    VALID = "valid"
    """Novel, trained and scored."""
    VALID_COPY = "valid_copy"
    """A copy, which a search does not train; asked for outside it, it was trained and scored."""
    COPY = "copy"
    """A copy that fails, or that nobody tried."""
    REFUSED = "refused"
    FAILED = "failed"
    LOST = "lost"
    """The platform's fault."""
    SKIPPED = "skipped"

    @property
    def counts(self) -> bool:
        """Whether it is in the denominator of a share."""
        return self not in {Outcome.LOST, Outcome.SKIPPED}


_BY_STATE = {
    "judged": Outcome.VALID,
    "duplicate": Outcome.COPY,
    "refused": Outcome.REFUSED,
    "failed": Outcome.FAILED,
    "lost": Outcome.LOST,
    "skipped": Outcome.SKIPPED,
}


@dataclass(frozen=True)
class ProposalRecord:
    """One proposal. Tokens are None where a call did not say; accuracy is on the selection half."""

    arm: str
    seed: int
    cycle: int
    slot: int
    proposal_id: str
    parent: str
    outcome: Outcome
    reason: str
    """Of what is not valid: the applier's code, the failure with its phase or resource, `copy`."""
    accuracy: float | None
    calls: int
    repairs: int
    first_completion_tokens: int | None
    completion_tokens: int | None
    prompt_tokens: int | None
    cut: bool
    """Whether the last answer ended because it had all the tokens that it may have."""
    seconds: float

    @property
    def is_valid(self) -> bool:
        """Whether the network trains and is scored, new or not."""
        return self.outcome in {Outcome.VALID, Outcome.VALID_COPY}

    @property
    def document(self) -> Json:
        """As a line of the results."""
        return {"kind": "proposal", **asdict(self)}


def proposal_record(arm: str, seed: int, candidate: Json, copy: Json | None = None) -> ProposalRecord:
    """Of one candidate as the search API gives it with its calls, and the evaluation of a copy, if any."""
    calls: Sequence[Json] = candidate.get("calls") or ()
    answers = [call for call in calls if call["role"] in ANSWERS]
    outcome, reason = _outcome(candidate, copy)
    return ProposalRecord(
        arm=arm,
        seed=seed,
        cycle=candidate["cycle"],
        slot=candidate["slot"],
        proposal_id=candidate["proposal_id"],
        parent=(candidate["parent"] or {}).get("name", ""),
        outcome=outcome,
        reason=reason,
        accuracy=candidate["accuracy"],
        calls=len(calls),
        repairs=sum(call["role"] == "repair" for call in calls),
        first_completion_tokens=answers[0]["completion_tokens"] if answers else None,
        completion_tokens=_sum(call["completion_tokens"] for call in calls),
        prompt_tokens=_sum(call["prompt_tokens"] for call in calls),
        cut=bool(answers) and answers[-1]["finish_reason"] == "length",
        seconds=sum(call["seconds"] for call in calls),
    )


def taxonomy(records: Iterable[ProposalRecord]) -> dict[str, int]:
    """How often each end was met, the most frequent first: `refused: hunk_unplaceable`, `valid`, …"""
    ends = Counter(
        f"{one.outcome.value}: {one.reason}" if one.reason else one.outcome.value for one in records
    )
    return dict(sorted(ends.items(), key=lambda found: (-found[1], found[0])))


def _outcome(candidate: Json, copy: Json | None) -> tuple[Outcome, str]:
    outcome = _BY_STATE[candidate["state"]]
    failure = candidate["failure"] or {}
    if outcome is Outcome.COPY:
        return _copy_outcome(copy)
    if outcome is Outcome.VALID:
        return outcome, ""
    code = failure.get("code") or candidate["delta_code"] if outcome is Outcome.REFUSED else _name(failure)
    return outcome, str(code or failure.get("reason") or "")


def _copy_outcome(copy: Json | None) -> tuple[Outcome, str]:
    if copy is None:
        return Outcome.COPY, "not tried"
    if copy["state"] == "succeeded":
        return Outcome.VALID_COPY, ""
    failure = copy["failure"] or {}
    if failure.get("reason") == INFRASTRUCTURE or copy["state"] == "cancelled":
        return Outcome.LOST, "copy"
    return Outcome.COPY, _name(failure)


def _name(failure: Json) -> str:
    """`timeout (train)`: reason, and what ran out or when."""
    finer = failure.get("code") or failure.get("phase") or failure.get("resource")
    return f"{failure.get('reason', '')} ({finer})" if finer else str(failure.get("reason", ""))


def _sum(numbers: Iterable[int | None]) -> int | None:
    """None where one is not known."""
    found = list(numbers)
    return None if None in found else sum(number for number in found if number is not None)
