"""Draws mutations, composes one to three of them, verifies the result, and writes it as a delta.

Pure: the same baseline source, seed and options give the same proposal, bit for bit. The operators
decide what could change; this file decides what is kept.
"""

import random
from collections.abc import Iterator, Mapping
from typing import Any

from contracts.edit_regions import forbidden_places
from contracts.proposals import EditPermissions, Proposal, ProposalRequest, ProposalSlot
from contracts.source_rules import SourceRejected
from generator_svc.answers import AnswerRules, broken_limit
from generator_svc.deltas import canonical_delta
from generator_svc.proposers.mutation.catalogue import OPERATORS
from generator_svc.proposers.mutation.operators import Change, Operator
from generator_svc.proposers.mutation.options import MutationOptions, read_options
from generator_svc.proposers.mutation.subject import Subject, subject_of
from generator_svc.proposers.mutation.verification import is_sound

MAX_DRAWS = 40
"""Draws of one operator and one site for a proposal; unsound and empty ones count."""
MAX_FORBIDDEN_DRAWS = 120
"""Further draws that only went where no edits are allowed; they cost no symbolic run."""
MAX_FORBIDDEN_CHARACTERS = 500_000
"""In all sources thrown away so, beyond the first LEAST_FORBIDDEN_DRAWS: long ones take their time."""
LEAST_FORBIDDEN_DRAWS = 16

_NOTHING_ALLOWED = "nothing to propose within the allowed regions"
_NOTHING_DEPLOYABLE = "nothing to propose within the deployment limits"
_NOTHING_SOUND = "no sound mutation found in the draws allowed"

DEFAULT_WEIGHTS = {operator.name: operator.weight for operator in OPERATORS}


class MutationProposer:
    """A Proposer without a language model. Stateless but for remembered syntax trees."""

    name = "mutation"

    def check_options(self, options: Mapping[str, Any], adapter: str | None = None) -> None:
        """Raise OptionsInvalid unless the options name known operators and sane counts; nothing adapts."""
        del adapter
        read_options(options, DEFAULT_WEIGHTS)

    def propose(self, request: ProposalRequest) -> Iterator[Proposal]:
        """For each slot a delta of 1 to 3 mutations, or a `failure`. Raises OptionsInvalid at once."""
        options = read_options(request.options, DEFAULT_WEIGHTS)
        rules = AnswerRules.of_request(request)
        return (self._proposal(slot, options, rules) for slot in request.slots)

    def _proposal(self, slot: ProposalSlot, options: MutationOptions, rules: AnswerRules) -> Proposal:
        try:
            subject = subject_of(slot.baseline_source)
            drawing = _Drawing(subject, _seeded(slot.seed), options, rules)
            changes = drawing.compose()
        except SourceRejected as error:
            return self._failure(slot, f"the baseline cannot be mutated: {error.message}")
        except RecursionError:
            return self._failure(slot, "the baseline nests too deep to be mutated")
        if len(changes) < options.fewest:
            return self._failure(slot, drawing.reason())
        delta = canonical_delta(slot.baseline_source, changes[-1].source)
        return Proposal(slot.slot, self.name, delta, "; ".join(change.summary for change in changes))

    def _failure(self, slot: ProposalSlot, reason: str) -> Proposal:
        return Proposal(slot.slot, self.name, "", "", reason)


def _seeded(seed: int) -> random.Random:
    """Repeatable on purpose: a replay must draw the same."""
    return random.Random(seed)  # noqa: S311


class _Drawing:
    """The draws of one proposal."""

    def __init__(
        self, baseline: Subject, rng: random.Random, options: MutationOptions, rules: AnswerRules
    ) -> None:
        self._baseline = baseline
        self._rng = rng
        self._options = options
        self._rules = rules
        self._forbidden = 0
        """Draws that went where the search allows no edits."""
        self._undeployable = 0
        """Sound draws that broke a deployment limit."""

    def compose(self) -> list[Change]:
        """Sound changes, each made to the source of the one before, by as many different operators."""
        wanted = self._rng.randint(self._options.fewest, self._options.most)
        operators = self._usable_operators()
        changes: list[Change] = []
        subject = self._baseline
        draws = min(MAX_DRAWS, self._baseline.affordable_runs // self._runs_of_a_draw())
        most_forbidden = _forbidden_draws(self._baseline.source)
        weights = dict(self._options.weights)
        while draws and self._forbidden < most_forbidden and operators and len(changes) < wanted:
            operator = self._rng.choices(operators, [weights[one.name] for one in operators])[0]
            change = _draw(operator, subject, self._rng)
            if self._rules.edits != EditPermissions():
                # Soon the draws fall on operators that do find something where they may.
                weights[operator.name] /= 2
            if change is not None and self._is_forbidden(change):
                self._forbidden += 1
                continue
            draws -= 1
            if change is None or not self._is_fit(change):
                continue
            changes.append(change)
            subject = subject_of(change.source)
            spent = {operator.name, *operator.never_with}
            operators = [one for one in operators if one.name not in spent]
        return changes

    def _runs_of_a_draw(self) -> int:
        """Symbolic runs at most: for its soundness, and for its costs where these are limited."""
        limits = self._rules.deployment
        return 2 if limits.max_parameters is limits.max_flops is None else 4

    def reason(self) -> str:
        """Why too few changes were found."""
        if self._undeployable:
            return _NOTHING_DEPLOYABLE
        return _NOTHING_ALLOWED if self._forbidden else _NOTHING_SOUND

    def _usable_operators(self) -> list[Operator]:
        return [
            operator
            for operator in OPERATORS
            if self._options.weights[operator.name] > 0
            and (self._baseline.is_proven or not operator.needs_proof)
        ]

    def _is_forbidden(self, change: Change) -> bool:
        try:
            return bool(forbidden_places(self._baseline.source, change.source, self._rules.edits))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            # No program at all is a matter of soundness.
            return False

    def _is_fit(self, change: Change) -> bool:
        """Whether it is sound, and within what the search may deploy."""
        if change.source == self._baseline.source or not is_sound(change.source, self._baseline):
            return False
        is_deployable = not broken_limit(change.source, self._rules)[0]
        self._undeployable += not is_deployable
        return is_deployable


def _forbidden_draws(source: str) -> int:
    """How many draws may be lost to permissions; counted, not timed, so that a replay draws alike."""
    affordable = MAX_FORBIDDEN_CHARACTERS // max(len(source), 1)
    return min(MAX_FORBIDDEN_DRAWS, max(LEAST_FORBIDDEN_DRAWS, affordable))


def _draw(operator: Operator, subject: Subject, rng: random.Random) -> Change | None:
    sites = operator.sites(subject)
    return rng.choice(sites)(rng) if sites else None
