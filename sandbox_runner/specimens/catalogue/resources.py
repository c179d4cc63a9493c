"""Attacks on memory, processor and output."""

from contracts.failures import FailureReason as Reason
from contracts.failures import TimeoutPhase
from contracts.measurements import MIB
from sandbox_runner.specimens.specimen import Section, denied, fails, out_of_memory, times_out

SECTION = Section(
    "Memory, processor and output",
    (
        out_of_memory("allocates_64_gib", "Asks for 64 GiB at once."),
        out_of_memory("memory_bomb", "Takes memory piece by piece and touches all of it.", essential=True),
        out_of_memory(
            "children_are_a_memory_bomb",
            "Four children that together take more than the limit, while the parent waits.",
        ),
        out_of_memory(
            "hides_memory_in_files", "Keeps memory in files of /tmp and /dev/shm.", disk_bytes=1024 * MIB
        ),
        denied(
            "oversubscribes_the_processor",
            "Takes every core it can, with processes, threads and affinity.",
        ),
        fails("prints_for_ever", "Prints lines without end.", Reason.OUTPUT_LIMIT, essential=True),
        fails("prints_one_endless_line", "Prints one line that never ends.", Reason.OUTPUT_LIMIT),
        denied("prints_terminal_escapes", "Prints what would take over a terminal or a page."),
        denied(
            "hides_memory_in_pipes",
            "Keeps bytes in as many pipes as it can open, each as large as it may be.",
        ),
        out_of_memory(
            "hides_memory_in_sockets",
            "Keeps memory in the buffers of sockets, which no process maps, in eight processes.",
        ),
        out_of_memory("hides_memory_in_memfds", "Keeps memory in files without a name or a folder."),
        out_of_memory(
            "hides_memory_in_flight",
            "Keeps memory in files that are on their way through a socket and belong to no process any more.",
        ),
        denied("locks_memory", "Locks more memory than it may, so that the host cannot move it."),
        denied(
            "takes_huge_pages",
            "Takes the huge pages that the host has set aside for others, and which no memory limit counts.",
        ),
        denied(
            "churns_the_page_cache",
            "Reads every library that it can see, again and again, to push the host's files out of memory.",
        ),
        times_out(
            "burns_processor_in_children",
            "Lets short-lived children do the computing, so that nobody counts it.",
            TimeoutPhase.TRAIN,
            cpu_seconds=2,
        ),
        times_out(
            "burns_kernel_time",
            "Lets the kernel do the work: random bytes without end.",
            TimeoutPhase.TRAIN,
            cpu_seconds=2,
        ),
        times_out(
            "imports_in_quadratic_time",
            "Its import takes time that grows with the square of its length.",
            TimeoutPhase.STARTUP,
            cpu_seconds=2,
        ),
        fails(
            "prints_from_many_children",
            "Lets twenty children fill standard error at once.",
            Reason.OUTPUT_LIMIT,
        ),
        fails(
            "prints_through_reopened_files",
            "Opens its standard output anew and prints there what nobody might count.",
            Reason.OUTPUT_LIMIT,
        ),
        denied("reserves_a_terabyte", "Reserves addresses without end, without touching them."),
        denied("exhausts_descriptors", "Opens files until it may not, in ten processes."),
        denied(
            "waits_on_a_million_things",
            "Fills the kernel's tables for waiting: timers, events, watches and signals that nobody fetches.",
        ),
        denied(
            "fragments_its_memory",
            "Makes as many memory areas as the kernel allows, each a page, no two alike.",
        ),
        denied(
            "fills_the_dentry_cache",
            "Asks for a million files that do not exist, so that the kernel remembers each of them.",
        ),
        denied("names_its_memory", "Gives each of its memory areas a name, which the kernel has to keep."),
        denied(
            "makes_a_million_locks",
            "Locks every second byte of its files: memory of the kernel that no limit counts.",
        ),
    ),
)
