"""Which numbers this machine computes with fast, seen without loading any library."""

from pathlib import Path

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def processor_knows_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; without them float32 is faster."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return bool(_BF16_FLAGS & set(flags.partition(":")[2].split()))


def bytes_of_a_number() -> int:
    """What a weight takes in memory: half of it on a GPU, or on a processor that knows bfloat16."""
    return 2 if processor_knows_bfloat16() or Path("/dev/nvidiactl").exists() else 4
