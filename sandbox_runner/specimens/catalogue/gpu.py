"""Attacks on the GPU. Each names its device; where there is none, the run says what was not tested."""

from dataclasses import replace

from contracts.failures import FailureReason as Reason
from contracts.failures import MemoryResource, TimeoutPhase
from contracts.measurements import MIB
from sandbox_runner.specimens.specimen import LIMITS, EarnsTrueScore, Fails, Section, Specimen

ROOMY = replace(LIMITS, memory_bytes=8192 * MIB)
"""What CUDA itself holds in the host's memory has room."""

SECTION = Section(
    "GPU",
    (
        Specimen(
            "gpu_exhausts_memory",
            "Takes all the memory of the GPU.",
            Fails(Reason.OUT_OF_MEMORY, resource=MemoryResource.GPU),
            ROOMY,
            device="cuda:0",
        ),
        Specimen(
            "gpu_trips_an_assertion",
            "Lets a kernel on the GPU stop itself: an index that is outside its tensor.",
            Fails(Reason.TRAIN_ERROR),
            ROOMY,
            device="cuda:0",
        ),
        Specimen(
            "gpu_reads_out_of_bounds",
            "Lets a kernel on the GPU read terabytes behind its tensor.",
            Fails(Reason.TRAIN_ERROR),
            ROOMY,
            device="cuda:0",
        ),
        Specimen(
            "gpu_hangs",
            "Starts a kernel on the GPU that does not end.",
            Fails(Reason.TIMEOUT, phase=TimeoutPhase.WALL),
            replace(ROOMY, wall_seconds=30),
            device="cuda:0",
        ),
        Specimen(
            "gpu_leaves_memory",
            "Fills the memory of the GPU with a mark and goes without tidying up.",
            EarnsTrueScore(),
            ROOMY,
            log_holds="TRIED",
            device="cuda:0",
        ),
        Specimen(
            "gpu_looks_for_memory",
            "Reads uninitialised memory of the GPU for what another job has left there.",
            EarnsTrueScore(),
            ROOMY,
            log_holds="TRIED",
            device="cuda:0",
            after="gpu_leaves_memory",
        ),
        Specimen(
            "gpu_reaches_other_devices",
            "Uses GPUs that it was not given, and opens their devices.",
            EarnsTrueScore(),
            ROOMY,
            log_holds="TRIED",
            device="cuda:0",
        ),
    ),
)
