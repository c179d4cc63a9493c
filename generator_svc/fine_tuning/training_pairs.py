"""Makes training pairs: a baseline and a better network, or a mutant of it, become a chat.

Nothing is learnt that a search would refuse: both networks meet the rules and follow one contract, and the
answer, as the model is to write it, has been applied to the baseline and gave the target's code. Blank lines,
comments and spaces that differ are not learnt: the target is first laid out as the baseline is.
"""

from dataclasses import dataclass

from contracts.proposals import ProposalRequest, ProposalSlot
from contracts.source_rules import SourceRejected, check_source
from contracts.training_pairs import PairLeftOut, PairOrder, TrainingPair, TrainingPairLine
from generator_svc.deltas import apply_delta, canonical_delta
from generator_svc.deltas.canonical import source_lines
from generator_svc.deltas.layout import in_layout_of
from generator_svc.prompts import PROMPT_VERSION, delta_answer, delta_prompt
from generator_svc.proposers import Proposer

FILE_HEADERS = 2


@dataclass(frozen=True)
class Lengths:
    """How many lines a delta may have, its file headers apart."""

    fewest: int = 5
    most: int = 60


class _LeftOut(Exception):
    """No pair comes of an order; the message is the reason's code."""


def training_pair_line(order: PairOrder, lengths: Lengths, mutation: Proposer) -> TrainingPairLine:
    """The pair, or why there is none. Never raises, whatever the sources are."""
    try:
        return TrainingPairLine(pair=_training_pair(order, lengths, mutation))
    except _LeftOut as reason:
        return TrainingPairLine(left_out=PairLeftOut(order.id, str(reason)))


def _training_pair(order: PairOrder, lengths: Lengths, mutation: Proposer) -> TrainingPair:
    baseline = order.baseline_source
    contract = _contract(baseline, "baseline_invalid")
    target, summary = _target(order, mutation)
    if _contract(target, "target_invalid") != contract:
        raise _LeftOut("contract_differs")
    target = in_layout_of(baseline, target)
    delta = canonical_delta(baseline, target)
    lines = source_lines(delta)[FILE_HEADERS:]
    _check_length(len(lines), lengths)
    answer = delta_answer(delta)
    _check_proof(baseline, answer.content, target)
    return TrainingPair(
        id=order.id,
        prompt_version=PROMPT_VERSION,
        messages=(*delta_prompt(baseline, order.dataset, order.baseline_accuracy), answer),
        delta=delta,
        delta_lines=len(lines),
        changed_lines=sum(line.startswith(("+", "-")) for line in lines),
        summary=summary,
    )


def _contract(source: str, reason: str) -> str:
    try:
        return check_source(source).contract
    except SourceRejected as rejected:
        raise _LeftOut(reason) from rejected


def _target(order: PairOrder, mutation: Proposer) -> tuple[str, str]:
    """The source to reach, and what the proposer says of it, if it is the proposer's."""
    if order.target_source is not None:
        return order.target_source, ""
    slot = ProposalSlot(0, order.seed, order.baseline_source, order.id)
    request = ProposalRequest("", 0, mutation.name, order.dataset, (slot,))
    (proposal,) = mutation.propose(request)
    if proposal.failure:
        raise _LeftOut("no_mutation")
    target = apply_delta(order.baseline_source, proposal.answer).source
    if target is None:
        raise _LeftOut("does_not_apply")
    return target, proposal.summary


def _check_length(lines: int, lengths: Lengths) -> None:
    if lines == 0:
        raise _LeftOut("no_delta")
    if lines < lengths.fewest:
        raise _LeftOut("too_short")
    if lines > lengths.most:
        raise _LeftOut("too_long")


def _check_proof(baseline: str, answer: str, target: str) -> None:
    applied = apply_delta(baseline, answer)
    if applied.reason == "no_op":
        raise _LeftOut("no_delta")
    if applied.source != target:
        raise _LeftOut("does_not_apply")
