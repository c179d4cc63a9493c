"""What each specimen must come to, written beside its name. `sources/<name>.py` is the attack itself."""

from dataclasses import dataclass, field, replace

from contracts.failures import FailureReason as Reason
from contracts.failures import MemoryResource, TimeoutPhase
from contracts.measurements import Limits

MIB = 1024 * 1024

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

    reason: Reason
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
class Specimen:
    """One attack, its limits and its outcome. `log_holds` proves that the attack was really tried."""

    name: str
    expected: Fails | EarnsTrueScore | EarnsConstantScore
    limits: Limits = field(default=LIMITS)
    log_holds: str = ""


def _denied(name: str) -> Specimen:
    return Specimen(name, EarnsTrueScore(), log_holds="TRIED")


def _fails(name: str, reason: Reason, says: str = "", **narrowed: float) -> Specimen:
    return Specimen(name, Fails(reason, says=says), replace(LIMITS, **narrowed))  # type: ignore[arg-type]


def _times_out(name: str, phase: TimeoutPhase, **narrowed: float) -> Specimen:
    return Specimen(name, Fails(Reason.TIMEOUT, phase=phase), replace(LIMITS, **narrowed))  # type: ignore[arg-type]


def _out_of_memory(name: str, **widened: int) -> Specimen:
    return Specimen(
        name, Fails(Reason.OUT_OF_MEMORY, resource=MemoryResource.HOST), replace(LIMITS, **widened)
    )


FILES = [
    _denied("reads_host_files"),
    _denied("writes_system_files"),
    _fails("fills_tmp", Reason.DISK_LIMIT),
    _fails("fills_shared_memory", Reason.DISK_LIMIT),
    _fails("makes_a_million_files", Reason.DISK_LIMIT),
    _fails("grows_a_deleted_file", Reason.DISK_LIMIT),
    _denied("plants_links_and_pipes"),
    _denied("plants_modules"),
    _denied("leaves_traces"),
    _denied("looks_for_traces"),
]

PROCESSES = [
    _fails("fork_bomb", Reason.PIDS_LIMIT),
    _fails("thread_bomb", Reason.PIDS_LIMIT),
    _denied("leaves_a_daemon"),
    _times_out("stops_its_group", TimeoutPhase.PREDICT, predict_batch_seconds=1.5),
    _fails("kills_everything", Reason.SIGNALLED, "SIGKILL"),
    _fails("exits_during_training", Reason.INVALID_RESULT),
    _fails("exits_in_import", Reason.BUILD_ERROR),
    _fails("exits_in_forward", Reason.PREDICT_ERROR),
    _times_out("never_ends_import", TimeoutPhase.STARTUP, startup_seconds=15),
    _times_out("matches_a_catastrophic_regex", TimeoutPhase.STARTUP, cpu_seconds=8),
    _times_out("trains_for_ever", TimeoutPhase.TRAIN, cpu_seconds=8),
    _times_out("answers_slowly", TimeoutPhase.PREDICT, predict_batch_seconds=1.5),
    _fails("segfaults", Reason.SIGNALLED, "SIGSEGV"),
    _fails("aborts", Reason.SIGNALLED, "SIGABRT"),
    _fails("overflows_the_stack", Reason.SIGNALLED, "SIGSEGV"),
    _denied("registers_exit_hooks"),
]

RESOURCES = [
    _out_of_memory("allocates_64_gib"),
    _out_of_memory("memory_bomb"),
    _out_of_memory("children_are_a_memory_bomb"),
    _out_of_memory("hides_memory_in_files", disk_bytes=512 * MIB),
    _denied("oversubscribes_the_processor"),
    _fails("prints_for_ever", Reason.OUTPUT_LIMIT),
    _fails("prints_one_endless_line", Reason.OUTPUT_LIMIT),
    _denied("prints_terminal_escapes"),
]

NETWORK_AND_PRIVILEGES = [
    _denied("tries_the_network"),
    _fails("downloads_weights", Reason.BUILD_ERROR, "no network"),
    _denied("escapes_its_namespaces"),
    _denied("spies_on_processes"),
]

FORGERIES = [
    _denied("prints_a_fake_score"),
    _denied("patches_torch"),
    _denied("hunts_for_labels"),
    _fails("patches_the_guest", Reason.INVALID_RESULT),
    _fails("writes_to_the_result_channel", Reason.INVALID_RESULT),
    _fails("announces_a_huge_answer", Reason.INVALID_RESULT),
    _fails("answers_twice", Reason.INVALID_RESULT),
    _fails("answers_before_it_is_asked", Reason.INVALID_RESULT),
    _fails("answers_from_a_thread", Reason.INVALID_RESULT),
    _fails("closes_the_channel", Reason.INVALID_RESULT),
    _fails("claims_nested_json", Reason.INVALID_RESULT),
    Specimen("claims_absurd_numbers", EarnsTrueScore()),
    _fails("blames_the_platform", Reason.TRAIN_ERROR, "not my fault"),
    Specimen("takes_over_the_channel", EarnsConstantScore()),
    Specimen("predicts_a_constant", EarnsConstantScore()),
    _fails("answers_in_a_wrong_shape", Reason.INVALID_RESULT, "shape"),
    _fails("answers_for_too_few_images", Reason.INVALID_RESULT, "shape"),
    _fails("answers_in_integers", Reason.INVALID_RESULT, "int64"),
    _fails("answers_with_a_list", Reason.INVALID_RESULT, "list"),
    _fails("answers_with_a_subclass", Reason.INVALID_RESULT, "Sly"),
    _fails("answers_with_a_lazy_object", Reason.INVALID_RESULT, "Lazy"),
    _fails("answers_with_nan", Reason.NON_FINITE),
    _fails("answers_with_infinity", Reason.NON_FINITE),
    _fails("loses_its_loss", Reason.NON_FINITE),
    _fails("raises_a_hostile_exception", Reason.TRAIN_ERROR),
    _fails("raises_a_huge_message", Reason.TRAIN_ERROR, "\\x1b"),
    _fails("has_no_usable_constructor", Reason.CONTRACT_VIOLATION, "Net(in_shape, out_shape)"),
    _fails("is_no_module", Reason.CONTRACT_VIOLATION),
    _fails("deletes_its_network", Reason.CONTRACT_VIOLATION),
]

SHARED_WITH_THE_HOST = [_denied("borrows_from_the_host")]

SPECIMENS = [
    *FILES,
    *PROCESSES,
    *RESOURCES,
    *NETWORK_AND_PRIVILEGES,
    *FORGERIES,
    *SHARED_WITH_THE_HOST,
]
