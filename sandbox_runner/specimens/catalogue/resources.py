"""Attacks on memory, processor and output."""

from contracts.failures import FailureReason as Reason
from contracts.measurements import MIB
from sandbox_runner.specimens.specimen import Section, denied, fails, out_of_memory

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
            "hides_memory_in_files", "Keeps memory in files of /tmp and /dev/shm.", disk_bytes=512 * MIB
        ),
        denied(
            "oversubscribes_the_processor",
            "Takes every core it can, with processes, threads and affinity.",
        ),
        fails("prints_for_ever", "Prints lines without end.", Reason.OUTPUT_LIMIT, essential=True),
        fails("prints_one_endless_line", "Prints one line that never ends.", Reason.OUTPUT_LIMIT),
        denied("prints_terminal_escapes", "Prints what would take over a terminal or a page."),
    ),
)
