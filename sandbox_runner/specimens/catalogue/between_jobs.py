"""What one job might leave for the next."""

from sandbox_runner.specimens.specimen import Section, denied

SECTION = Section(
    "Between jobs",
    (
        denied("leaves_traces", "Leaves files, shared memory and a socket for a next job to find."),
        denied("looks_for_traces", "Looks for what another job has left.", after="leaves_traces"),
    ),
)
