"""Attacks with processes, signals and exits."""

from contracts.failures import FailureReason as Reason
from contracts.failures import MemoryResource, TimeoutPhase
from contracts.measurements import MIB
from contracts.names import IsolationTier
from sandbox_runner.specimens.specimen import Fails, Section, denied, fails, times_out

SECTION = Section(
    "Processes",
    (
        fails(
            "fork_bomb",
            "Forks as long as it can, in every child.",
            Reason.PIDS_LIMIT,
            essential=True,
            # gVisor's processes cost so much memory that this limit is reached before the other.
            differs={
                IsolationTier.DOCKER_RUNSC: Fails(Reason.OUT_OF_MEMORY, resource=MemoryResource.HOST),
            },
        ),
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
            startup_seconds=3,
        ),
        times_out(
            "matches_a_catastrophic_regex",
            "Lets a regular expression backtrack for ever.",
            TimeoutPhase.STARTUP,
            cpu_seconds=2,
        ),
        times_out("trains_for_ever", "Never stops training.", TimeoutPhase.TRAIN, cpu_seconds=2),
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
        fails("spawns_without_end", "Starts programs until it may not.", Reason.PIDS_LIMIT),
        fails(
            "forks_from_threads",
            "Forks from many threads at once.",
            Reason.PIDS_LIMIT,
            # As for fork_bomb.
            differs={
                IsolationTier.DOCKER_RUNSC: Fails(Reason.OUT_OF_MEMORY, resource=MemoryResource.HOST),
            },
        ),
        fails("leaves_zombies", "Lets its children die and buries none of them.", Reason.PIDS_LIMIT),
        denied(
            "leaves_orphans",
            "Leaves thirty orphans in sessions of their own, which wait for every signal and keep its pipes.",
            memory_bytes=4096 * MIB,  # a fork costs 36 MiB under gVisor
        ),
        denied(
            "runs_from_its_killer", "Is gone before it is killed: each process forks the next one and ends."
        ),
        denied(
            "storms_the_first_process", "Sends every signal there is to process 1, a hundred thousand times."
        ),
        times_out(
            "waits_out_the_wall_clock",
            "Blocks every signal and sleeps in training until the wall clock ends it.",
            TimeoutPhase.WALL,
            wall_seconds=4,
        ),
        times_out(
            "waits_in_vfork",
            "Waits in the kernel for a child that never goes on, where signals are not heard.",
            TimeoutPhase.STARTUP,
            startup_seconds=3,
        ),
        denied(
            "spies_on_the_first_process",
            "Reads, writes and takes apart process 1, by files and by system calls.",
            # That it has descriptors, not what they lead to: forges_the_relay is let through nowhere.
            admitted={
                IsolationTier.DOCKER_RUNSC: (
                    "BREACH fd",
                    "BREACH fdinfo",
                    "BREACH environ",
                    "BREACH task/1/environ",
                    "BREACH ns/mnt 0",
                )
            },
        ),
        denied(
            "clones_into_namespaces", "Starts children in namespaces of their own, by clone and by clone3."
        ),
        denied("runs_setuid_programs", "Runs every setuid program that it finds, and one of its own making."),
        denied(
            "speaks_other_instruction_sets",
            "Makes forbidden calls with the numbers of i386 and of x32, in machine code of its own.",
        ),
        denied(
            "runs_its_own_program",
            "Writes programs of its own, into memory and to disk, that make forbidden calls.",
        ),
        denied(
            "listens_for_seccomp",
            "Asks to be told of its own system calls, to answer them in the kernel's stead.",
        ),
        denied(
            "types_into_the_terminal",
            "Types commands into whatever terminal it can find, for the person who sits there.",
        ),
        denied(
            "changes_its_scheduling",
            "Asks for real-time scheduling, deadlines, a better nice value and the first place at the disk.",
            # gVisor keeps the number, and no scheduler reads it.
            admitted={IsolationTier.DOCKER_RUNSC: ("BREACH -20 0",)},
        ),
        denied("raises_its_limits", "Raises each of its resource limits, soft and hard."),
        denied(
            "makes_rare_system_calls",
            "Makes the calls that few programs need and many exploits do: personalities, ports, quotas.",
        ),
        denied(
            "makes_every_system_call",
            "Makes every system call there is by its number, with nonsense for arguments.",
        ),
        fails(
            "replaces_itself",
            "Becomes another program, one that ends at once and well.",
            Reason.INVALID_RESULT,
        ),
        fails("raises_sigbus", "Reads a mapped file behind its end.", Reason.SIGNALLED, "SIGBUS"),
        fails(
            "executes_an_illegal_instruction",
            "Executes an instruction that no processor knows.",
            Reason.SIGNALLED,
            "SIGILL",
        ),
        fails(
            "dies_by_a_realtime_signal",
            "Ends itself by a signal that has no name.",
            Reason.SIGNALLED,
            "signal 40",
        ),
        fails(
            "pretends_to_be_killed",
            "Exits with the code that a shell shows for a killed process, to be taken for a victim.",
            Reason.TRAIN_ERROR,
            "137",
        ),
        fails(
            "presses_control_c",
            "Raises KeyboardInterrupt, as if the operator had pressed Control-C.",
            Reason.TRAIN_ERROR,
            "must not end the process",
        ),
        denied("sets_a_thousand_timers", "Lets a thousand timers ring all the time."),
        denied(
            "starves_the_first_process",
            "Takes the processor from process 1: a bad nice value, signals to handle, busy children.",
        ),
        denied(
            "takes_a_hostile_name",
            "Names itself so that whoever reads /proc takes it for another process, or obeys its escapes.",
        ),
        denied(
            "forges_the_relay",
            "Writes reports of its own into the streams of process 1, which may lead out of a container.",
        ),
    ),
)
