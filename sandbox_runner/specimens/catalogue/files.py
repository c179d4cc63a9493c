"""Attacks through the file system."""

from contracts.failures import FailureReason as Reason
from contracts.failures import TimeoutPhase
from contracts.names import IsolationTier
from sandbox_runner.specimens.specimen import Fails, Section, denied, fails

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
        fails(
            "makes_a_million_files",
            "Creates empty files until no inode is left.",
            Reason.DISK_LIMIT,
            # gVisor's tmpfs has no number of inodes: files cost the candidate's own memory and time there.
            differs={IsolationTier.DOCKER_RUNSC: Fails(Reason.TIMEOUT, phase=TimeoutPhase.STARTUP)},
            cpu_seconds=20,
        ),
        fails("grows_a_deleted_file", "Writes into a file that has no name any more.", Reason.DISK_LIMIT),
        denied(
            "plants_links_and_pipes",
            "Leaves links, pipes and sockets where a careless host might look for results.",
        ),
        denied(
            "climbs_out_of_its_root", "Climbs above its root by dots, descriptors and the links of /proc."
        ),
        denied(
            "opens_files_by_handle",
            "Opens files by their handles instead of their names, the roots of the mounted file systems too.",
        ),
        denied(
            "changes_what_it_may_read",
            "Changes mode, owner, times, attributes, names and length of files that it may only read.",
        ),
        denied(
            "writes_through_mappings",
            "Writes into mapped read-only files: shared mappings, /proc/self/mem, a race for copied pages.",
        ),
        denied(
            "splices_into_the_page_cache",
            "Splices read-only files into pipes and writes into the pipes, so that the cached file changes.",
        ),
        fails("makes_a_petabyte_file", "Makes a sparse file of a petabyte.", Reason.DISK_LIMIT),
        denied(
            "digs_a_thousand_deep",
            "Leaves a tree of folders three thousand levels deep for whoever cleans up.",
        ),
        denied(
            "names_files_strangely",
            "Leaves files whose names are options, escapes, no Unicode, or as long as a name may be.",
        ),
        denied(
            "swaps_its_results_for_links",
            "Swaps files where results might be collected for links and pipes, again and again.",
        ),
        denied("makes_devices", "Makes device nodes of its own, for the memory and the disks of the host."),
        denied(
            "opens_kernel_devices",
            "Opens every device that it finds or knows by name: memory, disks, virtual machines, tunnels.",
        ),
        denied(
            "locks_what_the_host_uses",
            "Locks every file that it shares with the host and its neighbours, and never lets go.",
        ),
        denied(
            "reads_the_kernels_tables",
            "Reads addresses, keys, sockets and messages of the host's kernel from /proc and /sys.",
            admitted={IsolationTier.DOCKER_RUNSC: ("BREACH /proc/cmdline",)},  # gVisor's, always the same
        ),
        denied(
            "follows_the_data_folder",
            "Looks in the data folder at every moment, in case the examination comes to lie there.",
        ),
        denied(
            "writes_its_own_proc_files",
            "Changes what the kernel keeps about it in /proc: its place before the memory killer, its users.",
        ),
    ),
)
