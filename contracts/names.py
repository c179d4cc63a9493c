"""Names that every service spells the same way."""

from enum import StrEnum

MAX_SOURCE_BYTES = 64 * 1024
"""An architecture source is at most this long; LEMUR's 99th percentile is 21 KB."""

MAX_LITERAL_BYTES = 4 * 1024
"""No literal in a source is longer: it keeps a memorised label table out (promise 1)."""

MAX_SOURCE_INFORMATION_BYTES = 8 * 1024
"""A source, compressed, is at most this long; LEMUR's 99th percentile is 4.8 KB. Less than one bit for each
image of a usual data set: what `strict` redraws from cannot be memorised, wherever in a source it hides."""

MAX_HYPERPARAMETERS_BYTES = 2 * 1024
"""All hyperparameters of a request, as JSON: they reach the candidate and must not carry a table."""

MAX_SYNTAX_DEPTH = 120
"""Nesting of the syntax tree; deeper sources would overflow the parsers that walk them."""

MAX_DELTA_BYTES = 128 * 1024
"""The text of a proposal: an LLM's whole answer, prose included."""

MAX_PREDICT_BATCH = 256
"""Evaluation images leave the host in batches of at most this many."""

EXTERNAL_PROPOSER = "external"
"""The proposer of a search whose proposals outside agents send in; no service is asked for them."""

STANDARD_DATASETS = (
    "mnist",
    "fashion-mnist",
    "cifar-10",
    "cifar-100",
    "svhn",
    "imagenette",
    "celeba-gender",
)


class SourceContract(StrEnum):
    """Which of the two architecture contracts (docs/user-guide.md) a source follows."""

    PLAIN = "plain"
    LEMUR = "lemur"


class EvaluationState(StrEnum):
    """Where an evaluation is; the last three are terminal."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the state can never change again."""
        return self in {EvaluationState.SUCCEEDED, EvaluationState.FAILED, EvaluationState.CANCELLED}


class AttemptState(StrEnum):
    """One run in one sandbox, as the gateway's queue sees it."""

    QUEUED = "queued"
    LEASED = "leased"
    REPORTED = "reported"
    LOST = "lost"
    RELEASED = "released"
    """Given back unfinished by an agent that had to stop: tried again, and no loss."""
    CANCELLED = "cancelled"


class SearchState(StrEnum):
    """Where a search is; `paused` can be resumed, the last three are terminal."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the state can never change again."""
        return self in {SearchState.SUCCEEDED, SearchState.FAILED, SearchState.CANCELLED}


class SlotState(StrEnum):
    """How far one slot of a cycle has come. Each state is stored before the next step starts.

    `refused`, `duplicate`, `failed` and `judged` end a slot. `lost` ends it too, by the platform's fault,
    and `skipped` before anything was proposed, when the search had spent what it may: both keep out of
    every rate's denominator.
    """

    PENDING = "pending"
    PROPOSED = "proposed"
    REFUSED = "refused"
    APPLIED = "applied"
    TRACING = "tracing"
    DUPLICATE = "duplicate"
    NOVEL = "novel"
    EVALUATING = "evaluating"
    FAILED = "failed"
    JUDGED = "judged"
    LOST = "lost"
    SKIPPED = "skipped"

    @property
    def is_final(self) -> bool:
        """Whether the cycle waits no longer for this slot."""
        return self in {
            SlotState.REFUSED,
            SlotState.DUPLICATE,
            SlotState.FAILED,
            SlotState.JUDGED,
            SlotState.LOST,
            SlotState.SKIPPED,
        }


class AttemptKind(StrEnum):
    """What an attempt asks of the sandbox. Only `evaluate` is scored."""

    EVALUATE = "evaluate"
    SMOKE = "smoke"
    TRACE = "trace"


class Integrity(StrEnum):
    """`standard` scores on the official split; `strict` redraws the split secretly (promise 1)."""

    STANDARD = "standard"
    STRICT = "strict"


class ScoredOn(StrEnum):
    """Which evaluation images `accuracy` is about.

    `all` outside a search; `selection_half` within one (then `audit_accuracy` is the sealed half).
    """

    ALL = "all"
    SELECTION_HALF = "selection_half"


class IsolationTier(StrEnum):
    """Named in every result, weakest first in `STRENGTH`."""

    NAMESPACES = "namespaces"
    DOCKER_RUNC = "docker+runc"
    DOCKER_RUNSC = "docker+runsc"

    @property
    def strength(self) -> int:
        """Larger is stronger."""
        return (IsolationTier.NAMESPACES, IsolationTier.DOCKER_RUNC, IsolationTier.DOCKER_RUNSC).index(self)


class NoveltyLayer(StrEnum):
    """The layer of the novelty filter that recognised a copy."""

    EXACT = "exact"
    STRUCTURE = "structure"
    JACCARD = "jaccard"


class StructureComparison(StrEnum):
    """What the structure layer of the novelty filter could do for a source."""

    COMPARED = "compared"
    NOT_TRACED = "not_traced"
    """No graph came with the source: the other layers decided alone."""
    UNDECIDED = "undecided"
    """The graph has too many like parts to be compared in time: the other layers decided alone."""
    OFF = "off"
    """The request asked for no structure layer."""
