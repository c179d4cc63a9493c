"""Part c: how many tokens a proposal takes, as a delta and as a whole source."""

from collections.abc import Mapping, Sequence
from typing import Any

from llm.intervals import bootstrap_mean, ratio_of_means
from llm.plan import ShareArm
from llm.records import ProposalRecord

Json = dict[str, Any]

_AMOUNTS = ("first_completion_tokens", "completion_tokens", "prompt_tokens")


def token_summary(records: Mapping[ShareArm, Sequence[ProposalRecord]], seed: int) -> Json:
    """Tokens of first answers, of all answers with repairs, of prompts; and delta over source."""
    return {
        "arms": {arm.value: _arm(found, seed) for arm, found in records.items()},
        "delta_over_source": {
            when: {
                amount: ratio_of_means(_of(records[arms[0]], amount), _of(records[arms[1]], amount), seed)
                for amount in _AMOUNTS
            }
            for when, arms in {
                "before": (ShareArm.DELTA_BEFORE, ShareArm.SOURCE_BEFORE),
                "after": (ShareArm.DELTA_AFTER, ShareArm.SOURCE_AFTER),
            }.items()
            if all(arm in records for arm in arms)
        },
    }


def _arm(records: Sequence[ProposalRecord], seed: int) -> Json:
    counted = [one for one in records if one.outcome.counts]
    spent = sum(_of(counted, "completion_tokens"))
    valid = sum(one.is_valid for one in counted)
    return {
        **{amount: bootstrap_mean(_of(counted, amount), seed) for amount in _AMOUNTS},
        "completion_tokens_per_valid": spent / valid if valid else None,
        "proposals_cut": sum(one.cut for one in counted),
        "unknown": sum(one.completion_tokens is None for one in counted),
        "model_seconds": sum(one.seconds for one in counted),
    }


def _of(records: Sequence[ProposalRecord], amount: str) -> list[float]:
    """What is known of it."""
    return [getattr(one, amount) for one in records if getattr(one, amount) is not None]
