"""What a child process that computes with a model may see: no key, no token, no address."""

import os

_PASSED_ON = frozenset(
    {"PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES"}
)


def child_environment(threads: int) -> dict[str, str]:
    """What it needs to compute, and the word that there is no hub."""
    kept = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
    count = str(threads)
    return {
        "LANG": "C.UTF-8",
        **kept,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONHASHSEED": "0",
        "MALLOC_ARENA_MAX": "2",  # else every thread keeps what it has ever freed
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # CUDA's matrix products are the same each time only with it
    }
