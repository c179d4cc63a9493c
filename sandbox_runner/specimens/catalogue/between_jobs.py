"""What one job might leave for the next."""

from sandbox_runner.specimens.specimen import Section, denied

SECTION = Section(
    "Between jobs",
    (
        denied("leaves_traces", "Leaves files, shared memory and a socket for a next job to find."),
        denied("looks_for_traces", "Looks for what another job has left.", after="leaves_traces"),
        denied(
            "leaves_caches",
            "Leaves compiled extensions, kernels and bytecode where torch and Triton look for them.",
        ),
        denied(
            "looks_for_caches",
            "Looks for extensions, kernels and bytecode of another job.",
            after="leaves_caches",
        ),
        denied(
            "leaves_queues",
            "Leaves message queues, semaphores, named shared memory and a listening socket for a next job.",
        ),
        denied(
            "looks_for_queues",
            "Looks for message queues, semaphores, named shared memory and sockets of another job.",
            after="leaves_queues",
        ),
        denied(
            "marks_its_process",
            "Marks everything in its process and its sandbox, in case another job is given them.",
        ),
        denied(
            "looks_for_marks",
            "Looks whether its process, its sandbox or anything in them has served another job before.",
            after="marks_its_process",
        ),
        denied(
            "leaves_startup_files",
            "Leaves start-up files, site packages and settings in its home for the next Python and shell.",
        ),
        denied(
            "looks_for_startup_files",
            "Looks for start-up files of another job, and starts a Python that would run them.",
            after="leaves_startup_files",
        ),
        denied(
            "takes_what_its_user_may",
            "Takes all that the kernel grants to one user: pipes and files on their way.",
        ),
        denied(
            "needs_what_its_user_may",
            "Needs a little of what the kernel grants to one user, after another job has taken all of it.",
            after="takes_what_its_user_may",
        ),
        denied(
            "looks_at_its_inheritance",
            "Looks for what an ancestor may have left it: shared pages, descriptors, groups, locks.",
        ),
    ),
)
