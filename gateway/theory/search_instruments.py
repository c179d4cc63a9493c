"""All instruments read off one recorded search: what each is given of it, and nothing more. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contracts.names import SlotState
from contracts.proposals import AnswerForm
from gateway.domain.candidate import Slot
from gateway.theory.cross_entropy import LossChange, read_loss_changes
from gateway.theory.cycle_figures import is_new
from gateway.theory.diversity import (
    CycleDiversity,
    mean_distance,
    read_diversity,
    read_filter_effect,
    sketch_of,
    token_entropy,
)
from gateway.theory.elite_probability import (
    CycleHits,
    count_hits,
    elite_threshold,
    read_elite_probability,
)
from gateway.theory.monotone_quality import read_quality
from gateway.theory.proxy_reliability import read_ceiling_gap, read_reliability, reliability
from gateway.theory.reading import Reading
from gateway.theory.validity import Answer, read_validity, split_by_length
from gateway.theory.variance_components import Replication

LEAST_SEALED_SCORES = 5
"""Of a cycle, so that its mean on the sealed half gives no candidate's own score away."""
_NOT_PROPOSED = {SlotState.LOST, SlotState.SKIPPED}
_WITHOUT_SOURCE = _NOT_PROPOSED | {SlotState.PENDING, SlotState.PROPOSED, SlotState.REFUSED}


@dataclass(frozen=True)
class RecordedAnswer:
    """One whole answer of a language model: its tokens, and whether the slot went on with another one."""

    proposal_id: str
    tokens: int
    is_last: bool
    """False: what it proposed was refused, and the model was asked again."""


@dataclass(frozen=True)
class AuditedScore:
    """A candidate of the random audit: what it scored at first, and when it was trained once more."""

    cycle: int
    proxy: float
    score: float


@dataclass(frozen=True)
class Audit:
    """The random audit of a search."""

    scores: tuple[AuditedScore, ...] = ()
    is_longer: bool = False
    """Whether the second training was longer than the first."""
    elite_share: float = 1.0
    """Of those that were measured, how many are elite."""


@dataclass(frozen=True)
class RecordedSearch:
    """What a search has on disk that instruments look at."""

    slots: tuple[Slot, ...]
    has_ended: bool
    answers: tuple[RecordedAnswer, ...] = ()
    loss_changes: tuple[LossChange, ...] = ()
    sources: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """By cycle, those of a random few of its proposals."""
    runs: tuple[tuple[float, ...], ...] = ()
    """Scores by architecture, where some were trained again with other seeds, as `replication` says."""
    replication: Replication | None = None
    audit: Audit = field(default_factory=Audit)


def read_search(search: RecordedSearch) -> list[Reading]:
    """Every instrument's word, in the order of the paper's results."""
    closed = closed_cycles(search.slots)
    gamma = elite_threshold(
        [s.score.accuracy for s in search.slots if s.is_baseline and s.score and s.score.plausible]
    )
    hits = [] if gamma is None else [_hits(cycle, slots, gamma) for cycle, slots in closed.items()]
    return [
        read_loss_changes(search.loss_changes),
        read_quality(_sealed_scores(closed) if search.has_ended else {}),
        *_read_audited_quality(search.audit),
        *read_elite_probability(hits, gamma),
        _read_validity(search),
        read_diversity(diversity_course(search)),
        read_reliability(search.runs, search.replication),
        *_read_audited_ranking(search),
    ]


def _read_audited_quality(audit: Audit) -> list[Reading]:
    """Mean quality with a seed that selection has not seen; nothing of a search without an audit."""
    by_cycle: dict[int, list[float]] = {}
    for one in audit.scores:
        by_cycle.setdefault(one.cycle, []).append(one.score)
    return [read_quality(by_cycle, "monotone_quality_audit")] if by_cycle else []


def _read_audited_ranking(search: RecordedSearch) -> list[Reading]:
    """How well first scores order what was trained once more; nothing of a search without an audit."""
    audit = search.audit
    if not audit.scores:
        return []
    found = None if search.replication is None else reliability(search.runs, search.replication)
    pairs = [(one.proxy, one.score) for one in audit.scores]
    return read_ceiling_gap(found, pairs, audit.elite_share, is_longer=audit.is_longer)


def diversity_course(search: RecordedSearch) -> list[CycleDiversity]:
    """The diversity of every closed cycle of proposals."""
    closed = closed_cycles(search.slots)
    return [_diversity(cycle, slots, search.sources) for cycle, slots in closed.items()]


def read_filter_pairs(pairs: Sequence[tuple[RecordedSearch, RecordedSearch]]) -> list[Reading]:
    """What the novelty filter adds, from searches with and without it, a pair for a seed.

    Both measures are the same for both: what a filter calls new depends on its threshold, and is not used.
    """
    return [
        read_filter_effect(
            [(_distinct_shares(kept), _distinct_shares(free)) for kept, free in pairs],
            "filter_effect_distinct",
        ),
        read_filter_effect(
            [(_distances(kept), _distances(free)) for kept, free in pairs], "filter_effect_distance"
        ),
    ]


def _distinct_shares(search: RecordedSearch) -> list[float]:
    """By closed cycle, the share of its sources that no earlier slot of the search had, word for word."""
    seen = {slot.candidate_id for slot in search.slots if slot.is_baseline}
    shares = []
    for slots in closed_cycles(search.slots).values():
        proposed = [slot.candidate_id for slot in slots if slot.state not in _WITHOUT_SOURCE]
        fresh = 0
        for candidate in proposed:
            fresh += candidate not in seen
            seen.add(candidate)
        if proposed:
            shares.append(fresh / len(proposed))
    return shares


def _distances(search: RecordedSearch) -> list[float]:
    return [one.mean_distance for one in diversity_course(search) if one.mean_distance is not None]


def closed_cycles(slots: Sequence[Slot]) -> dict[int, list[Slot]]:
    """The slots of every cycle of proposals with nothing open any more, without lost and skipped ones."""
    cycles: dict[int, list[Slot]] = {}
    for slot in slots:
        if not slot.is_baseline:
            cycles.setdefault(slot.cycle, []).append(slot)
    return {
        cycle: [slot for slot in of_it if slot.state not in _NOT_PROPOSED]
        for cycle, of_it in sorted(cycles.items())
        if all(slot.state.is_final for slot in of_it)
    }


def _hits(cycle: int, slots: Sequence[Slot], gamma: float) -> CycleHits:
    return count_hits(cycle, [slot.score.accuracy if slot.score else None for slot in slots], gamma)


def _sealed_scores(cycles: Mapping[int, Sequence[Slot]]) -> dict[int, list[float]]:
    """Scores on the half that selection never saw."""
    scores = {
        cycle: [
            slot.score.audit_accuracy
            for slot in slots
            if slot.score is not None and slot.score.audit_accuracy is not None
        ]
        for cycle, slots in cycles.items()
    }
    return {cycle: values for cycle, values in scores.items() if len(values) >= LEAST_SEALED_SCORES}


def _diversity(cycle: int, slots: Sequence[Slot], sources: Mapping[int, Sequence[str]]) -> CycleDiversity:
    with_source = [slot for slot in slots if slot.state not in _WITHOUT_SOURCE]
    texts = sources.get(cycle, ())
    return CycleDiversity(
        cycle=cycle,
        sources=len(with_source),
        unique=sum(is_new(slot) for slot in with_source),
        mean_distance=mean_distance([sketch_of(text) for text in texts]),
        token_entropy=token_entropy(texts),
    )


def _read_validity(search: RecordedSearch) -> Reading:
    """Deltas of odd cycles predict whole sources of even ones; of one form alone, short ones long ones."""
    by_id = {slot.proposal_id: slot for slot in search.slots}
    arms: dict[AnswerForm, dict[bool, list[Answer]]] = {form: {True: [], False: []} for form in AnswerForm}
    for answer in search.answers:
        slot = by_id.get(answer.proposal_id)
        if slot is None or not slot.state.is_final or slot.state in _NOT_PROPOSED:
            continue
        if answer.is_last and slot.state is SlotState.DUPLICATE:
            continue  # nobody knows whether it would have run
        is_valid = answer.is_last and slot.state is SlotState.JUDGED
        arms[slot.form][slot.cycle % 2 == 1].append(Answer(answer.tokens, is_valid))
    deltas, wholes = arms[AnswerForm.DELTA], arms[AnswerForm.SOURCE]
    if any(deltas.values()) and any(wholes.values()):
        return read_validity(deltas[True], wholes[False], "deltas of odd cycles", "sources of even cycles")
    only = deltas if any(deltas.values()) else wholes
    short, _ = split_by_length(only[True])
    limit = max((answer.length for answer in short), default=0.0)
    long = [answer for answer in only[False] if answer.length > limit]
    return read_validity(short, long, "short answers of odd cycles", "long answers of even cycles")
