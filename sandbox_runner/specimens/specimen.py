"""What a specimen is: one attack, the limits it runs under, and what it must come to."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from contracts.failures import FailureReason, MemoryResource, TimeoutPhase
from contracts.measurements import MIB, Limits
from contracts.names import AttemptKind, IsolationTier

SOURCES = Path(__file__).parent / "sources"

LIMITS = Limits(
    wall_seconds=120,
    cpu_seconds=60,
    startup_seconds=90,
    predict_batch_seconds=20,
    memory_bytes=1024 * MIB,
    pids=64,
    disk_bytes=64 * MIB,
    output_bytes=256 * 1024,
)
"""Wide in time, for a busy machine; an attack on time narrows the one limit that it is about."""


@dataclass(frozen=True)
class Fails:
    """The attempt fails for this reason, and the message holds `says`."""

    reason: FailureReason
    phase: TimeoutPhase | None = None
    resource: MemoryResource | None = None
    says: str = ""


@dataclass(frozen=True)
class EarnsTrueScore:
    """The attack gains nothing: the score is exactly that of the honest control network."""


@dataclass(frozen=True)
class EarnsConstantScore:
    """The score is exactly that of naming class 0 for every image."""


@dataclass(frozen=True)
class IsTraced:
    """A trace ends with a graph: the guest's word, whatever made it."""


@dataclass(frozen=True)
class IsNotTraceable:
    """A trace ends without a graph, and the reason holds `says`."""

    says: str


Expectation = Fails | EarnsTrueScore | EarnsConstantScore | IsTraced | IsNotTraceable


@dataclass(frozen=True)
class Specimen:
    """One attack. Its source is `sources/<name>.py`."""

    name: str
    attack: str
    """What it tries, in one line; no two specimens share it."""
    expected: Expectation
    limits: Limits = field(default=LIMITS)
    log_holds: str = ""
    """Text that the log must hold: the proof that the attack was really tried."""
    essential: bool = False
    """Part of the dozen that `make test` runs on the Docker tiers too."""
    kind: AttemptKind = AttemptKind.EVALUATE
    device: str = "cpu"
    after: str = ""
    """The specimen that must have run on the same worker before this one."""
    differs: Mapping[IsolationTier, Expectation] = field(default_factory=dict)
    """What it comes to where a tier's kernel answers in another way."""
    admitted: Mapping[IsolationTier, tuple[str, ...]] = field(default_factory=dict)
    """The lines that tell what a tier is known to let through, as docs/threat-model.md says."""

    def expected_on(self, tier: IsolationTier) -> Expectation:
        """What it must come to in a sandbox of this tier."""
        return self.differs.get(tier, self.expected)

    @property
    def source(self) -> str:
        """The attack itself, its placeholders (@CANARY@ and the like) not yet filled."""
        return (SOURCES / f"{self.name}.py").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Section:
    """The specimens of one kind of attack."""

    title: str
    specimens: tuple[Specimen, ...]


CONTROL = Specimen("honest", "Behaves: the network whose score must never change.", EarnsTrueScore())


def denied(
    name: str,
    attack: str,
    *,
    essential: bool = False,
    after: str = "",
    admitted: Mapping[IsolationTier, tuple[str, ...]] = MappingProxyType({}),
    **limits: float,
) -> Specimen:
    """The attack is tried (its log says TRIED), is refused, and the rest of the candidate earns its score."""
    return Specimen(
        name,
        attack,
        EarnsTrueScore(),
        _narrowed(limits),
        log_holds="TRIED",
        essential=essential,
        after=after,
        admitted=admitted,
    )


def fails(
    name: str,
    attack: str,
    reason: FailureReason,
    says: str = "",
    *,
    essential: bool = False,
    differs: Mapping[IsolationTier, Expectation] = MappingProxyType({}),
    **limits: float,
) -> Specimen:
    """The attempt fails for `reason`; `limits` names those that are other than `LIMITS`."""
    expected = Fails(reason, says=says)
    return Specimen(name, attack, expected, _narrowed(limits), essential=essential, differs=differs)


def times_out(
    name: str, attack: str, phase: TimeoutPhase, *, essential: bool = False, **limits: float
) -> Specimen:
    """The attempt ends as timeout(phase)."""
    expected = Fails(FailureReason.TIMEOUT, phase=phase)
    return Specimen(name, attack, expected, _narrowed(limits), essential=essential)


def out_of_memory(name: str, attack: str, *, essential: bool = False, **limits: float) -> Specimen:
    """The attempt ends as out_of_memory(host)."""
    expected = Fails(FailureReason.OUT_OF_MEMORY, resource=MemoryResource.HOST)
    return Specimen(name, attack, expected, _narrowed(limits), essential=essential)


def _narrowed(limits: Mapping[str, float]) -> Limits:
    return replace(LIMITS, **limits)  # type: ignore[arg-type]
