"""Attacks through the file system."""

from contracts.failures import FailureReason as Reason
from sandbox_runner.specimens.specimen import Section, denied, fails

SECTION = Section(
    "File system",
    (
        denied(
            "reads_host_files",
            "Looks for a canary, secrets and label files anywhere it can reach.",
            essential=True,
        ),
        denied("writes_system_files", "Writes where only the system may."),
        fails("fills_tmp", "Fills /tmp.", Reason.DISK_LIMIT, essential=True),
        fails("fills_shared_memory", "Fills /dev/shm.", Reason.DISK_LIMIT),
        fails("makes_a_million_files", "Creates empty files until no inode is left.", Reason.DISK_LIMIT),
        fails("grows_a_deleted_file", "Writes into a file that has no name any more.", Reason.DISK_LIMIT),
        denied(
            "plants_links_and_pipes",
            "Leaves links, pipes and sockets where a careless host might look for results.",
        ),
    ),
)
