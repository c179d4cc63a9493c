"""Draws mutations, composes one to three of them, verifies the result, and writes it as a delta.

Pure: the same baseline source, seed and options give the same proposal, bit for bit. The operators
decide what could change; this file decides what is kept.
"""

import random
from collections.abc import Mapping
from typing import Any

from contracts.jobs import Proposal, ProposalRequest, ProposalSlot
from contracts.source_rules import SourceRejected
from generator_svc.deltas import canonical_delta
from generator_svc.proposers.mutation.catalogue import OPERATORS
from generator_svc.proposers.mutation.operators import Change, Operator
from generator_svc.proposers.mutation.options import MutationOptions, read_options
from generator_svc.proposers.mutation.subject import Subject, subject_of
from generator_svc.proposers.mutation.verification import is_sound

MAX_DRAWS = 40
"""Draws of one operator and one site for a proposal; unsound and empty ones count."""

DEFAULT_WEIGHTS = {operator.name: operator.weight for operator in OPERATORS}


class MutationProposer:
    """A Proposer without a language model. Stateless but for remembered syntax trees."""

    name = "mutation"

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise OptionsInvalid unless the options name known operators and sane counts."""
        read_options(options, DEFAULT_WEIGHTS)

    def propose(self, request: ProposalRequest, slot: ProposalSlot) -> Proposal:
        """One delta of 1 to 3 mutations, or a Proposal with `failure`. Raises OptionsInvalid."""
        options = read_options(request.options, DEFAULT_WEIGHTS)
        try:
            changes = _compose(subject_of(slot.baseline_source), _seeded(slot.seed), options)
        except SourceRejected as error:
            return self._failure(slot, f"the baseline cannot be mutated: {error.message}")
        except RecursionError:
            return self._failure(slot, "the baseline nests too deep to be mutated")
        if len(changes) < options.fewest:
            return self._failure(slot, "no sound mutation found in the draws allowed")
        delta = canonical_delta(slot.baseline_source, changes[-1].source)
        return Proposal(slot.slot, self.name, delta, "; ".join(change.summary for change in changes))

    def _failure(self, slot: ProposalSlot, reason: str) -> Proposal:
        return Proposal(slot.slot, self.name, "", "", reason)


def _seeded(seed: int) -> random.Random:
    """Repeatable on purpose: a replay must draw the same."""
    return random.Random(seed)  # noqa: S311


def _compose(baseline: Subject, rng: random.Random, options: MutationOptions) -> list[Change]:
    """Sound changes, each made to the source of the one before, by as many different operators."""
    wanted = rng.randint(options.fewest, options.most)
    operators = [
        operator
        for operator in OPERATORS
        if options.weights[operator.name] > 0 and (baseline.is_proven or not operator.needs_proof)
    ]
    changes: list[Change] = []
    subject = baseline
    for _ in range(min(MAX_DRAWS, baseline.affordable_runs // 2)):
        if len(changes) == wanted or not operators:
            break
        operator = rng.choices(operators, [options.weights[one.name] for one in operators])[0]
        change = _draw(operator, subject, rng)
        if change is None or change.source == baseline.source or not is_sound(change.source, baseline):
            continue
        changes.append(change)
        subject = subject_of(change.source)
        spent = {operator.name, *operator.never_with}
        operators = [one for one in operators if one.name not in spent]
    return changes


def _draw(operator: Operator, subject: Subject, rng: random.Random) -> Change | None:
    sites = operator.sites(subject)
    return rng.choice(sites)(rng) if sites else None
