"""Attempts to tell of another computation than one's own, or to break who writes it down."""

from dataclasses import replace

from contracts.failures import FailureReason as Reason
from contracts.failures import TimeoutPhase
from contracts.names import AttemptKind
from sandbox_runner.specimens.specimen import (
    Expectation,
    IsNotTraceable,
    IsTraced,
    Section,
    Specimen,
    fails,
    times_out,
)


def _traced(specimen: Specimen) -> Specimen:
    return replace(specimen, kind=AttemptKind.TRACE)


def _ends(name: str, attack: str, expected: Expectation, log_holds: str = "") -> Specimen:
    return _traced(Specimen(name, attack, expected, log_holds=log_holds))


SECTION = Section(
    "Forging a trace",
    (
        _ends(
            "is_traced_as_another",
            "Replaces the recorder's graph by a well-formed one of another network.",
            IsTraced(),
            log_holds="TRIED",
        ),
        _ends(
            "is_traced_with_two_faces",
            "Computes something else where tensors hold no numbers.",
            IsTraced(),
            log_holds="TRIED",
        ),
        _traced(
            fails(
                "is_traced_as_nonsense",
                "Sends a graph whose nodes take what comes after them.",
                Reason.INVALID_RESULT,
                "names no earlier node",
            )
        ),
        _traced(
            fails(
                "is_traced_as_too_much",
                "Announces a graph of four gigabytes.",
                Reason.INVALID_RESULT,
                "a frame TRACED of 4294967295 bytes",
            )
        ),
        _ends(
            "computes_a_million_steps",
            "Computes so many operations that no graph may tell of them.",
            IsNotTraceable("more than 20000 operations"),
        ),
        _traced(
            times_out(
                "computes_without_end",
                "Never comes back from a traced `forward`, and computes nothing meanwhile.",
                TimeoutPhase.TRAIN,
                cpu_seconds=10,
            )
        ),
        _ends(
            "raises_terminal_codes",
            "Raises an error in `forward` whose text clears a terminal and turns its direction.",
            IsNotTraceable("\\x1b[2J"),
        ),
        _traced(
            fails(
                "gives_back_a_system_call",
                "Gives back from `forward` what the operating system says, and no tensor.",
                Reason.INVALID_RESULT,
                "without a tensor",
            )
        ),
        _traced(
            fails(
                "ends_while_it_is_traced",
                "Kills its own process in a traced `forward`.",
                Reason.SIGNALLED,
            )
        ),
    ),
)
