"""Every specimen, by the kind of its attack."""

from sandbox_runner.specimens.catalogue import (
    between_jobs,
    files,
    forging,
    gpu,
    network,
    processes,
    resources,
    supply_chain,
    tracing,
)

SECTIONS = (
    files.SECTION,
    processes.SECTION,
    resources.SECTION,
    gpu.SECTION,
    network.SECTION,
    forging.SECTION,
    between_jobs.SECTION,
    supply_chain.SECTION,
    tracing.SECTION,
)

SPECIMENS = tuple(specimen for section in SECTIONS for specimen in section.specimens)
