"""What the host measured of one attempt, and under which limits. `claimed_` marks the guest's word."""

from dataclasses import dataclass, field

from contracts.names import IsolationTier, ScoredOn

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What binds one attempt. Seconds and bytes; every limit is enforced from outside the sandbox.

    Time and memory count from the candidate's first line: what the guest holds then is the platform's.
    """

    wall_seconds: float = 900.0
    cpu_seconds: float = 900.0
    startup_seconds: float = 90.0
    """Until `Net` is built, on the wall."""
    predict_batch_seconds: float = 20.0
    """From one evaluation batch sent to its answer."""
    memory_bytes: int = 4096 * MIB
    pids: int = 128
    """Processes and threads together."""
    disk_bytes: int = 256 * MIB
    """Each of /tmp and /dev/shm; counted in `memory_bytes` too, since both live in memory."""
    output_bytes: int = 1 * MIB
    """stdout and stderr together."""


LIMIT_RANGES: dict[str, tuple[float, float]] = {
    "wall_seconds": (1, 86_400),
    "cpu_seconds": (1, 345_600),
    "startup_seconds": (1, 600),
    "predict_batch_seconds": (0.1, 120),
    "memory_bytes": (512 * MIB, 256 * 1024 * MIB),
    "pids": (16, 4096),
    "disk_bytes": (1 * MIB, 16 * 1024 * MIB),
    "output_bytes": (1024, 64 * MIB),
}
"""Lowest and highest value a request may ask for, by field of `Limits`."""


@dataclass(frozen=True)
class Measurement:
    """A successful attempt. `accuracy` is a fraction in [0, 1], computed by the host."""

    accuracy: float
    accuracy_standard_error: float
    scored_on: ScoredOn
    evaluated_images: int
    startup_seconds: float
    """From the attempt's arrival to the candidate's first line, where everything below begins."""
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    """Anonymous and shared memory, tmpfs included, above what the sandbox held at the first line; the highest
    of readings every 50 ms."""
    audit_accuracy: float | None = None
    """On the sealed half; only within a search."""
    audit_images: int = 0
    peak_gpu_memory_bytes: int | None = None
    claimed_train_seconds: float | None = None
    claimed_predict_seconds: float | None = None
    claimed_parameters: int | None = None
    claimed_train_loss: float | None = None


@dataclass(frozen=True)
class SmokeResult:
    """A smoke run that came through: `Net` builds, learns two batches and answers one. It has no score."""

    answered_images: int
    """How many images got finite logits of the right shape."""
    startup_seconds: float
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    """As in `Measurement`; a smoke run's batches are small, so a whole evaluation may need more."""
    peak_gpu_memory_bytes: int | None = None
    claimed_train_seconds: float | None = None
    claimed_predict_seconds: float | None = None
    claimed_parameters: int | None = None
    claimed_train_loss: float | None = None


@dataclass(frozen=True)
class TraceResult:
    """A trace that came to its end: what the network's `forward` computes, or why that cannot be said."""

    claimed_graph: str | None
    """Well-formed text of `contracts.computation_graph`, whose content is the guest's word."""
    not_traceable: str | None
    """Why there is no graph, where there is none: bounded, escaped, untrusted. No sign of a new network."""
    startup_seconds: float
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    peak_gpu_memory_bytes: int | None = None


SEALED_HALF_DISAGREES = "sealed_half_disagrees"
"""The one flag that tells of the sealed half: within a search nobody sees it before the end."""


@dataclass(frozen=True)
class Isolation:
    """Where an attempt ran."""

    tier: IsolationTier
    backend: str
    limits: Limits


@dataclass(frozen=True)
class Provenance:
    """What it takes to run an attempt again. No secret keys: those stay in the journal."""

    dataset: str
    dataset_hash: str
    environment_digest: str
    """SHA-256 over the interpreter, torch, torchvision, numpy and the guest's own source."""
    seed: int
    device: str
    threads: int
    runner_version: str
    details: dict[str, str] = field(default_factory=dict)
