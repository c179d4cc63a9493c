"""Work that one service asks of another, and the answers. Every value here is validated at each door."""

from dataclasses import dataclass, field
from typing import Any

from contracts.failures import Failure
from contracts.measurements import Isolation, Limits, Measurement, Provenance, SmokeResult, TraceResult
from contracts.names import (
    AttemptKind,
    Integrity,
    IsolationTier,
    NoveltyLayer,
    ScoredOn,
    StructureComparison,
)

# --- gateway → runner, through the agent -------------------------------------------------------


@dataclass(frozen=True)
class AttemptSpec:
    """One run in one sandbox. The keys are secret hex strings, journalled by the gateway for replay."""

    attempt_id: str
    evaluation_id: str
    fence: int
    """Grows with every attempt of an evaluation; a report with a stale fence is refused."""
    kind: AttemptKind
    source: str
    dataset: str
    epochs: int
    seed: int
    train_images: int | None
    """Cuts the training split; the subset depends on the dataset alone. None = all."""
    hyperparameters: dict[str, float | int | str | bool]
    limits: Limits
    threads: int
    device: str
    integrity: Integrity
    minimum_tier: IsolationTier
    scored_on: ScoredOn
    split_key: str
    """Draws the strict split and the two halves. The same within a search."""
    shuffle_key: str
    """Orders the evaluation images of this attempt."""
    minimum_gpu_memory_bytes: int = 0
    """The GPU that is lent to it has at least so much; 0: any."""


@dataclass(frozen=True)
class AttemptOutcome:
    """What the runner says of a finished attempt: a measurement, a smoke result, a trace or a failure."""

    attempt_id: str
    fence: int
    measurement: Measurement | None
    failure: Failure | None
    isolation: Isolation | None
    provenance: Provenance | None
    flags: tuple[str, ...] = ()
    log: str = ""
    """stdout and stderr, bounded, control characters escaped. Untrusted."""
    smoke: SmokeResult | None = None
    """Of an attempt of the kind `smoke`, and of no other."""
    trace: TraceResult | None = None
    """Of an attempt of the kind `trace`, and of no other."""


@dataclass(frozen=True)
class AttemptStatus:
    """The runner's answer about an attempt: `running` with a phase, or `finished` with an outcome."""

    attempt_id: str
    state: str
    phase: str
    outcome: AttemptOutcome | None = None


BEING_PROVEN = "being proven"
"""Stands in the problems of a backend that is neither found fit nor unfit yet."""


@dataclass(frozen=True)
class BackendReport:
    """One sandbox backend and whether its probe passed at start; `problems` say what to mend, and how."""

    name: str
    tier: IsolationTier
    available: bool
    problems: tuple[str, ...] = ()
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetReport:
    """One dataset pack. `input_shape` is (channels, height, width)."""

    name: str
    ready: bool
    input_shape: tuple[int, int, int] | None = None
    classes: int | None = None
    train_images: int | None = None
    evaluation_images: int | None = None
    content_hash: str | None = None
    source: str = ""
    problem: str = ""
    """Why it is not ready, and the command that prepares it."""


@dataclass(frozen=True)
class RunnerCapabilities:
    """What one runner host offers."""

    backends: tuple[BackendReport, ...]
    tier: IsolationTier | None
    """The strongest available tier, or None: then nothing runs."""
    slots: int
    """Attempts at a time."""
    threads_per_slot: int
    devices: tuple[str, ...]
    datasets: tuple[DatasetReport, ...]
    environment_digest: str
    gpu_memory_bytes: tuple[int, ...] = ()
    """How much each GPU has, `cuda:0` first; none of a runner that does not tell."""
    lent_gpus: int = 0
    """GPUs that an attempt has now."""
    warm_sandboxes: int = 0
    """Sandboxes that wait for an attempt, fully imported."""


@dataclass(frozen=True)
class AgentHeartbeat:
    """An agent says what its host can do; the gateway answers with nothing but 204."""

    capabilities: RunnerCapabilities
    """With no slots while the agent drains: then it takes nothing new on."""
    queue: str = ""
    """Where in the broker it hears of attempts (a `contracts.dispatch.Resource`); empty: it asks here."""


@dataclass(frozen=True)
class ClaimedAttempt:
    """A granted claim: the work, the attempt's token, and how long the lease holds without a heartbeat."""

    spec: AttemptSpec
    token: str
    lease_seconds: float


# --- gateway → generator -----------------------------------------------------------------------


@dataclass(frozen=True)
class HunkReport:
    """How one hunk was placed: 1-based line in the baseline, and what happened."""

    number: int
    status: str
    """`exact`, `moved`, `repaired`, or `refused`."""
    line: int | None
    message: str = ""
    reason: str = ""
    """Of a refused hunk: the code that `AppliedDelta.reason` would have."""
    repairs: tuple[str, ...] = ()
    """What was understood although it was not written so: one short sentence each, such as
    `indentation: shifted by 4 columns`. The words before the colon are the kind, which is counted."""


@dataclass(frozen=True)
class AppliedDelta:
    """Baseline + delta → candidate, or a precise refusal. All hunks or none."""

    status: str
    """`applied` or `refused`."""
    reason: str
    """Empty when applied; else a code: no_diff_found, no_source_found, truncated, hunk_unplaceable,
    ambiguous, syntax_error, no_op, contract_lost, policy_violation, forbidden_region, forbidden_operator,
    too_many_parameters, too_many_flops, too_large."""
    message: str
    """Empty when applied; else a sentence that names lines and the remedy."""
    confidence: float
    source: str | None
    canonical_delta: str | None
    """Re-derived with difflib (3 lines of context) from baseline and result."""
    hunks: tuple[HunkReport, ...] = ()
    repair_prompt: str | None = None
    """Of a refused delta: what to say to the LLM that wrote it; bounded, untrusted text in fences."""


@dataclass(frozen=True)
class ReferenceResult:
    """What others measured of a network on one dataset. Accuracies are fractions in [0, 1]."""

    dataset: str
    first_epoch_accuracy: float | None
    best_accuracy: float
    best_epoch: int
    hyperparameters: dict[str, float | int | str | bool]
    """Of the best run of one epoch where there is one, else of the best run; `transform` is among them."""


@dataclass(frozen=True)
class BaselineNetwork:
    """A reference architecture: shipped with the generator, or imported."""

    name: str
    family: str
    contract: str
    description: str
    source: str
    hyperparameters: dict[str, float | int | str | bool] = field(default_factory=dict)
    origin: str = "deltanas"
    """Who wrote it: `deltanas`, `lemur`."""
    licence: str = ""
    """The SPDX identifier and the copyright line that came with it."""
    results: tuple[ReferenceResult, ...] = ()

    def hyperparameters_on(self, dataset: str) -> dict[str, float | int | str | bool]:
        """What to evaluate it with: the values recorded on that data set, else the network's own."""
        recorded = (result.hyperparameters for result in self.results if result.dataset == dataset)
        return next(recorded, self.hyperparameters)


@dataclass(frozen=True)
class RefusedNetwork:
    """A network of an import that is not taken in, with the reason as a code and as a sentence."""

    name: str
    reason: str
    message: str


@dataclass(frozen=True)
class NetworkWheel:
    """The package that an import reads. `licence` is an SPDX identifier, `licence_text` its files."""

    package: str
    version: str
    sha256: str
    verified: bool
    """Whether it is, byte by byte, the release that this version of ours knows."""
    licence: str
    licence_text: str


@dataclass(frozen=True)
class NetworkImportSummary:
    """What an import read, and what it left out by reason."""

    wheel: NetworkWheel
    networks: int
    refused: dict[str, int]
    ignored_results: dict[str, int]
    """Files of results, or rows of them, that could not be used."""


@dataclass(frozen=True)
class NetworkImportLine:
    """One line of an import: exactly one field is set. The last line has `summary`, or `failed`."""

    total: int | None = None
    """First of all: how many sources there are."""
    network: BaselineNetwork | None = None
    refused: RefusedNetwork | None = None
    summary: NetworkImportSummary | None = None
    failed: dict[str, Any] | None = None
    """A problem document: what came before is not all."""


# --- gateway → filter --------------------------------------------------------------------------


@dataclass(frozen=True)
class ScreeningRequest:
    """Is this source new within `scope`? The proposal itself, should it be admitted already, is left out."""

    scope: str
    proposal_id: str
    source: str
    threshold: float = 0.90
    """Of the lexical layer: the Jaccard similarity from which a source is a copy."""
    graph: str | None = None
    """`TraceResult.claimed_graph` of this source. None: the structure layer says nothing."""
    structure_threshold: float | None = 1.0
    """From which likeness of two graphs one is a copy: 1, that they are isomorphic, or None: from none."""
    among: tuple[str, ...] | None = None
    """The architectures of the scope to compare with, by proposal id. None: all of them."""


@dataclass(frozen=True)
class Neighbour:
    """An earlier architecture and its exact Jaccard similarity (of token shingles) in [0, 1]."""

    id: str
    jaccard: float
    label: str = ""
    structure: float | None = None
    """1 if the two graphs are isomorphic, 0 if they are not. None where either has none."""


@dataclass(frozen=True)
class Screening:
    """`layer` names what recognised a copy; None when novel. `nearest` is sorted, nearest first."""

    novel: bool
    layer: NoveltyLayer | None
    nearest: tuple[Neighbour, ...]
    difference: tuple[str, ...] = ()
    """Lines of a unified diff from the nearest architecture to this source; bounded, untrusted."""
    structure: StructureComparison = StructureComparison.NOT_TRACED
    structure_key: str | None = None
    """Of the request's graph, in hex: equal where graphs are isomorphic, in every scope. None without one."""


@dataclass(frozen=True)
class Admission:
    """Adds an architecture to the index of `scope`, under its proposal id. Idempotent."""

    scope: str
    source: str
    label: str = ""
    graph: str | None = None
    """`TraceResult.claimed_graph` of this source, if it has been traced."""
