"""Attacks with processes, signals and exits."""

from contracts.failures import FailureReason as Reason
from contracts.failures import TimeoutPhase
from sandbox_runner.specimens.specimen import Section, denied, fails, times_out

SECTION = Section(
    "Processes",
    (
        fails("fork_bomb", "Forks as long as it can, in every child.", Reason.PIDS_LIMIT, essential=True),
        fails("thread_bomb", "Starts threads until it may not.", Reason.PIDS_LIMIT),
        denied(
            "leaves_a_daemon",
            "Leaves a double-forked daemon that holds stdout, then behaves.",
            essential=True,
        ),
        times_out(
            "stops_its_group",
            "Ignores SIGTERM and stops its own process group while it should answer.",
            TimeoutPhase.PREDICT,
            predict_batch_seconds=1.5,
        ),
        fails(
            "kills_everything",
            "Kills every process it can name, the first of its namespace too, and then itself.",
            Reason.SIGNALLED,
            "SIGKILL",
            essential=True,
        ),
        fails("exits_during_training", "Exits with 0 before there is any result.", Reason.INVALID_RESULT),
        fails("exits_in_import", "Calls sys.exit(0) while it is imported.", Reason.BUILD_ERROR),
        fails("exits_in_forward", "Raises SystemExit(0) while it should answer.", Reason.PREDICT_ERROR),
        times_out(
            "never_ends_import",
            "Sleeps for ever while it is imported.",
            TimeoutPhase.STARTUP,
            startup_seconds=15,
        ),
        times_out(
            "matches_a_catastrophic_regex",
            "Lets a regular expression backtrack for ever.",
            TimeoutPhase.STARTUP,
            cpu_seconds=8,
        ),
        times_out("trains_for_ever", "Never stops training.", TimeoutPhase.TRAIN, cpu_seconds=8),
        times_out(
            "answers_slowly",
            "Lets the host wait for an answer.",
            TimeoutPhase.PREDICT,
            predict_batch_seconds=1.5,
        ),
        fails("segfaults", "Reads address 0.", Reason.SIGNALLED, "SIGSEGV"),
        fails("aborts", "Calls abort().", Reason.SIGNALLED, "SIGABRT"),
        fails("overflows_the_stack", "Recurses until the C stack is gone.", Reason.SIGNALLED, "SIGSEGV"),
        denied("registers_exit_hooks", "Wants to run, print and answer after the end."),
    ),
)
